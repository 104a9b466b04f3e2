"""Ten thousand malformed requests, and a peer that sends garbage: typed refusals, flat memory, and the node goes on."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import random
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import structlog
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from octra.codec import decode, encode
from octra.consensus.ledger import ops
from octra.consensus.ledger.transactions import build, sign
from octra.crypto.ed25519 import SigningKey
from octra.crypto.hash import H
from octra.errors import Unavailable
from octra.node import home
from octra.node.actors.ref import ActorCode
from octra.node.clock import LoopClock
from octra.node.p2p.address import peer_id
from octra.node.p2p.endpoint import Endpoint
from octra.node.p2p.frame import LIMITS, Form
from octra.node.p2p.handshake import Identity
from octra.node.p2p.libp2p import Libp2pCarrier
from octra.node.p2p.messages import OrderingMessage, RangeAnswer, RangeRequest
from octra.node.p2p.router import Router
from octra.node.p2p.transport import DownReason, Lane, Sent
from octra.primitives import NodeId, address_of, print_address

pytestmark = pytest.mark.process

EXAMPLE = 40  # requests in one example: hypothesis costs more than the request
RPC_EXAMPLES, REST_EXAMPLES = 175, 75  # 10,000 requests in all
STRANGERS, FRAMES = 12, 150  # a stranger is banned, or has sent all
MEMORY_KIB = 30 * 1024
INTERNAL = ("OCT-5001", "OCT-9001", "OCT-9002")  # what is only said when the mistake is ours
PATIENCE_S = 600.0
QUICK: Any = {"database": None, "phases": [Phase.generate]}  # a failure names its request: no need to shrink a volley
KEY = SigningKey(H("octra.test", b"hostile"))


@dataclass
class Target:
    """The node under fire, and things of it that really exist."""

    http: str
    p2p: str
    pid: int
    log: Path
    node_id: NodeId
    genesis: Any
    methods: tuple[str, ...]
    transaction: str  # base64 wire of an executed one
    tx_id: str
    address: str
    connection: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection(self.http, timeout=60)

    def send(self, verb: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and body of one request over a connection that stays open as long as the node likes."""
        for _ in range(2):
            try:
                self.connection.request(verb, path, body, {"Content-Type": "application/json"} if body else {})
                answer = self.connection.getresponse()
                return answer.status, answer.read()
            except (http.client.RemoteDisconnected, ConnectionError):
                self.connection.close()  # it had been closed after an earlier refusal
        raise AssertionError("the node closes every connection")

    def memory_kib(self) -> int:
        """Resident memory of the node's process."""
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert found
        return int(found[1])


@pytest.fixture(scope="module")
def target(found, rpc) -> Target:
    """A chain of one node, so that all the fire goes to one process."""
    network = found(validators=1, accounts=(address_of(KEY.public),)).network
    place = network.places[0]
    genesis = home.read_genesis(place.directory)
    wire = base64.b64encode(payment(genesis.chain, 1)).decode()
    tx_id = rpc(place.http, "octra_submitRaw", wire)["tx_id"]
    assert rpc(place.http, "octra_wait", tx_id, "certified", 25)["status"] == "ok"
    listen = re.search(r"/ip4/[0-9.]+/tcp/[0-9]+", (place.directory / "config.toml").read_text())
    assert listen
    node_id = genesis.validators[0].node_id
    return Target(
        http=place.http,
        p2p=f"{listen[0]}/p2p/{peer_id(node_id)}",
        pid=network.processes[place.name].pid,
        log=place.directory / "logs" / "node.log",
        node_id=NodeId(node_id),
        genesis=genesis,
        methods=tuple(sorted(method["name"] for method in rpc(place.http, "rpc.discover")["methods"])),
        transaction=wire,
        tx_id=tx_id,
        address=print_address(address_of(KEY.public)),
    )


@pytest.fixture(scope="module")
def warm(target: Target) -> Target:
    """The same node after it has met some of everything: what it loads once is no leak."""
    dice = random.Random(1)
    for _ in range(500):
        target.send("POST", "/rpc", mutated(valid_calls(target), dice))
        target.send("GET", dice.choice(PATHS).format(id=target.tx_id, address=target.address))
    return target


