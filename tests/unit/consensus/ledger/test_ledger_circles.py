"""Circles on the ledger: blobs, deploy, gate, calls, value, upgrade and files."""

from __future__ import annotations

from hashlib import sha256

import pytest
from ledger_double import ALICE, BOB, COINS, Chain, CounterEngine, address, arguments, make_params, with_limits
from msgspec.structs import replace

from octra.codec import encode
from octra.consensus.circles import blob_hash, circle_id, file_leaf, tree_root
from octra.consensus.ledger import keys, ops
from octra.consensus.ledger.blobs import read_blob, read_code
from octra.consensus.ledger.circle_manifest import manifest_hash, read_manifest
from octra.consensus.ledger.circle_ops import read_asset
from octra.consensus.ledger.errors import InvalidOp
from octra.consensus.ledger.receipts import Receipt, events_root, outcome_hash
from octra.consensus.ledger.records import CircleRecord
from octra.consensus.ledger.state import load
from octra.crypto.hash import EMPTY_ROOT
from octra.errors import Malformed

CODE = CounterEngine.CODE
METHODS = {
    "add": {"kind": "update"},
    "pay": {"kind": "update", "payable": True},
    "fail": {"kind": "update", "payable": True},
    "burn_gas": {"kind": "update"},
    "value": {"kind": "query"},
    "done": {"kind": "callback"},
    "reset": {"kind": "update", "allow": ["owner"]},
}
MANIFEST = encode({"circle": {"name": "counter"}, "limits": {"max_stable_bytes": 1_000}, "methods": METHODS})
PACKAGE = bytes([8]) * 32
DEPLOY = ops.CircleDeploy(PACKAGE, MANIFEST, sha256(CODE).digest(), EMPTY_ROOT)
DEPLOY_FEE = 200_000 + 3_000


@pytest.fixture
def chain() -> Chain:
    return Chain()


def put(chain: Chain, content: bytes) -> list[Receipt]:
    parts = [content[start : start + ops.BLOB_PART_BYTES] for start in range(0, len(content), ops.BLOB_PART_BYTES)]
    name = blob_hash(content)
    return [chain.run(ALICE, ops.CircleBlobPut(name, index, part)) for index, part in enumerate(parts)]


def deploy(chain: Chain, op: ops.CircleDeploy = DEPLOY) -> bytes:
    """The id of a Circle of Alice that can be called."""
    put(chain, CODE)
    receipt = chain.run(ALICE, op, fee=DEPLOY_FEE)
    assert receipt.status == "ok", receipt
    circle = circle_id(address(ALICE), chain.nonces[ALICE.public], op.package_root)
    for _ in range(chain.params.limits.circle_activation):
        chain.step()
    return circle


def record(chain: Chain, circle: bytes) -> CircleRecord:
    found = load(chain.view, keys.circle(circle), CircleRecord)
    assert found is not None
    return found


def call(circle: bytes, method: str, *values: int | bytes, value: int = 0, gas: int = 10_000_000) -> ops.CircleCall:
    return ops.CircleCall(circle, method, arguments(*values), value, gas)


def test_a_deployed_circle_counts_and_its_root_enters_its_record(chain: Chain) -> None:
    circle = deploy(chain)
    assert record(chain, circle).owner == address(ALICE)
    for total in (5, 12):
        receipt = chain.run(BOB, call(circle, "add", total - (total > 5) * 5))
        assert (receipt.status, receipt.gas, receipt.fee_charged) == ("ok", 50_000, 1_000)
        outcome = chain.outcomes[-1]
        assert int.from_bytes(outcome.calls[receipt.tx].response, "big") == total
        assert receipt.result == outcome_hash(replace(outcome.calls[receipt.tx], log=()))
        events = [one.event for one in outcome.events if one.tx == receipt.tx]
        assert [(event.source, event.topic) for event in events] == [(circle, b"added")]
        assert receipt.events_root == events_root(events)
    assert record(chain, circle).stable_bytes == 73
    assert record(chain, circle).stable_root not in (EMPTY_ROOT, bytes(32))
    assert chain.circles.get(circle, b"n") == (12).to_bytes(8, "big")


