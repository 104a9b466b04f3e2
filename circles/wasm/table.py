"""Gas table 1: what each instruction costs, and the hash under which genesis names it."""

from __future__ import annotations

from typing import Final

TABLE_VERSION = 1

INSTRUCTION = 1
MEMORY_ACCESS = 2
CALL, CALL_INDIRECT = 12, 20
DIVISION = 8
BULK = 32  # plus one per BULK_BYTES_PER_GAS bytes, charged when the size is known
BULK_SHIFT: Final = 3
PAGE_GAS = 4_000  # a touched page costs 24 us, measured
CIRCLE_CALL = 20_000  # plus initial pages and data / 8
HOST_CALL = 1_500  # a callback costs 10-18 us, measured

FRAME_WEIGHT = 16  # of a frame without values
FRAME_GAS_SHIFT: Final = 2  # entering a function costs a quarter of its weight

_DIVISIONS = (0x6D, 0x6E, 0x6F, 0x70, 0x7F, 0x80, 0x81, 0x82, 0x91, 0x95, 0x9F, 0xA3)


def _instruction_costs() -> tuple[int, ...]:
    costs = [INSTRUCTION] * 256
    for opcode in range(0x28, 0x3F):
        costs[opcode] = MEMORY_ACCESS
    for opcode in _DIVISIONS:
        costs[opcode] = DIVISION
    costs[0x10], costs[0x11] = CALL, CALL_INDIRECT
    costs[0x40] = BULK
    return tuple(costs)


COSTS = _instruction_costs()


def frame_weight(parameters: int, locals_: int, operands: int) -> int:
    """Weight of one activation: it bounds the engine's frame, so depth ends before the engine's stack does."""
    return FRAME_WEIGHT + parameters + locals_ + operands


def call_cost(pages: int, data_bytes: int) -> int:
    """Gas that a call of a Circle takes before its first instruction."""
    return CIRCLE_CALL + pages * PAGE_GAS + (data_bytes >> BULK_SHIFT)