@pytest.fixture
def under_fire(warm: Target, rpc) -> Iterator[Target]:
    """Before and after each attack: same history, new blocks, flat memory, and nothing that alarmed the node."""
    before, root = warm.memory_kib(), block(warm, rpc, 1)
    height = int(rpc(warm.http, "octra_chain")["height"])
    yield warm
    assert block(warm, rpc, 1) == root
    deadline = time.monotonic() + PATIENCE_S
    while int(rpc(warm.http, "octra_chain")["height"]) <= height:
        assert time.monotonic() < deadline, "no blocks any more"
        time.sleep(0.1)
    assert warm.memory_kib() - before < MEMORY_KIB
    log = warm.log.read_text()
    assert '"level": "error"' not in log
    assert "Traceback" not in log


# --- requests ---

PATHS = (
    "/api/v1/status", "/api/v1/chain", "/api/v1/network/graph", "/api/v1/epochs", "/api/v1/epochs/0",
    "/api/v1/heights", "/api/v1/heights/1", "/api/v1/transactions", "/api/v1/transactions/{id}",
    "/api/v1/accounts/{address}", "/api/v1/accounts/{address}/transactions", "/api/v1/handles/{id}",
    "/api/v1/jobs/{id}", "/api/v1/proofs/account/{address}", "/api/v1/proofs/transaction/{id}", "/api/v1/circles",
    "/api/v1/circles/{id}", "/tx/{id}", "/address/{address}", "/txs", "/epochs", "/health", "/readyz",
)  # fmt: skip

atoms = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=40),
    st.binary(max_size=60).map(lambda raw: base64.b64encode(raw).decode()),
    st.sampled_from(["", "0", "00" * 32, "ff" * 32, "certified", "account", "transaction", "circle", "oct" + "1" * 44]),
)
anything = st.recursive(atoms, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner,
                                                                                        max_size=4), max_leaves=8)  # fmt: skip


def calls(target: Target) -> st.SearchStrategy[bytes]:
    """Bodies that look like calls of real methods, with any parameters, ids and envelopes."""
    known = st.sampled_from([target.address, target.tx_id, target.transaction, 1, 0])
    call = st.fixed_dictionaries(
        {
            "jsonrpc": st.sampled_from(["2.0", "2.0", "2.0", "1.0", 2]),
            "method": st.sampled_from([name for name in target.methods if name != "octra_wait"]) | atoms,
        },
        optional={"params": st.lists(known | anything, max_size=4) | anything, "id": atoms | anything},
    )
    return st.one_of(call, st.lists(call | anything, max_size=3), anything).map(
        lambda value: json.dumps(value).encode()
    )


def bodies(target: Target) -> st.SearchStrategy[bytes]:
    """Bytes, calls, and true calls with damaged bytes."""
    damaged = st.randoms(use_true_random=False).map(lambda dice: mutated(valid_calls(target), dice))
    return st.one_of(st.binary(max_size=200), calls(target), damaged)


def valid_calls(target: Target) -> list[bytes]:
    """Bodies that the node would answer."""
    called: list[tuple[Any, ...]] = [
        ("octra_submitRaw", target.transaction), ("octra_submitMany", [target.transaction]),
        ("octra_simulate", target.transaction), ("octra_getTransaction", target.tx_id),
        ("octra_getAccount", target.address), ("octra_getBlock", 1), ("octra_proof", "account", target.address),
        ("octra_proof", "transaction", target.tx_id), ("octra_state", "AAAA"), ("circle_list", 10),
        ("circle_view", "oct" + "1" * 44, "get", [1, "a", {"hex": "00"}]), ("octra_handle", target.tx_id),
        ("octra_transactionsByAddress", target.address, 10, 0), ("octra_balance", target.address),
        ("octra_submit", {"from": target.address, "to_": target.address, "amount": "1", "nonce": 1, "ou": "1000",
                          "timestamp": 1.5, "signature": "AAAA", "public_key": "AAAA"}),
    ]  # fmt: skip
    return [
        json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": parameters}).encode()
        for method, *parameters in called
    ]