def test_calls_of_one_commit_see_each_others_writes_in_order(chain: Chain) -> None:
    circle = deploy(chain)
    names = [chain.submit(key, call(circle, "add", n)) for n, key in ((1, ALICE), (10, BOB), (100, ALICE))]
    outcome = chain.step()
    assert [int.from_bytes(outcome.calls[name].response, "big") for name in names] == [1, 11, 111]
    assert outcome.circle_writes == {circle: ((b"n", (111).to_bytes(8, "big")),)}


def test_a_circle_is_called_only_after_validators_had_time_to_compile(chain: Chain) -> None:
    put(chain, CODE)
    chain.run(ALICE, DEPLOY, fee=DEPLOY_FEE)
    circle = circle_id(address(ALICE), 2, PACKAGE)
    receipt = chain.run(ALICE, call(circle, "add", 1))
    assert (receipt.status, receipt.code) == ("failed", 2115)
    assert chain.run(ALICE, call(circle, "add", 1)).status == "ok"


@pytest.mark.parametrize(
    ("method", "value", "word"),
    [
        ("nothing", 0, "method_unsupported"),
        ("value", 0, "method_kind"),
        ("done", 0, "method_kind"),
        ("add", 5, "not_payable"),
        ("reset", 0, "denied"),
    ],
)
def test_the_gate_refuses_before_any_code_runs(chain: Chain, method: str, value: int, word: str) -> None:
    circle = deploy(chain)
    receipt = chain.run(BOB, call(circle, method, 1, value=value))
    assert (receipt.status, receipt.code) == ("failed", 6004)
    assert receipt.detail.startswith(word)
    assert not chain.outcomes[-1].calls
    assert chain.balance(BOB) == COINS - 10_000


def test_the_owner_passes_a_gate_for_owners(chain: Chain) -> None:
    circle = deploy(chain)
    assert chain.run(ALICE, call(circle, "reset")).detail == "out_of_gas"


def test_value_goes_to_the_circle_and_the_circle_pays_out(chain: Chain) -> None:
    circle = deploy(chain)
    receipt = chain.run(BOB, call(circle, "pay", address(ALICE), 30, value=100))
    assert (receipt.status, receipt.fee_charged) == ("ok", 2_000)
    assert chain.balance(BOB) == COINS - 2_000 - 100
    held = chain.view.get(keys.account(circle))
    assert held is not None
    before = chain.balance(ALICE)
    chain.run(BOB, call(circle, "pay", address(ALICE), 70))
    assert chain.balance(ALICE) == before + 70


def test_a_failed_call_returns_the_value_and_unused_gas_and_writes_nothing(chain: Chain) -> None:
    circle = deploy(chain)
    receipt = chain.run(BOB, call(circle, "fail", value=100))
    assert (receipt.status, receipt.code, receipt.detail) == ("failed", 6004, "reverted: 1")
    assert (receipt.gas, receipt.fee_charged) == (1_500_001, 1_501)
    assert chain.balance(BOB) == COINS - 1_501
    assert not chain.outcomes[-1].circle_writes


def test_a_call_out_of_gas_pays_for_its_whole_limit(chain: Chain) -> None:
    circle = deploy(chain)
    receipt = chain.run(BOB, call(circle, "burn_gas", gas=7_000_000))
    assert (receipt.status, receipt.gas, receipt.fee_charged) == ("failed", 7_000_000, 7_000)


def test_calls_of_unknown_circles_and_with_odd_arguments_fail(chain: Chain) -> None:
    circle = deploy(chain)
    assert chain.run(BOB, call(bytes(33), "add", 1)).code == 4041
    for odd in (encode([1.5]), encode([[1]]), b"\x91" * 60_000 + b"\xc0", encode([1] * 300), encode(1), b"", b"\xc1"):
        receipt = chain.run(BOB, ops.CircleCall(circle, "add", odd, 0, 1_000_000))
        assert (receipt.status, receipt.code) == ("failed", 2105)


# --- deploy ---


def test_a_deploy_needs_its_code_and_pays_for_the_metered_size(chain: Chain) -> None:
    assert chain.run(ALICE, DEPLOY, fee=DEPLOY_FEE).code == 4041
    put(chain, CODE)
    cheap = chain.run(ALICE, DEPLOY, fee=DEPLOY_FEE - 1)
    assert (cheap.status, cheap.code) == ("failed", 2113)
    receipt = chain.run(ALICE, DEPLOY, fee=DEPLOY_FEE + 5)
    assert (receipt.status, receipt.fee_charged) == ("ok", DEPLOY_FEE + 5)


