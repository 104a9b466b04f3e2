"""The questions, one function each. JSON-RPC, REST and the pages are skins over these; none of them reads by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from octra.consensus.ledger import fees, ops
from octra.consensus.ledger.accounts import check_nonce
from octra.consensus.ledger.errors import InsufficientBalance
from octra.consensus.ledger.legacy import LegacyText
from octra.consensus.ledger.records import Account, Handle, Job, Request
from octra.consensus.ledger.transactions import (
    Signed,
    Unchecked,
    admit,
    check_expiry,
    decode_body,
    decode_item,
    transaction_id,
)
from octra.errors import InvalidInput, OctraError
from octra.node.rpc.errors import BadRequest, BeforeOrigin, NoNetworkKey, NotFound, UnknownAccount
from octra.node.rpc.facade import NodeFacade
from octra.node.rpc.facts import AccountFacts, CircleFacts, EpochFacts, HeightFacts, Level, TransactionFacts
from octra.node.rpc.reading import StoredView, transaction_facts

WAIT_S_MAX: Final = 25  # below the 30 s that a request may take
HISTORY_MAX: Final = 10_000  # rows that paging by offset may walk over
LEVELS: Final = {level.word: level for level in Level}
PRIVATE: Final = (ops.Encrypt, ops.Decrypt, ops.PrivateTransfer, ops.Collect, ops.ViewRequest)

_NO_SIGNATURE: Final = bytes(64)


# --- names from outside ---


def parse_id(text: str) -> bytes:
    """32 bytes of 64 lower-case hex digits; raises `BadRequest`."""
    if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
        raise BadRequest("an id is 64 lower-case hex digits")
    return bytes.fromhex(text)


def parse_level(text: str) -> Level:
    """A word for how final something must be."""
    level = LEVELS.get(text)
    if level is None or level is Level.PENDING:
        raise BadRequest("a level is ordered, certified or checkpointed")
    return level


# --- accounts and transactions ---


def account(facade: NodeFacade, view: StoredView, address: bytes) -> AccountFacts:
    """The public side of an account; raises `UnknownAccount`."""
    public, private = view.account(address), view.private(address)
    if public is None and private is None:
        raise UnknownAccount
    public = public or Account()
    waiting = [decode_item(item).content.nonce for item in facade.pending_of(address)]
    return AccountFacts(address, public, private, max([_highest_used(public), *waiting]))


def transaction(facade: NodeFacade, view: StoredView, tx_id: bytes) -> TransactionFacts:
    """A transaction in a block, in the pool, or gone; raises `NotFound` or `BeforeOrigin`."""
    found = view.transaction(tx_id)
    if found is not None:
        return found
    item = facade.pending_item(tx_id)
    if item is not None:
        return transaction_facts(decode_item(item))
    fate = facade.fate(tx_id)
    if fate is None:
        raise absent(view, "transaction")
    return transaction_facts(decode_item(fate.item), fate=fate)


def pending(facade: NodeFacade, limit: int) -> list[TransactionFacts]:
    """Transactions that wait for a block, newest first."""
    return [transaction_facts(decode_item(item)) for item in facade.pending(limit)]


@dataclass(frozen=True, slots=True)
class History:
    """A part of an account's transactions, newest first. `total` counts at most `HISTORY_MAX`."""

    items: tuple[TransactionFacts, ...]
    total: int
    next: tuple[int, int] | None  # (height, index) to go on below


def history(view: StoredView, address: bytes, limit: int, before: tuple[int, int] | None = None) -> History:
    """Executed transactions of an account, from a place on."""
    rows = view.transactions_of(address, limit + 1, before)
    more = rows[limit - 1][:2] if len(rows) > limit else None
    return History(tuple(facts for _, _, facts in rows[:limit]), -1, more)


def history_by_offset(view: StoredView, address: bytes, limit: int, offset: int) -> History:
    """The same by offset, for clients that page so."""
    rows = view.blocks.account_transactions(address, HISTORY_MAX)
    chosen = [view.transaction(tx_id) for _, _, tx_id in rows[offset : offset + limit]]
    found = tuple(facts for facts in chosen if facts is not None)
    more = rows[offset + limit - 1][:2] if len(rows) > offset + limit else None
    return History(found, len(rows), more)


async def submit(facade: NodeFacade, item: bytes) -> tuple[bytes, Unchecked]:
    """Take a signed transaction into the pool: its id, known before any block."""
    unchecked = _from_outside(facade, item)
    (answer,) = await facade.submit([unchecked])
    if isinstance(answer, OctraError):
        raise answer
    return answer, unchecked


async def submit_many(facade: NodeFacade, items: Sequence[bytes | OctraError]) -> list[bytes | OctraError]:
    """The same for many: of each its id, or why it is not taken. Errors among the items stay where they are."""
    answers = list(items)
    taken: dict[int, Unchecked] = {}
    for place, item in enumerate(items):
        try:
            if isinstance(item, bytes):
                taken[place] = _from_outside(facade, item)
        except OctraError as error:
            answers[place] = error
    for place, answer in zip(taken, await facade.submit(list(taken.values())), strict=True):
        answers[place] = answer
    return answers


def _from_outside(facade: NodeFacade, item: bytes) -> Unchecked:
    """An item that people may send; raises what forbids it."""
    unchecked = decode_item(item)
    if unchecked.content.op.node_op:
        raise BadRequest("operations of seats are not taken from outside")
    if isinstance(unchecked.content.op, PRIVATE) and not facade.genesis.key.exists:
        raise NoNetworkKey(unchecked.content.op.name)
    return unchecked


