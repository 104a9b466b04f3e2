"""The decision rule (Mahi-Mahi, wave 5, two slots): which leader slots are committed, which are skipped.

Pure functions of the store and the coins; no state of their own. Two quorums share an honest seat, so q blames and a
certificate never meet, and two certificates of one slot name one vertex. The coin plays no part in safety.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from octra.consensus.dag.store import Entry, Store
from octra.consensus.limits import DECIDE_DEPTH, VOTE_DEPTH, WAVE


class Slot(NamedTuple):
    """The k-th leader of a round. Slots are ordered as tuples are."""

    round: int
    k: int


Leaders = Mapping[int, tuple[int, ...]]  # round -> seats of its slots, for rounds whose coin is known
Decisions = dict[Slot, Entry | None]  # committed vertex, or None for a skipped slot; absent means undecided


def certified(entry: Entry, author: int, quorum: int) -> Entry | None:
    """The vertex by `author`, four rounds below, for which q of the entry's parents vote. Weak links never count."""
    if author in entry.certificates:
        return entry.certificates[author]
    votes: dict[Entry, int] = {}
    winner: Entry | None = None
    for parent in entry.parents:
        choice = parent.support[VOTE_DEPTH - 1][author]  # in the round of the slot
        if choice is not None:
            count = votes[choice] = votes.get(choice, 0) + 1
            if count == quorum:
                winner = choice
    entry.certificates[author] = winner
    return winner


def decide_directly(store: Store, round: int, author: int) -> tuple[bool, Entry | None]:
    """(decided, vertex): commit when q authors of round r + 4 certify it, skip when q of r + 3 blame the whole slot."""
    quorum = store.quorum
    backers: dict[bytes, int] = {}
    for twins in store.authors(round + DECIDE_DEPTH).values():
        named = {leader.id: leader for entry in twins if (leader := certified(entry, author, quorum)) is not None}
        for id, leader in named.items():  # each author counts once, however many twins he has
            backers[id] = backers.get(id, 0) + 1
            if backers[id] >= quorum:
                return True, leader
    voters = store.authors(round + VOTE_DEPTH)
    if len(voters) >= quorum:
        blames = sum(any(entry.supported(round, author) is None for entry in twins) for twins in voters.values())
        if blames >= quorum:
            return True, None
    return False, None


def decide_by_anchor(round: int, author: int, anchor: Entry, quorum: int) -> Entry | None:
    """What a committed later leader says of the slot: the vertex certified in its cone, or None for skip."""
    bottom = round + DECIDE_DEPTH
    seen = {anchor.id}
    cone = [anchor]
    for entry in cone:  # grows while we walk
        if entry.round == bottom:
            leader = certified(entry, author, quorum)
            if leader is not None:
                return leader
            continue
        for link in entry.links:
            if link.round >= bottom and link.id not in seen:
                seen.add(link.id)
                cone.append(link)
    return None


def find_anchor(store: Store, leaders: Leaders, decisions: Decisions, round: int) -> Entry | None:
    """The first slot of round >= r + 5 that is not skipped, if it is committed; None while it is undecided."""
    for later in range(round + WAVE, store.highest_round + 1):
        if later not in leaders:
            return None
        for k in range(len(leaders[later])):
            slot = Slot(later, k)
            if slot not in decisions:
                return None
            anchor = decisions[slot]
            if anchor is not None:
                return anchor
    return None


def decide(store: Store, leaders: Leaders, decisions: Decisions, next_slot: Slot, changed: set[int] | None) -> None:
    """Add to `decisions` every slot from `next_slot` on that can be decided now, newest first. Results are final.

    Only slots of the `changed` rounds can have become directly decidable; None means any.
    """
    for round in range(store.highest_round - VOTE_DEPTH, next_slot.round - 1, -1):
        seats = leaders.get(round)
        if seats is None:
            continue
        for k in range(len(seats) - 1, -1, -1):
            slot = Slot(round, k)
            if slot < next_slot or slot in decisions:
                continue
            if changed is None or round in changed:
                done, leader = decide_directly(store, round, seats[k])
                if done:
                    decisions[slot] = leader
                    continue
            anchor = find_anchor(store, leaders, decisions, round)
            if anchor is not None:
                decisions[slot] = decide_by_anchor(round, seats[k], anchor, store.quorum)


def output(leaders: Leaders, decisions: Decisions, next_slot: Slot) -> tuple[list[tuple[Slot, Entry | None]], Slot]:
    """The longest prefix of decided slots from `next_slot`, and the slot after it."""
    prefix: list[tuple[Slot, Entry | None]] = []
    while next_slot in decisions:
        prefix.append((next_slot, decisions[next_slot]))
        next_slot = slot_after(next_slot, len(leaders[next_slot.round]))
    return prefix, next_slot


def slot_after(slot: Slot, slots: int) -> Slot:
    """The next slot in (round, k) order."""
    return Slot(slot.round, slot.k + 1) if slot.k + 1 < slots else Slot(slot.round + 1, 0)