def test_a_module_that_the_engine_refuses_is_not_deployed(chain: Chain) -> None:
    put(chain, b"\0asm other")
    op = ops.CircleDeploy(PACKAGE, MANIFEST, sha256(b"\0asm other").digest(), EMPTY_ROOT)
    receipt = chain.run(ALICE, op, fee=DEPLOY_FEE)
    assert (receipt.code, receipt.detail) == (6002, "module refused: not the counter")


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"\x90",
        b"\x81\xa1x" * 9 + b"\xc0",
        b"\x81\xa1x" + b"\x91" * 60_000 + b"\xc0",
        encode({"limits": {"max_stable_bytes": 2**25 + 1}}),
        encode({"methods": {"a": {"kind": "other"}}}),
    ],
)
def test_a_manifest_that_the_chain_cannot_read_is_refused(chain: Chain, manifest: bytes) -> None:
    with pytest.raises((InvalidOp, Malformed)):
        read_manifest(manifest)
    put(chain, CODE)
    op = ops.CircleDeploy(PACKAGE, manifest, sha256(CODE).digest(), EMPTY_ROOT)
    assert chain.run(ALICE, op, fee=DEPLOY_FEE).code == 2105


def test_an_upgrade_replaces_the_code_and_keeps_the_state(chain: Chain) -> None:
    circle = deploy(chain)
    chain.run(BOB, call(circle, "add", 5))
    manifest = encode({"methods": {"add": {"kind": "update"}}})
    code_hash = sha256(CODE).digest()
    op = ops.CircleUpgrade(circle, code_hash, PACKAGE, manifest, code_hash, EMPTY_ROOT)
    assert chain.run(BOB, op, fee=DEPLOY_FEE).code == 4031
    stale = replace(op, old_code_hash=bytes(32))
    assert chain.run(ALICE, stale, fee=DEPLOY_FEE).code == 2115
    assert chain.run(ALICE, op, fee=DEPLOY_FEE).status == "ok"
    assert (record(chain, circle).version, record(chain, circle).manifest_hash) == (2, manifest_hash(manifest))
    chain.step()
    chain.run(BOB, call(circle, "add", 2))
    assert chain.circles.get(circle, b"n") == (7).to_bytes(8, "big")
    assert chain.run(BOB, call(circle, "fail")).detail.startswith("method_unsupported")


def test_an_immutable_circle_is_never_upgraded(chain: Chain) -> None:
    manifest = encode({"methods": METHODS, "upgrade": {"mode": "immutable"}})
    circle = deploy(chain, replace(DEPLOY, manifest=manifest))
    code_hash = sha256(CODE).digest()
    op = ops.CircleUpgrade(circle, code_hash, PACKAGE, MANIFEST, code_hash, EMPTY_ROOT)
    receipt = chain.run(ALICE, op, fee=DEPLOY_FEE)
    assert (receipt.status, receipt.code, receipt.detail) == ("failed", 2115, "invalid target: the Circle is immutable")
    assert record(chain, circle).version == 1


def test_the_chain_reads_the_manifest_of_the_template() -> None:
    from pathlib import Path

    from octra.circles import manifest

    template = Path(__file__).parents[4] / "circles" / "templates" / "counter" / "common" / "circle.toml"
    text = template.read_text().replace("@NAME@", "counter").replace("@LANG@", "wat").replace("@ENTRY@", "counter.wat")
    known = manifest.parse(text)
    facts = read_manifest(known.canonical())
    assert manifest_hash(known.canonical()) == known.hash()
    assert {name: (method.kind, method.payable, list(method.allow)) for name, method in facts.methods.items()} == {
        name: (method.kind, method.payable, list(method.allow)) for name, method in known.methods.items()
    }
    assert facts.limits.max_stable_bytes == known.limits.max_stable_bytes


# --- blobs and files ---


