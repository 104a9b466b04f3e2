"""The host functions, each called by a real guest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from octra.circles.frame import decode_request
from octra.circles.identity import print_circle
from octra.circles.inprocess import WasmEngine
from octra.circles.testing import ALICE, BOB, CIRCLE, CONTEXT, MIB, OTHER_CIRCLE, Shelf, call_of, contract
from octra.consensus.ports import CallOutcome
from octra.crypto.ed25519 import SigningKey
from octra.crypto.hash import H
from octra.primitives import print_address


def run(engine: WasmEngine, shelf: Shelf, body: str, extra: str = "", **facts: object) -> CallOutcome:
    view = bool(facts.get("view"))
    code = contract(query=body, extra=extra) if view else contract(body, extra=extra)
    call = call_of(shelf.install(code), **facts)  # type: ignore[arg-type]  # keywords of call_of
    return engine.query(call, shelf) if view else engine.execute([call], shelf)[0]


def answer_of(engine: WasmEngine, shelf: Shelf, fill: str, size: int, extra: str = "", **facts: object) -> bytes:
    """What a host function wrote at address 0."""
    body = f"(drop {fill}) (drop (call $host_response_write (i32.const 0) (i32.const {size}))) (i32.const 0)"
    outcome = run(engine, shelf, body, extra, **facts)
    assert outcome.status == "ok", outcome
    return outcome.response


def number_of(engine: WasmEngine, shelf: Shelf, expression: str, extra: str = "", **facts: object) -> int:
    """A 32-bit result, carried out as the return code; zero is success."""
    outcome = run(engine, shelf, expression, extra, **facts)
    return 0 if outcome.status == "ok" else int(outcome.detail)


def long_of(engine: WasmEngine, shelf: Shelf, expression: str, **facts: object) -> int:
    body = (
        f"(i64.store (i32.const 0) {expression})"
        " (drop (call $host_response_write (i32.const 0) (i32.const 8))) (i32.const 0)"
    )
    outcome = run(engine, shelf, body, **facts)
    assert outcome.status == "ok", outcome
    return int.from_bytes(outcome.response, "little", signed=True)


KEY = '(data (i32.const 512) "key") (data (i32.const 520) "value") (data (i32.const 530) "\\00sys")'
K, V, SYSTEM = "(i32.const 512) (i32.const 3)", "(i32.const 520) (i32.const 5)", "(i32.const 530) (i32.const 4)"


def test_put_then_get_within_a_call_and_the_diff_after_it(engine: WasmEngine, shelf: Shelf) -> None:
    body = (
        f"(drop (call $host_kv_put {K} {V})) (drop (call $host_kv_get {K} (i32.const 0) (i32.const 99)))"
        " (drop (call $host_response_write (i32.const 0) (i32.const 5))) (i32.const 0)"
    )
    outcome = run(engine, shelf, body, KEY)
    assert outcome.response == b"value"
    assert outcome.diff == ((b"key", b"value"),)
    assert outcome.usage == 3 + 5 + 64


def test_absent_keys_and_small_buffers_have_their_codes(engine: WasmEngine, shelf: Shelf) -> None:
    assert number_of(engine, shelf, f"(call $host_kv_get_len {K})", KEY) == -1
    assert number_of(engine, shelf, f"(call $host_kv_get {K} (i32.const 0) (i32.const 9))", KEY) == -1
    assert number_of(engine, shelf, f"(call $host_kv_del {K})", KEY) == -1
    shelf.rows[CIRCLE, b"key"] = b"value"
    assert number_of(engine, shelf, f"(call $host_kv_get_len {K})", KEY) == 5
    assert number_of(engine, shelf, f"(call $host_kv_get {K} (i32.const 0) (i32.const 4))", KEY) == -2
    assert number_of(engine, shelf, f"(call $host_kv_get {K} (i32.const 65535) (i32.const 9))", KEY) == -2
    assert number_of(engine, shelf, f"(call $host_kv_read {K} (i32.const 0) (i32.const 2))", KEY) == 5


def test_read_fills_what_fits(engine: WasmEngine, shelf: Shelf) -> None:
    shelf.rows[CIRCLE, b"key"] = b"value"
    assert answer_of(engine, shelf, f"(call $host_kv_read {K} (i32.const 0) (i32.const 2))", 4, KEY) == b"va\0\0"


def test_system_keys_empty_keys_and_long_keys_are_refused(engine: WasmEngine, shelf: Shelf) -> None:
    for name in ("kv_get_len", "kv_del"):
        assert number_of(engine, shelf, f"(call $host_{name} {SYSTEM})", KEY) == -3
    assert number_of(engine, shelf, f"(call $host_kv_put {SYSTEM} {V})", KEY) == -3
    assert number_of(engine, shelf, f"(call $host_kv_put (i32.const 0) (i32.const 0) {V})", KEY) == -5
    assert number_of(engine, shelf, f"(call $host_kv_put (i32.const 512) (i32.const 1025) {V})", KEY) == -5
    assert number_of(engine, shelf, f"(call $host_kv_put (i32.const 512) (i32.const 1024) {V})", KEY) == 0


def test_a_value_beyond_64_kib_is_refused_with_minus_4(engine: WasmEngine, shelf: Shelf) -> None:
    grow = "(drop (memory.grow (i32.const 1)))"
    put = f"(call $host_kv_put {K} (i32.const 1024) (i32.const %d))"
    assert number_of(engine, shelf, grow + put % 65_537, KEY) == -4
    assert number_of(engine, shelf, grow + put % 65_536, KEY) == 0


def test_views_write_nothing_and_are_told_so(engine: WasmEngine, shelf: Shelf) -> None:
    shelf.rows[CIRCLE, b"key"] = b"value"
    before = dict(shelf.rows)
    for attempt in (
        f"(call $host_kv_put {K} {V})",
        f"(call $host_kv_del {K})",
        f"(call $host_emit_event {K} {V})",
        "(call $host_transfer (i32.const 0) (i32.const 47) (i64.const 1))",
    ):
        assert number_of(engine, shelf, attempt, KEY, view=True) == -1
        quiet = run(engine, shelf, f"(drop {attempt}) (i32.const 0)", KEY, view=True)
        assert (quiet.status, quiet.diff, quiet.events, quiet.transfers) == ("ok", (), (), ())
    assert shelf.rows == before
    assert number_of(engine, shelf, "(call $host_is_view )", view=True) == 1
    assert number_of(engine, shelf, "(call $host_is_view )") == 0


def test_scan_merges_own_writes_with_the_state_and_keeps_its_snapshot(engine: WasmEngine, shelf: Shelf) -> None:
    for key in (b"a", b"c", b"e"):
        shelf.rows[CIRCLE, key] = key.upper()
    shelf.rows[CIRCLE, b"\0system"] = b"hidden"
    shelf.rows[OTHER_CIRCLE, b"b"] = b"theirs"
    data = '(data (i32.const 512) "bdc")'
    body = (
        "(drop (call $host_kv_put (i32.const 513) (i32.const 1) (i32.const 512) (i32.const 1)))"  # d = b
        "(drop (call $host_kv_del (i32.const 514) (i32.const 1)))"  # c goes
        "(local.set $i (call $host_kv_scan (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))"
        "(drop (call $host_kv_put (i32.const 512) (i32.const 1) (i32.const 512) (i32.const 1)))"  # b is too late
        "(loop $row (local.set $j (call $host_kv_next (local.get $i) (i32.const 2048) (i32.const 100)))"
        " (if (i32.ge_s (local.get $j) (i32.const 0)) (then"
        "  (drop (call $host_response_write (i32.const 2048) (local.get $j))) (br $row)))) (i32.const 0)"
    )
    rows = b"".join(b"\0\1" + key + b"\0\0\0\1" + value for key, value in ((b"a", b"A"), (b"d", b"b"), (b"e", b"E")))
    assert run(engine, shelf, body, data).response == rows


def test_scan_bounds_unknown_flags_and_iterators_have_their_codes(engine: WasmEngine, shelf: Shelf) -> None:
    everything = "(i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)"
    assert number_of(engine, shelf, f"(call $host_kv_scan {everything} (i32.const 1))") == -5
    assert number_of(engine, shelf, "(call $host_kv_next (i32.const 0) (i32.const 0) (i32.const 9))") == -5
    nine = (
        f"(drop (call $host_kv_scan {everything} (i32.const 0)))" * 8
        + f"(call $host_kv_scan {everything} (i32.const 0))"
    )
    assert number_of(engine, shelf, nine) == -4
    shelf.rows[CIRCLE, b"k"] = b"x" * 50
    small = (
        f"(drop (call $host_kv_scan {everything} (i32.const 0)))"
        "(if (i32.ne (call $host_kv_next (i32.const 0) (i32.const 0) (i32.const 8)) (i32.const -2)) (then unreachable))"
        "(call $host_kv_next (i32.const 0) (i32.const 0) (i32.const 99))"
    )
    assert number_of(engine, shelf, small) == 2 + 1 + 4 + 50, "a row that did not fit is still the next one"


def test_a_value_is_paid_by_its_length_even_when_it_is_not_taken(engine: WasmEngine, shelf: Shelf) -> None:
    for ask in (f"$host_kv_get_len {K}", f"$host_kv_get {K} (i32.const 0) (i32.const 0)"):
        spent = []
        for size in (0, 50_000):
            shelf.rows[CIRCLE, b"key"] = bytes(size)
            spent.append(run(engine, shelf, f"(drop (call {ask})) (i32.const 0)", KEY).gas_used)
        assert spent[1] - spent[0] == 50_000


def test_an_opened_scan_fetches_no_more_than_twice_what_was_taken(engine: WasmEngine, shelf: Shelf) -> None:
    class Counting(Shelf):
        fetched = 0

        def scan(self, circle: bytes, start: bytes, end: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
            rows = list(super().scan(circle, start, end, limit))
            self.fetched += len(rows)
            return iter(rows)

    next_ = "(drop (call $host_kv_next (i32.const 0) (i32.const 0) (i32.const 99)))"
    for taken, fetched in ((0, 0), (1, 1), (3, 3), (4, 7), (20, 31)):
        counting = Counting(rows={(CIRCLE, b"%03d" % number): b"" for number in range(200)})
        open_ = "(drop (call $host_kv_scan (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))"
        assert run(engine, counting, open_ + next_ * taken + "(i32.const 0)").status == "ok"
        assert counting.fetched == fetched


def test_scan_reads_more_rows_than_one_page(engine: WasmEngine, shelf: Shelf) -> None:
    for number in range(200):
        shelf.rows[CIRCLE, b"%03d" % number] = b""
    count = (
        "(drop (call $host_kv_scan (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))"
        "(loop (if (i32.ge_s (call $host_kv_next (i32.const 0) (i32.const 0) (i32.const 99)) (i32.const 0)) (then"
        " (local.set $i (i32.add (local.get $i) (i32.const 1))) (br 1)))) (local.get $i)"
    )
    assert number_of(engine, shelf, count) == 200


def test_facts_of_the_call_reach_the_guest(engine: WasmEngine, shelf: Shelf) -> None:
    assert long_of(engine, shelf, "(call $host_epoch )") == CONTEXT.epoch
    assert long_of(engine, shelf, "(call $host_height )") == CONTEXT.height
    assert long_of(engine, shelf, "(call $host_time_ms )") == CONTEXT.time_ms
    assert long_of(engine, shelf, "(call $host_value )", value=7, balance=100) == 7
    assert long_of(engine, shelf, "(call $host_balance )", value=7, balance=100) == 107
    assert long_of(engine, shelf, "(call $host_bootstraps_left )") == 0
    assert long_of(engine, shelf, "(call $host_kv_usage )", usage=12_345) == 12_345
    texts = {"caller": print_address(ALICE), "origin": print_address(ALICE), "self": print_circle(CIRCLE)}
    for name, text in texts.items():
        assert number_of(engine, shelf, f"(call $host_{name}_len )") == len(text)
        fill = f"(call $host_{name}_read (i32.const 0) (i32.const 47))"
        assert answer_of(engine, shelf, fill, 47) == text.encode()
        assert number_of(engine, shelf, f"(call $host_{name}_read (i32.const 0) (i32.const 46))") == -2
    assert answer_of(engine, shelf, "(call $host_tx_id (i32.const 0))", 32) == b"\xca" * 32
    chain = answer_of(engine, shelf, "(call $host_chain_id (i32.const 0) (i32.const 64))", 10)
    assert chain == b"test-chain"


def test_gas_left_falls_by_what_was_spent(engine: WasmEngine, shelf: Shelf) -> None:
    difference = "(i64.sub (call $host_gas_left ) (call $host_gas_left ))"
    # Between the two readings: the second host call and the call instruction before it.
    assert long_of(engine, shelf, difference) == 1_500 + 12


def test_events_stand_in_the_receipt_in_order(engine: WasmEngine, shelf: Shelf) -> None:
    outcome = run(engine, shelf, f"(drop (call $host_emit_event {K} {V})) (call $host_emit_event {V} {K})", KEY)
    assert [(event.topic, event.data) for event in outcome.events] == [(b"key", b"value"), (b"value", b"key")]


def test_a_failed_call_leaves_nothing_but_its_gas_and_reason(engine: WasmEngine, shelf: Shelf) -> None:
    body = f"(drop (call $host_kv_put {K} {V})) (drop (call $host_emit_event {K} {V})) (drop (call $host_log {V}))"
    outcome = run(engine, shelf, body + f"(drop (call $host_response_write {V})) (i32.const 9)", KEY)
    assert (outcome.status, outcome.detail, outcome.response) == ("reverted", "9", b"value")
    assert (outcome.diff, outcome.events, outcome.usage) == ((), (), 0)
    assert outcome.log == ("value",), "the developer still sees the log"


def test_response_can_be_taken_back_and_is_closed_by_finish(engine: WasmEngine, shelf: Shelf) -> None:
    write = f"(drop (call $host_response_write {V}))"
    assert run(engine, shelf, write + "(drop (call $host_response_reset )) (i32.const 0)", KEY).response == b""
    closed = write + "(drop (call $host_response_finish (i32.const 0)))" + f"(call $host_response_write {V})"
    assert number_of(engine, shelf, closed, KEY) == -5


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [
        (0, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (1, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"),
        (2, "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"),
    ],
)
def test_hashes_agree_with_published_vectors(algorithm: int, digest: str, engine: WasmEngine, shelf: Shelf) -> None:
    fill = f"(call $host_hash (i32.const {algorithm}) (i32.const 512) (i32.const 3) (i32.const 0))"
    assert answer_of(engine, shelf, fill, 32, '(data (i32.const 512) "abc")').hex() == digest


def test_an_unknown_hash_is_a_bad_argument(engine: WasmEngine, shelf: Shelf) -> None:
    assert number_of(engine, shelf, "(call $host_hash (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0))") == -5


def test_signatures_are_verified(engine: WasmEngine, shelf: Shelf) -> None:
    key = SigningKey(b"\x07" * 32)
    for signature, verdict in ((key.sign(b"vote"), 1), (key.sign(b"veto"), 0)):
        data = "".join(f"\\{byte:02x}" for byte in key.public + signature + b"vote")
        call = "(call $host_ed25519_verify (i32.const 512) (i32.const 544) (i32.const 608) (i32.const 4))"
        assert number_of(engine, shelf, call, f'(data (i32.const 512) "{data}")') == verdict


def test_random_follows_the_rule_and_differs_each_time(engine: WasmEngine, shelf: Shelf) -> None:
    fill = "(call $host_random (i32.const 512) (i32.const 3) (i32.const 0))"
    twice = f"(i32.add {fill} {fill.replace('(i32.const 0))', '(i32.const 32))')})"
    got = answer_of(engine, shelf, twice, 64, '(data (i32.const 512) "die")')
    parts = [H("octra.c.random", CONTEXT.beacon, b"\xca" * 32, CIRCLE, n.to_bytes(8, "big"), b"die") for n in (0, 1)]
    assert got == b"".join(parts)


def _pay(address: str, amount: int) -> tuple[str, str]:
    call = f"(call $host_transfer (i32.const 512) (i32.const {len(address)}) (i64.const {amount}))"
    return call, f'(data (i32.const 512) "{address}")'


def test_transfers_are_debited_at_once_and_listed(engine: WasmEngine, shelf: Shelf) -> None:
    call, data = _pay(print_address(BOB), 60)
    outcome = run(engine, shelf, f"(drop {call}) (drop {call}) (i32.const 0)", data, balance=50, value=50)
    assert outcome.transfers == ((BOB, 60),), "the second one was not covered"
    assert number_of(engine, shelf, f"(drop {call}) {call}", data, balance=100) == -4


def test_bad_transfers_have_their_codes(engine: WasmEngine, shelf: Shelf) -> None:
    for address, amount in ((print_address(BOB), 0), (print_address(BOB), -1), ("oct1", 5), ("x" * 47, 5)):
        call, data = _pay(address, amount)
        assert number_of(engine, shelf, call, data, balance=100) == -5


def test_more_than_64_transfers_end_the_call(engine: WasmEngine, shelf: Shelf) -> None:
    call, data = _pay(print_address(BOB), 1)
    outcome = run(engine, shelf, f"(loop (drop {call}) (br 0)) (i32.const 0)", data, balance=1_000)
    assert (outcome.status, outcome.transfers) == ("limit_exceeded", ())


def test_log_is_local_and_bounded(engine: WasmEngine, shelf: Shelf) -> None:
    outcome = run(
        engine,
        shelf,
        f"(drop (call $host_log {V})) (drop (call $host_log (i32.const 0) (i32.const 65532))) (i32.const 0)",
        KEY,
    )
    assert outcome.log == ("value",), "beyond 64 KiB lines are dropped, the call goes on"
    assert outcome.status == "ok"


def test_log_text_cannot_break_the_receipt(engine: WasmEngine, shelf: Shelf) -> None:
    outcome = run(
        engine, shelf, "(call $host_abort (i32.const 512) (i32.const 4))", '(data (i32.const 512) "\\ff\\fea\\00")'
    )
    assert (outcome.status, outcome.detail) == ("aborted", "\ufffd\ufffda\0")


def test_the_32_mib_edge_is_exact(engine: WasmEngine, shelf: Shelf) -> None:
    put = f"(call $host_kv_put {K} {V})"
    entry = 3 + 5 + 64
    assert number_of(engine, shelf, put, KEY, usage=32 * MIB - entry) == 0
    assert number_of(engine, shelf, put, KEY, usage=32 * MIB - entry + 1) == -4
    refused = run(engine, shelf, f"(drop {put}) (i32.const 0)", KEY, usage=32 * MIB - entry + 1)
    assert (refused.status, refused.diff, refused.usage) == ("ok", (), 32 * MIB - entry + 1)


def test_a_circle_cannot_grow_to_33_mib_over_many_calls(engine: WasmEngine, shelf: Shelf) -> None:
    # Each call writes 15 fresh values of 64 KiB; keys are the method's digits and a letter.
    body = (
        "(drop (memory.grow (i32.const 1)))"
        "(loop $more (i32.store8 (i32.const 1041) (i32.add (i32.const 97) (local.get $i)))"
        " (if (call $host_kv_put (i32.const 1031) (i32.const 11) (i32.const 2048) (i32.const 65536))"
        "  (then (return (i32.const 4))))"
        " (br_if $more (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 15)))) (i32.const 0)"
    )
    code_hash = shelf.install(contract(body))
    calls = [
        call_of(code_hash, f"m{number:09d}", gas_limit=100_000_000, call_id=number.to_bytes(32, "big"))
        for number in range(36)
    ]
    outcomes = engine.execute(calls, shelf)
    statuses = [outcome.status for outcome in outcomes]
    size = 11 + 65_536 + 64
    fitting = 32 * MIB // (15 * size)
    assert statuses == ["ok"] * fitting + ["reverted"] * (36 - fitting)
    assert outcomes[-1].usage == fitting * 15 * size <= 32 * MIB
    for outcome in outcomes:
        shelf.apply(CIRCLE, outcome)
    assert sum(len(key) + len(value) + 64 for (_, key), value in shelf.rows.items()) == outcomes[-1].usage


def test_one_mebibyte_written_in_a_call_is_the_limit(engine: WasmEngine, shelf: Shelf) -> None:
    body = (
        "(drop (memory.grow (i32.const 1)))"
        "(loop $more (i32.store8 (i32.const 512) (i32.add (i32.const 97) (local.get $i)))"
        " (if (call $host_kv_put (i32.const 512) (i32.const 1) (i32.const 2048) (i32.const 65536))"
        "  (then (return (local.get $i))))"
        " (br_if $more (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 20)))) (i32.const 0)"
    )
    assert number_of(engine, shelf, body, gas_limit=100_000_000) == 15, "sixteen values and their keys pass 1 MiB"


def test_arguments_arrive_in_the_frame(engine: WasmEngine, shelf: Shelf) -> None:
    echo = "(drop (call $host_response_write (local.get $p) (local.get $n))) (i32.const 0)"
    code_hash = shelf.install(contract(echo))
    arguments = (None, True, False, -5, 2**63 - 1, "zwölf", b"\0\xff")
    outcome = engine.execute([call_of(code_hash, "echo", arguments)], shelf)[0]
    assert decode_request(outcome.response) == ("echo", arguments)


def test_a_request_that_is_too_large_is_refused_without_running(engine: WasmEngine, shelf: Shelf) -> None:
    call = call_of(shelf.install(contract()), "run", (b"x" * (256 * 1024),))
    outcome = engine.execute([call], shelf)[0]
    assert (outcome.status, outcome.gas_used) == ("limit_exceeded", 0)


def test_later_calls_of_a_commit_see_writes_balance_and_usage_of_earlier_ones(engine: WasmEngine, shelf: Shelf) -> None:
    pay, data = _pay(print_address(BOB), 40)
    code = shelf.install(contract(f"{pay}", extra=data))
    first = call_of(code, balance=100)
    statuses = [outcome.detail for outcome in engine.execute([first, first, first], shelf)]
    assert statuses == ["", "", "-4"], "100 pays twice 40, not three times"
    put = shelf.install(contract(f"(drop (call $host_kv_put {K} {V})) (call $host_kv_get_len {K})", extra=KEY))
    length = shelf.install(contract(f"(i32.sub (call $host_kv_get_len {K}) (i32.const 5))", extra=KEY))
    outcomes = engine.execute([call_of(put), call_of(length)], shelf)
    assert [outcome.status for outcome in outcomes] == ["reverted", "reverted"], "the first failed, so nothing is there"
    good = shelf.install(contract(f"(call $host_kv_put {K} {V})", extra=KEY))
    outcomes = engine.execute([call_of(good), call_of(length), call_of(good)], shelf)
    assert [outcome.status for outcome in outcomes] == ["ok", "ok", "ok"]
    assert outcomes[2].diff == (), "writing what is there already changes nothing"
