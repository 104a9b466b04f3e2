"""The table of JSON-RPC methods: ours here, those of existing wallets in `legacy`. Dispatches calls at one height."""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import msgspec

from octra.circles.errors import InvalidFrame
from octra.circles.frame import decode_response
from octra.circles.identity import parse_circle
from octra.consensus.ports import Argument
from octra.errors import OctraError
from octra.node.rpc import jsonrpc, present, proofs, service
from octra.node.rpc.errors import AnswerTooLarge, BadRequest, NotOffered
from octra.node.rpc.facade import NodeFacade
from octra.node.rpc.facts import Level
from octra.node.rpc.jsonrpc import Call, Parameters
from octra.node.rpc.limits import (
    ANSWER_BYTES_MAX,
    BATCH_ANSWER_BYTES_MAX,
    PAGE_DEFAULT,
    PAGE_MAX,
    PRICE_PROOF,
    PRICE_READ,
    PRICE_SUBMIT,
    PRICE_VIEW,
)
from octra.node.rpc.reading import StoredView
from octra.primitives import parse_address

JsonArgument = bool | int | str | dict[str, str] | None

ARGUMENTS_MAX: Final = 64
SUBMIT_MANY_MAX: Final = 1_000
PRICE_MANY: Final = 100 * PRICE_SUBMIT
_SAFE_INTEGER: Final = 2**53  # beyond it JavaScript rounds


class Context:
    """What a method works with: the node, and one height of its store, opened when it is first asked for."""

    def __init__(self, facade: NodeFacade, stack: ExitStack) -> None:
        self.facade, self._stack = facade, stack
        self._view: StoredView | None = None

    @property
    def view(self) -> StoredView:
        """The store; raises `NotOffered` on a node without state."""
        if self._view is None:
            self._view = self._stack.enter_context(self.facade.view())
        return self._view

    @property
    def view_if_any(self) -> StoredView | None:
        """The store, or `None` on a node without state."""
        try:
            return self.view
        except NotOffered:
            return None