def mutated(valid: list[bytes], dice: random.Random) -> bytes:
    """One of the valid bodies with a few bytes changed, cut out, doubled or put in."""
    body = bytearray(dice.choice(valid))
    for _ in range(dice.randint(1, 4)):
        at, size = dice.randrange(len(body) + 1), dice.randint(1, 8)
        match dice.randrange(5):
            case 0:
                body[at : at + size] = dice.randbytes(size)
            case 1:
                del body[at : at + size]
            case 2:
                body[at:at] = body[at : at + size]
            case 3:
                body[at:at] = dice.choice([b"\x00", b'"', b"[[[[[[[[[[", b"{", b"1e400", b"\\ud800", b"-0", b"null"])
            case _:
                del body[at:]
        if not body:
            break
    return bytes(body)


def paths(target: Target) -> st.SearchStrategy[str]:
    """Addresses below the API with any names, queries and cursors."""
    piece = st.one_of(st.text(max_size=50), st.sampled_from([target.tx_id, target.address, "0", "-1", "9" * 18]))
    name = piece.map(lambda text: quote(text, safe=""))
    path = st.builds(lambda pattern, one: pattern.format(id=one, address=one), st.sampled_from(PATHS), name)
    deeper = st.lists(name, max_size=3).map(lambda names: "".join(f"/{one}" for one in names))
    query = st.lists(
        st.tuples(st.sampled_from(["limit", "cursor", "height", "x"]), name).map("=".join), max_size=3
    ).map(lambda parts: "?" + "&".join(parts) if parts else "")
    return st.builds(lambda *parts: "".join(parts), path, deeper | st.just(""), query)


def test_malformed_rpc_bodies_are_refused_by_name(under_fire: Target) -> None:
    @settings(max_examples=RPC_EXAMPLES, **QUICK)
    @given(st.lists(bodies(under_fire), min_size=EXAMPLE, max_size=EXAMPLE))
    def fire(volley: list[bytes]) -> None:
        for body in volley:
            check_rpc(body, *under_fire.send("POST", "/rpc", body))

    fire()


