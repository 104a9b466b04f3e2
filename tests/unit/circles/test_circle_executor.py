"""Worker processes: what happens to them never changes a result, and they see only what they were given."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from octra.circles import limits
from octra.circles.errors import ExecutorUnavailable, InvalidModule
from octra.circles.executor import ExecutorPool, WorkerProcess
from octra.circles.inprocess import WasmEngine
from octra.circles.testing import CIRCLE, OTHER_CIRCLE, Shelf, call_of, compile_wat, contract
from octra.circles.wire import Channel, Execute, ReadKey
from octra.consensus.ports import CircleCall, CircleView

COUNT = contract(
    "(drop (call $host_kv_get (i32.const 512) (i32.const 1) (i32.const 0) (i32.const 8)))"
    "(i64.store (i32.const 0) (i64.add (i64.load (i32.const 0)) (i64.const 1)))"
    "(drop (call $host_kv_put (i32.const 512) (i32.const 1) (i32.const 0) (i32.const 8)))"
    "(drop (call $host_emit_event (i32.const 512) (i32.const 1) (i32.const 0) (i32.const 8)))"
    "(call $host_response_write (i32.const 0) (i32.const 8)) (i32.sub (i32.const 8))",
    query="(drop (call $host_kv_get (i32.const 512) (i32.const 1) (i32.const 0) (i32.const 8)))"
    "(call $host_response_write (i32.const 0) (i32.const 8)) (i32.sub (i32.const 8))",
    extra='(data (i32.const 512) "n")',
)
SPIN = contract("(loop (br 0)) (i32.const 0)")
TRAP = contract("unreachable")


@dataclass
class Disturbed:
    """A view that does something to the node at the n-th read."""

    shelf: Shelf
    disturb: Callable[[], None]
    times: int = 1
    seen: list[bytes] = field(default_factory=list)

    def code(self, code_hash: bytes) -> bytes | None:
        return self.shelf.code(code_hash)

    def get(self, circle: bytes, key: bytes) -> bytes | None:
        self.seen.append(key)
        if self.times:
            self.times -= 1
            self.disturb()
        return self.shelf.get(circle, key)

    def scan(self, circle: bytes, start: bytes, end: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
        return self.shelf.scan(circle, start, end, limit)


def mixed_calls(shelf: Shelf) -> list[CircleCall]:
    count, spin, trap = (shelf.install(code) for code in (COUNT, SPIN, TRAP))
    circles = [bytes((number,)) * 33 for number in range(1, 6)]
    calls = [call_of(count, circle=circle) for circle in circles for _ in range(3)]
    calls.insert(4, call_of(spin, circle=circles[0], gas_limit=1_000_000))
    calls.insert(9, call_of(trap, circle=circles[2]))
    return calls


def test_a_child_process_gives_the_outcomes_of_this_process(pool: ExecutorPool, engine: WasmEngine) -> None:
    shelf = Shelf()
    calls = mixed_calls(shelf)
    here = list(engine.execute(calls, shelf))
    assert list(pool.execute(calls, shelf)) == here
    assert {outcome.status for outcome in here} == {"ok", "out_of_gas", "trapped"}
    assert pool.check(COUNT) == engine.check(COUNT)
    assert pool.query(calls[0], shelf) == engine.query(calls[0], shelf)


def test_outcomes_do_not_depend_on_processes_their_number_or_what_they_ran_before(engine: WasmEngine) -> None:
    shelf = Shelf()
    calls = mixed_calls(shelf)
    wanted = list(engine.execute(calls, shelf))
    with ExecutorPool(workers=2) as several:
        assert list(several.execute(calls, shelf)) == wanted, "cold"
        assert list(several.execute(calls, shelf)) == wanted, "warm"
        assert len(several.process_ids()) == 2


def test_state_is_read_through_the_parent_and_later_calls_see_earlier_writes(pool: ExecutorPool, shelf: Shelf) -> None:
    shelf.rows[CIRCLE, b"n"] = (41).to_bytes(8, "little")
    call = call_of(shelf.install(COUNT), usage=73)
    outcomes = pool.execute([call, call], shelf)
    assert [int.from_bytes(outcome.response, "little") for outcome in outcomes] == [42, 43]
    assert outcomes[1].diff == ((b"n", (43).to_bytes(8, "little")),)


def test_an_infinite_loop_ends_by_gas_and_the_worker_lives_on(pool: ExecutorPool, shelf: Shelf) -> None:
    spin, count = call_of(shelf.install(SPIN)), call_of(shelf.install(COUNT))
    pool.execute([count], shelf)
    before = pool.process_ids()
    assert [outcome.status for outcome in pool.execute([spin, count], shelf)] == ["out_of_gas", "ok"]
    assert pool.process_ids() == before


def test_a_thousand_traps_leave_no_instance_behind(pool: ExecutorPool, shelf: Shelf) -> None:
    # Each instance reserves 4 GiB of addresses and a worker has 16: the fifth left behind would stop it.
    pool.start()
    call = call_of(shelf.install(TRAP))
    before = pool.process_ids()
    assert {outcome.status for outcome in pool.execute([call] * 1_000, shelf)} == {"trapped"}
    assert pool.process_ids() == before


def test_a_worker_killed_in_the_middle_of_a_call_is_replaced_and_the_result_is_the_same(
    engine: WasmEngine, shelf: Shelf
) -> None:
    calls = mixed_calls(shelf)
    wanted = list(engine.execute(calls, shelf))
    with ExecutorPool() as pool:
        pool.start()
        victim = pool.process_ids()[0]
        view = Disturbed(shelf, lambda: os.kill(victim, signal.SIGKILL))
        assert list(pool.execute(calls, view)) == wanted
        assert victim not in pool.process_ids()


def test_a_stopped_worker_is_killed_after_the_stall_limit_and_the_result_is_the_same(
    engine: WasmEngine, shelf: Shelf
) -> None:
    calls = mixed_calls(shelf)
    with ExecutorPool(stall_seconds=4.0) as pool:
        pool.start()
        victim = pool.process_ids()[0]
        view = Disturbed(shelf, lambda: os.kill(victim, signal.SIGSTOP))
        assert list(pool.execute(calls, view)) == list(engine.execute(calls, shelf))
        assert victim not in pool.process_ids()


def test_the_time_that_compiling_takes_has_its_own_limit(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "(f64.store (i32.const 8) (f64.sqrt (f64.add (f64.load (i32.const 16)) (f64.const 1.5))))" * 60
    functions = "".join(f"(func $f{number} {body})" for number in range(300))
    call = call_of(shelf.install(contract("(call $f7) (i32.const 0)", extra=functions)))
    with ExecutorPool(stall_seconds=60) as pool:
        pool.start()
        monkeypatch.setattr(limits, "PREPARE_SECONDS", 0.02)
        with pytest.raises(ExecutorUnavailable, match="stalled"):
            pool.execute([call], shelf)
        monkeypatch.undo()
        assert pool.execute([call], shelf)[0].status == "ok"


def test_a_call_that_kills_every_worker_gives_no_result_and_the_node_goes_on(shelf: Shelf) -> None:
    call = call_of(shelf.install(COUNT))
    with ExecutorPool() as pool:
        view = Disturbed(shelf, lambda: os.kill(pool.process_ids()[0], signal.SIGKILL), times=99)
        with pytest.raises(ExecutorUnavailable):
            pool.execute([call], view)
        assert len(view.seen) == 3, "twice compiled, once interpreted"
        assert pool.execute([call], shelf)[0].status == "ok"


def test_a_failing_view_is_not_swallowed_and_leaves_a_usable_pool(pool: ExecutorPool, shelf: Shelf) -> None:
    class Broken(Exception):
        pass

    def fail() -> None:
        raise Broken

    call = call_of(shelf.install(COUNT))
    with pytest.raises(Broken):
        pool.execute([call], Disturbed(shelf, fail))
    assert pool.execute([call], shelf)[0].status == "ok"


def test_missing_code_is_the_nodes_trouble(pool: ExecutorPool, engine: WasmEngine, shelf: Shelf) -> None:
    for machine in (pool, engine):
        with pytest.raises(ExecutorUnavailable, match="code is not here"):
            machine.execute([call_of(b"\0" * 32)], shelf)


def test_a_refused_module_keeps_its_rule_across_the_process_border(pool: ExecutorPool) -> None:
    with pytest.raises(InvalidModule) as refusal:
        pool.check(compile_wat("(module (memory 1 1 shared))"))
    assert refusal.value.rule == "threads"
    assert refusal.value.offset > 0


def test_circles_do_not_see_each_other(pool: ExecutorPool, shelf: Shelf) -> None:
    shelf.rows[OTHER_CIRCLE, b"n"] = (1_000).to_bytes(8, "little")
    code_hash = shelf.install(COUNT)
    outcomes = pool.execute([call_of(code_hash), call_of(code_hash, circle=OTHER_CIRCLE, usage=73)], shelf)
    assert [int.from_bytes(outcome.response, "little") for outcome in outcomes] == [1, 1_001]
    assert set(shelf.reads) == {(CIRCLE, b"n"), (OTHER_CIRCLE, b"n")}


def test_a_worker_that_asks_for_a_foreign_circle_is_not_answered(
    pool: ExecutorPool, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = call_of(shelf.install(COUNT))
    asked: list[bytes] = []
    receive = Channel.receive

    def treacherous(channel: object) -> object:
        report = receive(channel)  # type: ignore[arg-type]  # a channel
        if isinstance(report, ReadKey):
            asked.append(report.circle)
            return ReadKey(OTHER_CIRCLE, report.key)
        return report

    monkeypatch.setattr(Channel, "receive", treacherous)
    with pytest.raises(ExecutorUnavailable, match="another Circle"):
        pool.execute([call], shelf)
    assert len(asked) == 3
    assert not [circle for circle, _ in shelf.reads if circle == OTHER_CIRCLE]


def test_queries_write_nothing_whatever_the_call_says(pool: ExecutorPool, engine: WasmEngine, shelf: Shelf) -> None:
    code = contract(query=COUNT_IN_A_QUERY, extra='(data (i32.const 512) "n")')
    call = call_of(shelf.install(code), view=False)
    for machine in (pool, engine):
        outcome = machine.query(call, shelf)
        assert (outcome.status, outcome.diff, outcome.events) == ("ok", (), ())
    assert shelf.rows == {}


COUNT_IN_A_QUERY = (
    "(drop (call $host_kv_put (i32.const 512) (i32.const 1) (i32.const 512) (i32.const 1)))"
    "(drop (call $host_emit_event (i32.const 512) (i32.const 1) (i32.const 512) (i32.const 1))) (i32.const 0)"
)


def test_a_worker_is_confined() -> None:
    worker = WorkerProcess("cranelift", limits.STALL_SECONDS)
    try:
        root = f"/proc/{worker.process.pid}"
        with open(f"{root}/status", encoding="ascii") as file:
            assert "NoNewPrivs:\t1" in file.read()
        with open(f"{root}/environ", "rb") as file:
            assert file.read() == b""
        with open(f"{root}/limits", encoding="ascii") as file:
            bounds = {line[:26].strip(): line[26:47].strip() for line in file}
        assert bounds["Max core file size"] == "0"
        assert bounds["Max open files"] == "16"
        assert bounds["Max file size"] == str(64 * 1024 * 1024)
        assert bounds["Max address space"] == str(16 * 1024**3)
        open_files = [os.readlink(f"{root}/fd/{number}") for number in os.listdir(f"{root}/fd")]
        assert sorted(name.split(":")[0] for name in open_files) == ["/dev/null"] * 3 + ["socket"]
    finally:
        worker.kill()


def test_a_worker_ends_when_its_parent_closes_the_socket() -> None:
    worker = WorkerProcess("cranelift", limits.STALL_SECONDS)
    worker.channel.close()
    assert worker.process.wait(timeout=20) == 0


def test_nonsense_from_a_worker_is_the_nodes_trouble(monkeypatch: pytest.MonkeyPatch, shelf: Shelf) -> None:
    worker = WorkerProcess("cranelift", limits.STALL_SECONDS)
    try:
        worker.channel.send(Execute(({"not": "a call"},)))
        with pytest.raises(ExecutorUnavailable):
            worker.channel.receive()
    finally:
        worker.kill()


def view_type_holds(view: CircleView) -> CircleView:
    """For the type checker: the shelf is a view."""
    return view


assert view_type_holds(Shelf()) is not None
