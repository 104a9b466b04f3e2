"""The pool of one node: what it keeps, in which order it batches, and why something left."""

from __future__ import annotations

from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_double import ALICE, BOB, CAROL, COINS, NOBODY, Chain, address

from octra.consensus.ledger import errors, fees, keys, ops
from octra.consensus.ledger import transactions as tx
from octra.consensus.ledger.mempool import Pool, spending
from octra.consensus.ledger.records import Account
from octra.consensus.ledger.state import load
from octra.crypto.ed25519 import SigningKey

LARGE = 200_000


@pytest.fixture
def chain() -> Chain:
    return Chain()


def admitted(chain: Chain, key: SigningKey, op: ops.Op | None = None, **changes: int) -> tx.Transaction:
    item = chain.item(key, op or ops.Transfer(address(CAROL), 1), **changes)
    return tx.admit(item, chain.params.static_rules(0))


def add(pool: Pool, chain: Chain, transaction: tx.Transaction) -> None:
    account = load(chain.view, keys.account(transaction.sender), Account)
    pool.add(transaction, fees.minimum_fee(transaction.op, chain.params.prices), account)


def test_the_higher_fee_for_the_same_work_goes_first_then_the_earlier(chain: Chain) -> None:
    pool = Pool()
    plain = admitted(chain, ALICE)
    generous = admitted(chain, BOB, fee=1_500)
    later = admitted(chain, CAROL, ops.Transfer(address(BOB), 1))
    large = admitted(chain, CAROL, ops.MultiTransfer((ops.Payment(address(BOB), 1),) * 20), fee=12_000)
    for transaction in (plain, generous, later, large):
        add(pool, chain, transaction)
    order = [pool.take(1, LARGE)[0].id for _ in range(4)]
    assert order == [generous.id, large.id, plain.id, later.id]
    assert pool.take(1, LARGE) == []


@given(st.lists(st.integers(1, 2**50).flatmap(lambda fee: st.tuples(st.just(fee), st.integers(1, fee))), max_size=8))
def test_fees_for_work_are_compared_exactly_however_close_they_are(offers: list[tuple[int, int]]) -> None:
    offers += [(2**50, 2**50 - 1), (2**50 - 1, 2**50 - 2), (2**50 - 2, 2**50 - 3)]
    transaction = admitted(Chain(), ALICE)
    pool = Pool()
    for number, (fee, minimum) in enumerate(offers):
        sender = b"%033d" % number
        one = msgspec.structs.replace(transaction, id=b"%032d" % number, sender=sender, fee=fee)
        pool.add(one, minimum, Account(balance=2**60))
    taken = [int(pool.take(1, LARGE)[0].id) for _ in offers]
    assert taken == sorted(range(len(offers)), key=lambda number: (-Fraction(*offers[number]), number))


def test_operations_of_seats_go_before_all_others(chain: Chain) -> None:
    pool = Pool()
    generous = admitted(chain, ALICE, fee=1_000_000)
    duty = admitted(chain, chain.keys[0], ops.EvaluationCommit(bytes(32), bytes(32)))
    add(pool, chain, generous)
    add(pool, chain, duty)
    assert [one.id for one in pool.take(2, LARGE)] == [duty.id, generous.id]


def test_a_batch_keeps_its_limits_and_the_rest_waits(chain: Chain) -> None:
    pool = Pool()
    waiting = [admitted(chain, ALICE) for _ in range(5)]
    for transaction in waiting:
        add(pool, chain, transaction)
    assert len(pool.take(2, LARGE)) == 2
    size = len(waiting[0].item)
    assert len(pool.take(10, 2 * size + 1)) == 2
    assert len(pool.take(10, LARGE)) == 1


def test_one_senders_transactions_of_a_batch_stand_by_nonce(chain: Chain) -> None:
    pool = Pool()
    for nonce, fee in ((1, 1_000), (2, 3_000), (3, 2_000)):
        add(pool, chain, admitted(chain, ALICE, nonce=nonce, fee=fee))
    assert [one.nonce for one in pool.take(3, LARGE)] == [1, 2, 3]
    assert [one.nonce for one in pool.of_sender(address(ALICE))] == [1, 2, 3]


def test_a_known_transaction_is_refused_and_stays(chain: Chain) -> None:
    pool = Pool()
    transaction = admitted(chain, ALICE)
    add(pool, chain, transaction)
    with pytest.raises(errors.DuplicateTransaction):
        add(pool, chain, transaction)
    assert pool.get(transaction.id) == transaction
    assert len(pool) == 1


def test_the_same_nonce_is_replaced_only_for_a_tenth_more_and_before_it_was_batched(chain: Chain) -> None:
    pool = Pool()
    first = admitted(chain, ALICE, nonce=1, fee=1_000)
    add(pool, chain, first)
    with pytest.raises(errors.FeeTooLow) as caught:
        add(pool, chain, admitted(chain, ALICE, nonce=1, fee=1_099))
    assert caught.value.minimum == 1_100
    second = admitted(chain, ALICE, nonce=1, fee=1_100)
    add(pool, chain, second)
    assert pool.get(first.id) is None
    assert [one.id for one in pool.take(9, LARGE)] == [second.id]
    with pytest.raises(errors.FeeTooLow):
        add(pool, chain, admitted(chain, ALICE, nonce=1, fee=5_000))