def test_malformed_rest_requests_are_refused_by_name(under_fire: Target) -> None:
    requests = st.one_of(
        st.tuples(st.just("GET"), paths(under_fire), st.none()),
        st.tuples(st.just("POST"), st.just("/api/v1/transactions"), st.binary(max_size=300)),
        st.tuples(st.just("POST"), st.sampled_from(["/api/v1/circles/oct1/view", "/"]), bodies(under_fire)),
        st.tuples(st.sampled_from(["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]), paths(under_fire), st.none()),
    )

    @settings(max_examples=REST_EXAMPLES, **QUICK)
    @given(st.lists(requests, min_size=EXAMPLE, max_size=EXAMPLE))
    def fire(volley: list[tuple[str, str, bytes | None]]) -> None:
        for verb, path, body in volley:
            status, answer = under_fire.send(verb, path, body)
            if path == "/" and verb == "POST":
                check_rpc(body or b"", status, answer)
            elif status >= 400 and verb != "HEAD" and path.startswith("/api/"):
                check_problem(status, answer)
            assert status < 500, (verb, path, body, status, answer)

    fire()


def test_bytes_that_are_no_http_do_not_disturb_the_node(under_fire: Target) -> None:
    host, _, port = under_fire.http.rpartition(":")
    dice = random.Random(2)
    heads = [b"GET / HTTP/1.1\r\nHost: ", b"POST /rpc HTTP/1.1\r\nContent-Length: ", b"\x00" * 16, b"GET ", b""]
    for _ in range(300):
        with socket.create_connection((host, int(port)), timeout=60) as raw, suppress(ConnectionError):
            raw.sendall(dice.choice(heads) + dice.randbytes(dice.randint(0, 400)) + b"\r\n\r\n")
            raw.shutdown(socket.SHUT_WR)
            answer = raw.recv(64)
            assert answer == b"" or re.match(rb"HTTP/1.1 [1-4]\d\d ", answer), answer


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(under_fire: Target) -> None:
    status, answer = under_fire.send("POST", "/rpc", b" " * 5_200_000)
    check_problem(status, answer)
    assert (status, json.loads(answer)["code"]) == (413, "OCT-4131")


def check_rpc(body: bytes, status: int, answer: bytes) -> None:
    """An answer is a result, or an error with its code; nobody ever sees an internal one."""
    if status == 204:
        assert answer == b"", body
        return
    if status != 200:
        check_problem(status, answer)
        return
    document = json.loads(answer)
    for one in document if isinstance(document, list) else [document]:
        if "result" in one:
            continue
        assert isinstance(one["error"]["code"], int)
        assert re.match(r"OCT-\d{4}: ", one["error"]["data"]), (body, one)
        assert not one["error"]["data"].startswith(INTERNAL), (body, one)


def check_problem(status: int, answer: bytes) -> None:
    """A refusal over HTTP names its code and what to do."""
    problem = json.loads(answer)
    assert problem["status"] == status < 500, problem
    assert problem["code"] not in INTERNAL
    assert problem["hint"]


# --- frames ---


class Stranger:
    """A peer with a key of its own: it has passed the handshake, and then sends what it likes."""

    def __init__(self, target: Target, name: str) -> None:
        self._target = target
        genesis = target.genesis
        key = SigningKey(H("octra.test", b"stranger", name.encode()))
        identity = Identity(key=key, chain_id=genesis.chain_id, genesis_hash=genesis.chain)
        clock, log = LoopClock(), structlog.get_logger()
        self._endpoint = Endpoint(identity, Libp2pCarrier(key, ("/ip4/127.0.0.1/tcp/0",)), clock, log)
        self._router = Router(self._endpoint, clock, log)
        self._router.on_link(down=lambda peer, reason: self.ends.append(reason))
        self.ends: list[DownReason] = []  # why links ended

    async def __aenter__(self) -> Stranger:
        await self._router.start()
        await self.link()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._router.stop()

    async def link(self) -> None:
        """Return with a link: the node may have ended the last one."""
        deadline = time.monotonic() + PATIENCE_S
        while self._target.node_id not in self._router.peers():
            assert time.monotonic() < deadline, "the node takes no link any more"
            self._endpoint.dial(self._target.p2p, self._target.node_id)
            for _ in range(100):
                await asyncio.sleep(0.02)
                if self._target.node_id in self._router.peers():
                    return

    def tell(self, lane: Lane, actor: int, message: int, body: bytes) -> bool:
        """Send a message in right form, whatever its body; False when there is no room, or no link any more."""
        return self._router.tell(self._target.node_id, lane, actor, message, body) is Sent.ACCEPTED

    def write(self, lane: Lane, data: bytes) -> None:
        """Put bytes on a lane, below everything that would keep the rules."""
        if (link := self._endpoint._links.get(self._target.node_id)) is not None:
            link.connection.write(lane, data)

    async def ask(self, actor: int, message: int, body: bytes, lane: Lane = Lane.REQUEST) -> bytes | None:
        """The answer, if there is one."""
        try:
            return await self._router.ask(self._target.node_id, actor, message, body, timeout_ms=1_000, lane=lane)
        except Unavailable:
            return None

    async def vertices(self) -> RangeAnswer:
        """What every peer may ask for: the vertices of the first rounds."""
        body, message = encode(RangeRequest(1, 10)), OrderingMessage.FETCH_RANGE
        deadline = time.monotonic() + PATIENCE_S
        while (answer := await self.ask(ActorCode.ORDERING, message, body, Lane.BULK)) is None:
            assert time.monotonic() < deadline, "the node answers no peer"
            await asyncio.sleep(0.05)
        return decode(answer, RangeAnswer)


def test_malformed_messages_of_strangers_end_in_bans_and_leave_the_node_as_it_was(under_fire: Target, rpc) -> None:
    asyncio.run(bad_bodies(under_fire))
    assert goes_on(under_fire, rpc, 2)


def test_a_stranger_who_breaks_the_framing_loses_his_link_and_nothing_else_happens(under_fire: Target, rpc) -> None:
    asyncio.run(bad_framing(under_fire))
    assert goes_on(under_fire, rpc, 3)


async def bad_bodies(target: Target) -> None:
    """Garbage, and true vertices and transactions with damage, for every actor and message number."""
    async with Stranger(target, "honest") as honest:
        before = await honest.vertices()
    assert before.frames
    frames = list(before.frames)
    true = [encode(before), encode((tuple(frames[:5]),)), *frames[:20], base64.b64decode(target.transaction)]
    dice = random.Random(3)
    accepted, ends = 0, []
    for number in range(STRANGERS):
        async with Stranger(target, str(number)) as stranger:
            accepted += await pour(stranger, true, dice)
            ends += stranger.ends
    assert accepted > STRANGERS
    assert DownReason.BANNED in ends, "who sends nothing but invalid messages is banned"
    async with Stranger(target, "honest too") as honest:
        assert await honest.vertices() == before


async def pour(stranger: Stranger, true: list[bytes], dice: random.Random) -> int:
    """Send bad messages until the link is gone; how many went out."""
    asks, sent = [], 0
    for number in range(FRAMES):
        body = dice.randbytes(dice.randrange(300)) if number % 3 == 0 else mutated(true, dice)[:2_000]
        actor = dice.choice([ActorCode.MEMPOOL, ActorCode.ORDERING, ActorCode.SYNC, dice.randrange(20)])
        lane, message = dice.choice(list(Lane)), dice.randrange(2, 7)
        if number % 5:
            sent += stranger.tell(lane, actor, message, body)
        else:
            asks.append(asyncio.create_task(stranger.ask(actor, message, body, lane)))
        await asyncio.sleep(0.001)
        if stranger.ends:
            break
    await asyncio.gather(*asks)
    return sent


async def bad_framing(target: Target) -> None:
    """Lengths, forms and control messages that break the rules; after each the node may end the link."""
    dice = random.Random(4)
    async with Stranger(target, "framing") as stranger:
        for number in range(50):
            await stranger.link()
            lane = dice.choice(list(Lane))
            garbage = bytes([dice.choice([*Form, 9])]) + dice.randbytes(dice.randrange(200))
            framed = len(garbage).to_bytes(4, "big") + garbage
            too_long = (LIMITS[lane].frame_max + 1).to_bytes(4, "big") + b"\x01"
            kinds = (dice.randbytes(dice.randrange(1, 500)), bytes(4), too_long, framed, framed * 200)
            stranger.write(lane, kinds[number % len(kinds)])
            await asyncio.sleep(0.05)
    assert len(stranger.ends) > 10
    assert DownReason.PROTOCOL in stranger.ends
    async with Stranger(target, "honest") as honest:
        assert await honest.vertices()


# --- small things ---


def payment(chain: bytes, nonce: int) -> bytes:
    """A transfer that the node will execute."""
    op = ops.Transfer(address_of(SigningKey(H("octra.test", b"receiver")).public), 1)
    body = build(chain=chain, sender=KEY.public, nonce=nonce, expiry_epoch=1_000, fee=1_000, op=op)
    return sign(body, KEY)


def goes_on(target: Target, ask: Callable[..., Any], nonce: int) -> bool:
    """Does the node still take and execute what is right?"""
    wire = base64.b64encode(payment(target.genesis.chain, nonce)).decode()
    tx_id = ask(target.http, "octra_submitRaw", wire)["tx_id"]
    return bool(ask(target.http, "octra_wait", tx_id, "certified", 25)["status"] == "ok")


def block(target: Target, ask: Callable[..., Any], height: int) -> tuple[str, str]:
    """Id and state root of a height."""
    facts = ask(target.http, "octra_getBlock", height)
    return facts["block_id"], facts["state_root"]