def test_a_large_blob_arrives_in_parts_in_any_order(chain: Chain) -> None:
    content = bytes(range(256)) * 1_500  # three parts
    name = blob_hash(content)
    size = ops.BLOB_PART_BYTES
    for index in (2, 0, 1):
        assert read_blob(chain.view, name) is None
        part = content[size * index : size * (index + 1)]
        assert chain.run(ALICE, ops.CircleBlobPut(name, index, part)).status == "ok"
    assert read_blob(chain.view, name) == content
    assert read_code(chain.view, sha256(content).digest()) == content
    assert chain.run(ALICE, ops.CircleBlobPut(name, 0, content[:size])).code == 2115
    assert not list(chain.view.scan(keys.STAGED, 9)), "staging is cleared"


def test_nobody_can_spoil_the_upload_of_another(chain: Chain) -> None:
    content = b"a" * ops.BLOB_PART_BYTES + b"b"
    name = blob_hash(content)
    chain.run(BOB, ops.CircleBlobPut(name, 0, b"spoiled"))
    assert [receipt.status for receipt in put(chain, content)] == ["ok", "ok"]
    assert read_blob(chain.view, name) == content


def test_a_part_is_put_once(chain: Chain) -> None:
    name = blob_hash(b"a" * ops.BLOB_PART_BYTES + b"b")
    assert chain.run(ALICE, ops.CircleBlobPut(name, 0, b"x")).status == "ok"
    assert chain.run(ALICE, ops.CircleBlobPut(name, 0, b"y")).code == 2115


def test_what_nobody_uses_is_dropped_and_what_a_circle_uses_stays(chain: Chain) -> None:
    circle = deploy(chain)
    unused, staged = b"unused", blob_hash(b"never complete")
    put(chain, unused)
    chain.run(ALICE, ops.CircleBlobPut(staged, 1, b"part"))
    for _ in range(chain.params.limits.blob_epochs):
        chain.step(dt_ms=20_000)
    assert read_blob(chain.view, blob_hash(unused)) == unused
    chain.step(dt_ms=20_000)
    chain.step(dt_ms=20_000)
    assert read_blob(chain.view, blob_hash(unused)) is None
    assert read_code(chain.view, sha256(unused).digest()) is None
    assert not list(chain.view.scan(keys.STAGED, 9))
    assert read_code(chain.view, sha256(CODE).digest()) == CODE
    assert chain.run(BOB, call(circle, "add", 1)).status == "ok"


def test_files_behind_the_assets_root_are_published_and_read(chain: Chain) -> None:
    page, style = b"<h1>counter</h1>", b"h1 {}"
    files = (
        ops.Asset("/index.html", "text/html", "", blob_hash(page)),
        ops.Asset("/style.css", "text/css", "", blob_hash(style)),
    )
    root = tree_root([file_leaf(file.path, file.media, file.encoding, file.blob) for file in files])
    circle = deploy(chain, replace(DEPLOY, assets_root=root))
    publish = ops.CircleAssets(circle, files)
    assert chain.run(ALICE, publish).code == 4041, "the blobs are missing"
    put(chain, page)
    put(chain, style)
    assert chain.run(BOB, publish).code == 4031
    assert chain.run(ALICE, replace(publish, files=files[:1])).code == 2115
    assert chain.run(ALICE, publish).status == "ok"
    found = read_asset(chain.view, circle, "/style.css")
    assert found is not None
    assert (found[0].media, found[1]) == ("text/css", style)
    assert read_asset(chain.view, circle, "/other") is None
    assert record(chain, circle).assets_bytes == len(page) + len(style)
    assert chain.run(ALICE, publish).code == 2115, "they are published"
    code_hash = sha256(CODE).digest()
    upgrade = ops.CircleUpgrade(circle, code_hash, PACKAGE, MANIFEST, code_hash, EMPTY_ROOT)
    assert chain.run(ALICE, upgrade, fee=DEPLOY_FEE).status == "ok"
    assert read_asset(chain.view, circle, "/style.css") is None


def test_files_of_a_circle_are_limited() -> None:
    chain = Chain(params=with_limits(make_params(), circle_assets_bytes=3))
    file = ops.Asset("/a", "text/plain", "", blob_hash(b"four"))
    circle = deploy(chain, replace(DEPLOY, assets_root=tree_root([file_leaf("/a", "text/plain", "", file.blob)])))
    put(chain, b"four")
    assert chain.run(ALICE, ops.CircleAssets(circle, (file,))).code == 2121
