"""The real engine under the real ledger: a shipped Circle and hostile ones are deployed and called by transactions."""

from __future__ import annotations

import importlib.util
import sys
from hashlib import sha256
from pathlib import Path
from types import ModuleType

import pytest

from octra.circles import manifest, project
from octra.circles.executor import ExecutorPool
from octra.circles.frame import decode_response
from octra.circles.inprocess import WasmEngine
from octra.circles.package import Package
from octra.circles.testing import compile_wat, contract
from octra.consensus.circles import blob_hash, circle_id
from octra.consensus.ledger import keys, ops
from octra.consensus.ledger.circle_ops import encode_arguments, read_asset
from octra.consensus.ledger.receipts import Receipt
from octra.consensus.ledger.records import CircleRecord
from octra.consensus.ledger.state import load
from octra.crypto.hash import EMPTY_ROOT
from octra.primitives import print_address

HOSTILE_MANIFEST = manifest.parse(
    """
    circle = { name = "hostile", version = "0.0.1", runtime = "wasm_v1" }
    build = { lang = "wat", entry = "src/x.wat" }
    [methods.run]
    kind = "update"
    """
)


def _ledger_double() -> ModuleType:
    """The chain in memory that the ledger's own tests use."""
    name = "ledger_double"
    if name not in sys.modules:
        path = Path(__file__).parents[1] / "consensus" / "ledger" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


double = _ledger_double()
ALICE, BOB = double.ALICE, double.BOB


@pytest.fixture
def chain(pool: ExecutorPool) -> object:
    running = double.Chain()
    running.engine = pool
    return running


def put(chain: object, content: bytes) -> None:
    for index in range(0, len(content), ops.BLOB_PART_BYTES):
        part = content[index : index + ops.BLOB_PART_BYTES]
        op = ops.CircleBlobPut(blob_hash(content), index // ops.BLOB_PART_BYTES, part)
        assert chain.run(ALICE, op).status == "ok"  # type: ignore[attr-defined]  # of the double


def deploy(chain: object, code: bytes, manifest_: bytes, root: bytes, assets_root: bytes) -> tuple[bytes, Receipt]:
    """The Circle's id and the receipt of its deploy."""
    put(chain, code)
    op = ops.CircleDeploy(root, manifest_, sha256(code).digest(), assets_root)
    receipt = chain.run(ALICE, op, fee=300_000)  # type: ignore[attr-defined]  # of the double
    circle = circle_id(double.address(ALICE), chain.nonces[ALICE.public], root)  # type: ignore[attr-defined]
    if receipt.status == "ok":
        for _ in range(chain.params.limits.circle_activation):  # type: ignore[attr-defined]
            chain.step()  # type: ignore[attr-defined]
    return circle, receipt


def deploy_package(chain: object, packed: Package) -> bytes:
    circle, receipt = deploy(chain, packed.code, packed.manifest.canonical(), packed.root, packed.assets_root)
    assert receipt.status == "ok", receipt
    return circle


def call(chain: object, circle: bytes, method: str, *, gas: int = 1_000_000, value: int = 0) -> Receipt:
    op = ops.CircleCall(circle, method, encode_arguments(), value, gas)
    receipt: Receipt = chain.run(BOB, op)  # type: ignore[attr-defined]  # of the double
    return receipt


def test_the_shipped_counter_lives_on_the_ledger(chain: double.Chain, tmp_path: Path) -> None:
    packed = project.build(project.create("counter", tmp_path)).package
    circle = deploy_package(chain, packed)
    for count in (1, 2, 3):
        receipt = call(chain, circle, "inc")
        assert receipt.status == "ok"
        assert 40_000 < receipt.gas < 100_000
        assert decode_response(chain.outcomes[-1].calls[receipt.tx].response) == count
    assert chain.circles.keys[circle] == {b"count": b"3", b"last": print_address(double.address(BOB)).encode()}
    record = load(chain.view, keys.circle(circle), CircleRecord)
    assert record is not None
    rows = chain.circles.keys[circle].items()
    assert record.stable_bytes == sum(len(key) + len(value) + 64 for key, value in rows)
    assert record.stable_root != EMPTY_ROOT
    assert call(chain, circle, "get").status == "failed", "a transaction calls update methods only"
    assert call(chain, circle, "inc", value=5).status == "failed", "inc is not payable"


def test_the_site_of_a_package_is_published_under_its_own_root(chain: double.Chain, tmp_path: Path) -> None:
    packed = project.build(project.create("counter", tmp_path)).package
    circle = deploy_package(chain, packed)
    for path, data in packed.files.items():
        if path.startswith("site/"):
            put(chain, data)
    files = tuple(ops.Asset(asset.path, asset.media, asset.encoding, asset.blob) for asset in packed.assets)
    assert chain.run(ALICE, ops.CircleAssets(circle, files)).status == "ok"
    found = read_asset(chain.view, circle, "/index.html")
    assert found is not None
    assert found[1] == packed.files["site/index.html"]


HOSTILE_CALLS = {
    "infinite loop": (contract("(loop (br 0)) (i32.const 0)"), "out_of_gas"),
    "deep recursion": (contract("(call $f)", extra="(func $f (result i32) (i32.eqz (call $f)))"), "depth_exceeded"),
    "float trap": (contract("(i32.trunc_f64_s (f64.const nan))"), "trapped"),
    "response flood": (
        contract("(loop (drop (call $host_response_write (i32.const 0) (i32.const 65536))) (br 0)) (i32.const 0)"),
        "limit_exceeded",
    ),
}
REFUSED_DEPLOYS = {
    "threads": "(module (memory 1 1 shared))",
    "table_entries": "(module (table 20000000 funcref))",
    "memory_pages": "(module (memory 528))",
    "import_unsupported": '(module (import "wasi_snapshot_preview1" "clock_time_get" (func)))',
}


def test_hostile_modules_fail_each_with_its_own_word_and_the_chain_goes_on(chain: double.Chain) -> None:
    canonical = HOSTILE_MANIFEST.canonical()
    for number, (name, source) in enumerate(REFUSED_DEPLOYS.items()):
        _, receipt = deploy(chain, compile_wat(source), canonical, bytes((number + 1,)) * 32, EMPTY_ROOT)
        assert receipt.status == "failed", name
    for number, (name, (code, status)) in enumerate(HOSTILE_CALLS.items()):
        circle, receipt = deploy(chain, code, canonical, bytes((number + 101,)) * 32, EMPTY_ROOT)
        assert receipt.status == "ok", name
        before = chain.view.rows[keys.circle(circle)]
        failed = call(chain, circle, "run", gas=10_000_000)
        outcome = chain.outcomes[-1].calls[failed.tx]
        assert (failed.status, outcome.status) == ("failed", status), name
        assert (outcome.gas_used == 10_000_000) == (status == "out_of_gas")
        assert chain.view.rows[keys.circle(circle)] == before, "a failed call leaves no trace in its Circle"
    assert chain.run(ALICE, ops.Transfer(double.address(BOB), 1, b"")).status == "ok"


def test_both_engines_leave_the_same_state(tmp_path: Path, pool: ExecutorPool, interpreter: WasmEngine) -> None:
    packed = project.build(project.create("counter", tmp_path)).package
    roots = []
    for engine in (pool, interpreter):
        chain = double.Chain()
        chain.engine = engine
        circle = deploy_package(chain, packed)
        for method in ("inc", "inc", "nothing", "inc"):
            call(chain, circle, method)
        roots.append((chain.view.root(), chain.circles.keys))
    assert roots[0] == roots[1]