async def wait(facade: NodeFacade, tx_id: bytes, level: Level, timeout_s: float) -> TransactionFacts | None:
    """The transaction at the level; when the time is over, however far it has come, or `None` outside all blocks."""
    reached = await facade.wait(tx_id, level, min(timeout_s, WAIT_S_MAX))
    with facade.view() as view:
        return transaction(facade, view, tx_id) if reached else view.transaction(tx_id)


@dataclass(frozen=True, slots=True)
class Simulation:
    """What would happen to a transaction now, as far as checks without execution tell."""

    op: ops.Op
    minimum_fee: int
    signed: bool
    error: InvalidInput | None


def simulate(facade: NodeFacade, view: StoredView, data: bytes) -> Simulation:
    """Check a signed item or a bare body: form, chain, expiry, fee, nonce, balance. Nothing is stored or executed."""
    signed = data[:1] in (b"\x93", b"\x94")
    if signed:
        unchecked = decode_item(data)
    else:
        unchecked = Unchecked(transaction_id(data), data, Signed(data, _NO_SIGNATURE), decode_body(data), b"")
    rules = facade.params.static_rules(None)
    minimum = rules.minimum_fee(unchecked.content.op)
    try:
        if signed:
            admit(unchecked, rules)
        content = unchecked.content
        if not isinstance(content, LegacyText):
            check_expiry(content.expiry_epoch, view.epoch_now)
        facts = transaction_facts(unchecked)
        public = view.account(facts.sender) or Account()
        check_nonce(public, content.nonce)
        needed = content.fee + public_amount(content.op)
        if needed > public.balance:
            raise InsufficientBalance(needed, public.balance)
    except InvalidInput as error:
        return Simulation(unchecked.content.op, minimum, signed, error)
    return Simulation(unchecked.content.op, minimum, signed, None)


def public_amount(op: ops.Op) -> int:
    """Units that leave the sender's public balance, the fee apart."""
    match op:
        case ops.Transfer() | ops.Burn() | ops.Encrypt():
            return op.amount
        case ops.MultiTransfer():
            return sum(item.amount for item in op.items)
        case ops.CircleCall():
            return op.value
        case ops.CircleDeploy() | ops.CircleUpgrade():
            return op.rent
        case _:
            return 0


# --- blocks and epochs ---


def absent(view: StoredView, what: str) -> NotFound | BeforeOrigin:
    """What to raise for a thing that no block here holds: an older block may, if this node does not hold them all."""
    origin = view.origin
    return NotFound(what) if origin is None else BeforeOrigin(what, origin.height)


def block(view: StoredView, height: int) -> tuple[HeightFacts, list[TransactionFacts]]:
    """A block with its transactions; raises `NotFound` or `BeforeOrigin`."""
    origin = view.origin
    if origin is not None and 0 < height <= origin.height:
        raise BeforeOrigin("height", origin.height)
    facts = view.block(height)
    if facts is None:
        raise NotFound("height")
    return facts, view.transactions_in(height)


def epoch(view: StoredView, number: int) -> EpochFacts:
    """An epoch that has begun; raises `NotFound` or `BeforeOrigin`."""
    origin = view.origin
    if origin is not None and 0 <= number <= origin.epoch:
        raise BeforeOrigin("epoch", origin.height)
    facts = view.epoch(number)
    if facts is None:
        raise NotFound("epoch")
    return facts


def epochs(view: StoredView, limit: int, before: int | None = None) -> list[EpochFacts]:
    """The newest epochs first. An epoch may have had no block of its own when the network stood still."""
    newest = view.epoch_now if before is None else min(before - 1, view.epoch_now)
    found = (view.epoch(number) for number in range(newest, max(-1, newest - limit), -1))
    return [facts for facts in found if facts is not None]


# --- encrypted values, Circles ---


def handle(view: StoredView, name: bytes) -> Handle:
    """An encrypted value; raises `NotFound`."""
    found = view.handle(name)
    if found is None:
        raise NotFound("handle")
    return found


def job(view: StoredView, name: bytes) -> Job:
    """An evaluation job; raises `NotFound`. Settled jobs leave the state after a while."""
    found = view.job(name)
    if found is None:
        raise NotFound("job")
    return found


def request(view: StoredView, name: bytes) -> tuple[Request, list[tuple[int, bytes]]]:
    """An opening request with the shares that seats have given; raises `NotFound`."""
    found = view.request(name)
    if found is None:
        raise NotFound("request")
    return found, view.shares(name)


def circle(view: StoredView, circle_id: bytes) -> CircleFacts:
    """The public part of a Circle; raises `NotFound`."""
    found = view.circle(circle_id)
    if found is None:
        raise NotFound("Circle")
    return found


# --- fees ---

_LEGACY_FEES: Final = {
    "standard": fees.base_fee(ops.Transfer(bytes(32), 1)),
    "circle_call": fees.base_fee(ops.CircleCall(bytes(33), "m", b"\x90", 0, 1)),
    "deploy_circle": fees.DEPLOY_PRICE,
}


def minimum_fee(facade: NodeFacade, op_type: str) -> int:
    """The smallest fee ceiling of an operation by its name; that of a transfer for a name that is not known."""
    prices, work = facade.params.prices, facade.params.prices.work
    match op_type:
        case "encrypt":
            return fees.minimum_fee(ops.Encrypt(1), prices)
        case "decrypt":
            return fees.minimum_fee(ops.Decrypt(1), prices)
        case "collect":
            return fees.minimum_fee(ops.Collect(), prices)
        case "private_transfer" | "stealth":
            return fees.base_fee(ops.Encrypt(1)) + prices.work_units(work.transfer)
        case _:
            return _LEGACY_FEES.get(op_type, _LEGACY_FEES["standard"])


def _highest_used(public: Account) -> int:
    return public.nonce + public.used.bit_length()