Run = Callable[[Context, Parameters], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Method:
    """One method: how to call it, what it costs, what it does."""

    name: str
    parameters: str
    summary: str
    price: int
    run: Run


class Table:
    """Methods by name. Filled once, when the modules are read."""

    def __init__(self) -> None:
        self.methods: dict[str, Method] = {}

    def method(self, name: str, parameters: str, summary: str, price: int = PRICE_READ) -> Callable[[Run], Run]:
        """Decorator: enter a method."""

        def enter(run: Run) -> Run:
            assert name not in self.methods
            self.methods[name] = Method(name, parameters, summary, price, run)
            return run

        return enter

    def price_of(self, parsed: jsonrpc.Parsed) -> int:
        """What a body costs in tokens."""
        prices = (self.methods.get(call.method) for call in parsed.calls if isinstance(call, Call))
        return max(1, sum(PRICE_READ if method is None else method.price for method in prices))

    async def answer(self, facade: NodeFacade, parsed: jsonrpc.Parsed) -> bytes:
        """Answer all calls of a body, in order, at one height."""
        with ExitStack() as stack:
            context = Context(facade, stack)
            answers: list[bytes] = []
            size = 0
            for call in parsed.calls:
                data = await self._one(context, call)
                if data is None:
                    continue
                size += len(data)
                if parsed.batch and size > BATCH_ANSWER_BYTES_MAX:
                    return jsonrpc.refusal(b"null", jsonrpc.failure_of(AnswerTooLarge(BATCH_ANSWER_BYTES_MAX)))
                answers.append(data)
        return jsonrpc.join(answers, batch=parsed.batch)

    async def _one(self, context: Context, call: Call | jsonrpc.Refused) -> bytes | None:
        if isinstance(call, jsonrpc.Refused):
            return jsonrpc.refusal(call.id, call.failure)
        data = await self._run(context, call, call.id or b"null")
        return None if call.id is None else data

    async def _run(self, context: Context, call: Call, call_id: bytes) -> bytes:
        method = self.methods.get(call.method)
        if method is None:
            return jsonrpc.refusal(call_id, jsonrpc.unknown_method())
        try:
            data = jsonrpc.answer(call_id, await method.run(context, call.parameters))
        except OctraError as error:
            return jsonrpc.refusal(call_id, jsonrpc.failure_of(error))
        if len(data) > ANSWER_BYTES_MAX:
            return jsonrpc.refusal(call_id, jsonrpc.failure_of(AnswerTooLarge(ANSWER_BYTES_MAX)))
        return data


table: Final = Table()


def base64_of(parameters: Parameters, position: int) -> bytes:
    """A parameter of base64 text, strictly."""
    text = parameters.text(position)
    data = _from_base64(text)
    if data is None:
        raise BadRequest(f"parameter {position + 1}: expected base64")
    return data


@table.method("rpc.discover", "", "Every method with its parameters")
async def _discover(_: Context, __: Parameters) -> object:
    return {
        "openrpc": "1.3.2",
        "info": {"title": "Octra node", "version": "1"},
        "methods": [
            {"name": method.name, "summary": method.summary, "description": f"parameters: [{method.parameters}]"}
            for method in sorted(table.methods.values(), key=lambda method: method.name)
        ],
    }


@table.method("octra_chain", "", "The chain: names, height, prices, who made its keys")
async def _chain(context: Context, _: Parameters) -> object:
    return present.chain(context.facade, context.view)


@table.method("octra_status", "", "The node: role, state, peers, speed, warnings")
async def _status(context: Context, _: Parameters) -> object:
    return present.status(context.facade, context.view_if_any)


@table.method("octra_committee", "", "Seats with the keys that clients seal inputs to")
async def _committee(context: Context, _: Parameters) -> object:
    return present.committee(context.facade)


@table.method("octra_network", "", "Nodes and links as this node sees them")
async def _network(context: Context, _: Parameters) -> object:
    return present.network(context.facade.network())


@table.method("octra_submitRaw", "base64 wire", "Take a signed transaction", PRICE_SUBMIT)
async def _submit_raw(context: Context, p: Parameters) -> object:
    tx_id, unchecked = await service.submit(context.facade, base64_of(p, 0))
    return {"tx_id": tx_id.hex(), "status": "accepted", "nonce": unchecked.content.nonce}


@table.method("octra_submitMany", "[base64 wire, at most 1000]", "Take many signed transactions at once", PRICE_MANY)
async def _submit_many(context: Context, p: Parameters) -> object:
    texts = p.value(0, list[str], "a list of base64")
    if not 1 <= len(texts) <= SUBMIT_MANY_MAX:
        raise BadRequest(f"1 to {SUBMIT_MANY_MAX} transactions")
    decoded = map(_from_base64, texts)
    items = [BadRequest("expected base64") if data is None else data for data in decoded]
    return [
        {"status": "accepted", "tx_id": answer.hex()}
        if isinstance(answer, bytes)
        else {"status": "refused", "error": jsonrpc.failure_of(answer).data}
        for answer in await service.submit_many(context.facade, items)
    ]


def _from_base64(text: str) -> bytes | None:
    try:
        data = a2b_base64(text, strict_mode=True)
    except ValueError:
        return None
    return data if len(text) == 4 * -(-len(data) // 3) else None  # what strict mode lets pass: too much padding


@table.method("octra_simulate", "base64 wire or body", "Check a transaction without sending it", PRICE_PROOF)
async def _simulate(context: Context, p: Parameters) -> object:
    return present.simulation(service.simulate(context.facade, context.view, base64_of(p, 0)))


@table.method("octra_wait", "tx_id, level = certified, timeout_s <= 25", "Wait until a transaction is final")
async def _wait(context: Context, p: Parameters) -> object:
    tx_id, level = service.parse_id(p.text(0)), service.parse_level(p.text(1, Level.CERTIFIED.word))
    timeout_s = p.integer(2, service.WAIT_S_MAX, high=service.WAIT_S_MAX)
    found = await service.wait(context.facade, tx_id, level, timeout_s)
    return {"id": tx_id.hex(), "status": "pending"} if found is None else present.transaction(found)


@table.method("octra_getTransaction", "tx_id", "A transaction with its receipt")
async def _get_transaction(context: Context, p: Parameters) -> object:
    return present.transaction(service.transaction(context.facade, context.view, service.parse_id(p.text(0))))


@table.method("octra_getAccount", "address", "Public balance, nonces, handles of the encrypted balance")
async def _get_account(context: Context, p: Parameters) -> object:
    return present.account(service.account(context.facade, context.view, parse_address(p.text(0))))


@table.method("octra_getBlock", "height", "A block with its transactions")
async def _get_block(context: Context, p: Parameters) -> object:
    facts, transactions = service.block(context.view, p.integer(0))
    return present.block(facts) | {"items": [present.transaction(facts) for facts in transactions]}


@table.method("octra_proof", "kind, id, height?", "A proof document of a fact", PRICE_PROOF)
async def _proof(context: Context, p: Parameters) -> object:
    height = p.integer(2) if len(p) > 2 else None
    return proofs.document(context.facade, context.view, p.text(0), p.text(1, ""), height)


@table.method("octra_state", "base64 key", "One raw value of the global state")
async def _state(context: Context, p: Parameters) -> object:
    value = context.view.state.get(base64_of(p, 0))
    return {"value": None if value is None else present.b64(value), "height": context.view.height}


@table.method("octra_handle", "id", "An encrypted value: everything but the value")
async def _handle(context: Context, p: Parameters) -> object:
    name = service.parse_id(p.text(0))
    return present.handle(name, service.handle(context.view, name))


@table.method("octra_ciphertext", "digest", "The bytes of a certified ciphertext, if this node holds them", PRICE_PROOF)
async def _ciphertext(context: Context, p: Parameters) -> object:
    data = context.view.blob(service.parse_id(p.text(0)))
    if data is None:
        raise NotOffered("this ciphertext")
    return {"bytes": present.b64(data)}


@table.method("octra_job", "id", "An evaluation job")
async def _job(context: Context, p: Parameters) -> object:
    return present.job(service.job(context.view, service.parse_id(p.text(0))))


@table.method("octra_request", "id", "An opening request with the shares of the seats")
async def _request(context: Context, p: Parameters) -> object:
    return present.request(*service.request(context.view, service.parse_id(p.text(0))))


@table.method("circle_list", f"limit = {PAGE_DEFAULT}, after?", "Circles by id")
async def _circle_list(context: Context, p: Parameters) -> object:
    limit = p.integer(0, PAGE_DEFAULT, low=1, high=PAGE_MAX)
    after = parse_circle(p.text(1)) if len(p) > 1 else b""
    found = context.view.circles(limit, after)
    return {"circles": [present.circle(facts) for facts in found], "height": context.view.height}


async def _circle_info(context: Context, p: Parameters) -> object:
    return present.circle(service.circle(context.view, parse_circle(p.text(0))))


async def _circle_view(context: Context, p: Parameters) -> object:
    arguments = p.value(2, list[JsonArgument], "a list of arguments", [])
    circle, method = parse_circle(p.text(0)), p.text(1)
    return await run_view(context.facade, circle, method, arguments, context.view.height)


for _prefix in ("circle_info", "octra_circleInfo"):
    table.method(_prefix, "circle", "The public part of a Circle")(_circle_info)
for _prefix in ("circle_view", "octra_circleView"):
    table.method(_prefix, "circle, method, arguments = []", "Run a view of a Circle", PRICE_VIEW)(_circle_view)


async def run_view(
    facade: NodeFacade, circle: bytes, method: str, arguments: Sequence[JsonArgument], height: int
) -> dict[str, object]:
    """A Circle's answer as JSON; `{"hex": ...}` stands for bytes in both directions."""
    if len(arguments) > ARGUMENTS_MAX:
        raise BadRequest(f"at most {ARGUMENTS_MAX} arguments")
    outcome = await facade.circle_view(circle, method, tuple(_argument(value) for value in arguments))
    try:
        value = _json_value(decode_response(outcome.response)) if outcome.response else None
    except InvalidFrame:
        value = {"hex": outcome.response.hex()}
    return {
        "status": outcome.status,
        "value": value,
        "detail": outcome.detail,
        "gas": outcome.gas_used,
        "height": height,
    }


def _argument(value: JsonArgument) -> Argument:
    if isinstance(value, dict):
        if list(value) != ["hex"]:
            raise BadRequest('bytes are written {"hex": "00ff"}')
        try:
            return bytes.fromhex(value["hex"])
        except ValueError as error:
            raise BadRequest('bytes are written {"hex": "00ff"}') from error
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise BadRequest("an integer does not fit 64 bits")
    return value


def _json_value(value: Argument) -> object:
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _SAFE_INTEGER:
        return {"int": str(value)}
    return value


def decode_arguments(data: bytes) -> list[JsonArgument]:
    """A JSON list of view arguments; raises `BadRequest`."""
    try:
        return msgspec.json.decode(data, type=list[JsonArgument])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadRequest("arguments are a JSON list of null, booleans, integers, texts and {hex}") from error