def test_all_waiting_transactions_of_a_sender_must_be_covered_together(chain: Chain) -> None:
    pool = Pool()
    half = ops.Transfer(address(BOB), COINS // 2)
    add(pool, chain, admitted(chain, ALICE, half))
    with pytest.raises(errors.InsufficientBalance) as caught:
        add(pool, chain, admitted(chain, ALICE, half))
    assert caught.value.needed == COINS + 2_000


@pytest.mark.parametrize(
    ("nonce", "error"), [(65, errors.NonceTooFar), (0, None), (1, None), (64, None)], ids=["65", "0", "1", "64"]
)
def test_the_nonce_lies_in_the_window(chain: Chain, nonce: int, error: type[Exception] | None) -> None:
    pool = Pool()
    transaction = admitted(chain, ALICE, nonce=max(nonce, 1))
    if error is None:
        add(pool, chain, transaction)
    else:
        with pytest.raises(error):
            add(pool, chain, transaction)


def test_a_used_nonce_and_an_unknown_account_are_refused(chain: Chain) -> None:
    pool = Pool()
    chain.run(ALICE, ops.Burn(1))
    with pytest.raises(errors.NonceUsed) as caught:
        add(pool, chain, admitted(chain, ALICE, nonce=1))
    assert caught.value.expected == 2
    with pytest.raises(errors.NoSuchAccount):
        add(pool, chain, admitted(chain, NOBODY))


def test_a_fuller_pool_asks_for_more(chain: Chain) -> None:
    pool = Pool(count_max=10)
    for _ in range(8):
        add(pool, chain, admitted(chain, ALICE))
    with pytest.raises(errors.FeeTooLow) as caught:
        add(pool, chain, admitted(chain, BOB, fee=1_999))
    assert caught.value.minimum == 2_000
    add(pool, chain, admitted(chain, BOB, fee=2_000))
    add(pool, chain, admitted(chain, BOB, fee=2_000))
    with pytest.raises(errors.PoolFull):
        add(pool, chain, admitted(chain, CAROL, ops.Burn(1), fee=5_000))


def test_an_expired_batch_gives_its_transactions_back(chain: Chain) -> None:
    pool = Pool()
    transaction = admitted(chain, ALICE)
    add(pool, chain, transaction)
    assert pool.take(1, LARGE) == [transaction]
    pool.put_back([transaction.id, bytes(32)])
    assert pool.take(1, LARGE) == [transaction]
    pool.executed([transaction.id])
    pool.put_back([transaction.id])
    assert pool.take(1, LARGE) == []
    assert len(pool) == 0


def test_why_a_transaction_left_is_remembered_for_ten_minutes(chain: Chain) -> None:
    pool = Pool()
    old, young = admitted(chain, ALICE, expiry_epoch=3), admitted(chain, BOB, expiry_epoch=9)
    for transaction in (old, young):
        add(pool, chain, transaction)
    pool.expire(4, now_ms=1_000)
    gone = pool.departed(old.id)
    assert gone is not None
    assert (gone.code, gone.dropped, gone.item) == (2119, True, old.item)
    assert pool.newest(9) == [young]
    pool.depart(young.id, 2104, "no money", 601_001, dropped=False)
    assert pool.departed(old.id) is None
    assert pool.departed(young.id) is not None


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 9)), max_size=30))
def test_what_enters_leaves_exactly_once(actions: list[tuple[int, int]]) -> None:
    chain, pool = Chain(), Pool()
    inside: set[bytes] = set()
    taken: set[bytes] = set()
    for action, number in actions:
        match action:
            case 0 | 1:
                transaction = admitted(chain, (ALICE, BOB)[action])
                add(pool, chain, transaction)
                inside.add(transaction.id)
            case 2:
                batch = {one.id for one in pool.take(number, LARGE)}
                assert len(batch) == min(number, len(inside - taken))
                assert not batch & taken
                taken |= batch
            case 3:
                some = sorted(taken)[:number]
                pool.put_back(some)
                taken -= set(some)
            case _:
                some = sorted(taken)[:number]
                pool.executed(some)
                taken -= set(some)
                inside -= set(some)
        assert len(pool) == len(inside)


def test_what_must_be_held_in_public_is_the_fee_and_the_public_amount(chain: Chain) -> None:
    assert spending(admitted(chain, ALICE, ops.Transfer(address(BOB), 5))) == 1_005
    assert spending(admitted(chain, ALICE, ops.Encrypt(7))) == fees.minimum_fee(ops.Encrypt(7), fees.Prices()) + 7
    assert spending(admitted(chain, ALICE, ops.Decrypt(7))) == fees.minimum_fee(ops.Decrypt(7), fees.Prices())
