"""Evaluators that are silent, late, lazy or lying: no wrong certificate, no honest seat blamed, nobody's money lost."""

from __future__ import annotations

import pytest
from ledger_double import ALICE, BOB, Chain, SeatBehaviour, address, make_params, with_limits
from msgspec.structs import replace

from octra.consensus.ledger import jobs, keys, ops, work
from octra.consensus.ledger.duties import Evaluate, RevealEvaluation, duties
from octra.consensus.ledger.handles import resolve
from octra.consensus.ledger.records import Fault, FaultKind, HandleStatus, Job, JobStatus
from octra.consensus.ledger.state import load, read
from octra.crypto.hash import H

LIAR = SeatBehaviour(lies_in=frozenset({"evaluation"}))
SILENT = SeatBehaviour(silent=True)


def open_job(chain: Chain) -> Job:
    """Alice encrypts again on top of a value that is no constant; the job is open, and nobody has answered."""
    chain.run(ALICE, ops.Encrypt(100))
    chain.send_private(ALICE, address(BOB), 25)
    chain.settle()
    before = {job.name for job in chain.jobs()}
    chain.submit(ALICE, ops.Encrypt(7))
    while True:
        (job,) = [job for job in chain.jobs() if job.name not in before] or [None]
        if job is not None and job.status == JobStatus.OPEN:
            return job
        chain.step()


def faults(chain: Chain) -> list[Fault]:
    return [read(value, Fault) for _, value in chain.view.scan(b"\x18", 100)]


def job_now(chain: Chain, job: Job) -> Job:
    found = load(chain.view, keys.job(job.name), Job)
    assert found is not None
    return found


def test_evaluators_are_drawn_by_a_coin_after_the_inputs_were_certified() -> None:
    chain = Chain()
    job = open_job(chain)
    assert job.order == work.draw(H("test.coin", chain.outcomes[-2].facts.height.to_bytes(8, "big")), job.name, 4)
    assert job.changed_round < chain.outcomes[-1].facts.height
    assert job.width == 2


def test_the_draw_is_a_permutation_and_depends_on_coin_and_job() -> None:
    orders = {work.draw(bytes([coin]) * 32, bytes([name]) * 32, 7) for coin in range(8) for name in range(8)}
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert len(orders) == 64
    firsts = [work.draw(bytes([coin]) * 32, bytes(32), 4)[0] for coin in range(256)]
    assert all(40 < firsts.count(seat) < 90 for seat in range(4))


def test_only_the_drawn_seats_are_asked_first() -> None:
    chain = Chain()
    job = open_job(chain)
    asked = {seat for seat in range(4) for duty in duties(chain.view, seat, chain.params) if isinstance(duty, Evaluate)}
    assert asked == set(job.evaluators)


@pytest.mark.parametrize("place", [0, 1])
def test_a_lying_evaluator_is_refused_and_the_job_repeated_with_another(place: int) -> None:
    chain = Chain()
    job = open_job(chain)
    liar = job.order[place]
    chain.behaviours = {liar: LIAR}
    chain.settle()
    done = job_now(chain, job)
    assert done.status == JobStatus.CERTIFIED
    assert done.width == 3
    assert chain.spendable(ALICE) == 82
    (fault,) = faults(chain)
    assert (fault.kind, fault.seat, fault.subject) == (FaultKind.CONTRADICTED_DIGEST, liar, job.name)
    certified = jobs.certified_digests(done, 2)
    assert fault.expected == jobs.evaluation_digest(certified) != fault.got
    assert chain.events("fault") == [[1, chain.params.seats[liar].node_id, job.name]]
    reveal = next(reveal for reveal in done.reveals if reveal.seat == liar)
    assert fault.tx == reveal.tx, "the signed reveal is the evidence"


def test_two_evaluators_with_different_lies_of_seven_are_both_named() -> None:
    chain = Chain(params=make_params(7))
    job = open_job(chain)
    chain.behaviours = dict.fromkeys(job.order[:2], LIAR)
    chain.settle()
    assert job_now(chain, job).status == JobStatus.CERTIFIED
    assert chain.spendable(ALICE) == 82
    assert {fault.seat for fault in faults(chain)} == set(job.order[:2])


@pytest.mark.parametrize("behaviour", [SILENT, SeatBehaviour(withholds_reveal=True)], ids=["silent", "withholding"])
def test_an_evaluator_that_does_not_answer_is_replaced_and_not_blamed(behaviour: SeatBehaviour) -> None:
    chain = Chain()
    job = open_job(chain)
    chain.behaviours = {job.order[0]: behaviour}
    chain.settle()
    done = job_now(chain, job)
    assert done.status == JobStatus.CERTIFIED
    assert job.order[0] not in {reveal.seat for reveal in done.reveals}
    assert chain.spendable(ALICE) == 82
    assert not faults(chain)


def test_a_crashed_and_a_lying_evaluator_of_seven_are_survived() -> None:
    chain = Chain(params=make_params(7))
    job = open_job(chain)
    chain.behaviours = {job.order[0]: SILENT, job.order[1]: LIAR}
    chain.settle()
    assert job_now(chain, job).status == JobStatus.CERTIFIED
    assert chain.spendable(ALICE) == 82


def test_a_commitment_copied_from_another_seat_opens_for_nobody_else() -> None:
    chain = Chain()
    job = open_job(chain)
    honest, copier = job.evaluators
    chain.behaviours = {copier: SILENT}
    chain.step()
    (commit,) = job_now(chain, job).commits
    chain.step(extra=[chain.item(chain.keys[copier], ops.EvaluationCommit(job.name, commit.commitment))])
    chain.step()
    (reveal,) = job_now(chain, job).reveals
    assert reveal.seat == honest
    copied = ops.EvaluationReveal(job.name, reveal.digests, reveal.trace, H("test.salt", bytes([honest])))
    outcome = chain.step(extra=[chain.item(chain.keys[copier], copied)])
    assert "not the one that was committed to" in outcome.skipped[0].detail


def test_nobody_reveals_before_all_have_committed_or_the_time_is_over() -> None:
    chain = Chain()
    job = open_job(chain)
    first, second = job.evaluators
    chain.behaviours = {second: SILENT}
    chain.step()
    assert [commit.seat for commit in job_now(chain, job).commits] == [first]
    assert not any(isinstance(duty, RevealEvaluation) for duty in duties(chain.view, first, chain.params))
    early = ops.EvaluationReveal(job.name, (bytes(32),), bytes(32), bytes(32))
    outcome = chain.step(extra=[chain.item(chain.keys[first], early)])
    assert [skip.detail for skip in outcome.skipped] == ["no such task for this seat: too early to reveal"]


def test_a_seat_that_was_not_drawn_cannot_commit() -> None:
    chain = Chain()
    job = open_job(chain)
    outsider = job.order[2]
    outcome = chain.step(extra=[chain.item(chain.keys[outsider], ops.EvaluationCommit(job.name, bytes(32)))])
    assert [skip.code for skip in outcome.skipped] == [2115]


def test_a_task_is_answered_once() -> None:
    chain = Chain()
    job = open_job(chain)
    key = chain.keys[job.order[0]]
    extra = [chain.item(key, ops.EvaluationCommit(job.name, bytes([n]) * 32)) for n in range(2)]
    chain.step(extra=extra)
    commits = [commit for commit in job_now(chain, job).commits if commit.seat == job.order[0]]
    assert [commit.commitment for commit in commits] == [bytes(32)]


@pytest.mark.parametrize("silent", [3, 4])
def test_without_two_equal_results_an_encryption_gives_everything_back(silent: int) -> None:
    chain = Chain()
    job = open_job(chain)
    before = chain.balance(ALICE)
    chain.behaviours = dict.fromkeys(job.order[:silent], SILENT)
    chain.settle()
    done = job_now(chain, job)
    assert done.status == JobStatus.FAILED
    assert done.width == 4
    assert chain.final_status(job.tx) == ("failed", 8008)
    assert chain.balance(ALICE) == before + 7 + chain.params.prices.work_units(97)
    assert chain.spendable(ALICE) == 75
    assert chain.supply().private_pool == 100 == chain.private_total()
    assert chain.handle(job.outputs[0]).status == HandleStatus.ALIASED


def test_when_a_debit_fails_the_amount_stays_and_the_receivers_credit_ends_by_itself() -> None:
    chain = Chain()
    chain.run(ALICE, ops.Encrypt(100))
    chain.send_private(ALICE, address(BOB), 25)
    chain.settle()
    name = chain.send_private(ALICE, address(BOB), 30)
    later = chain.send_private(ALICE, address(BOB), 40)
    chain.step()
    (debit, *_) = [job for job in chain.jobs() if job.tx == name and job.follow]
    while job_now(chain, debit).status != JobStatus.OPEN:
        chain.step()
    chain.behaviours = dict.fromkeys(range(3), SILENT)
    while job_now(chain, debit).status == JobStatus.OPEN:
        chain.step()
    chain.behaviours = {}
    chain.settle()
    assert chain.final_status(name) == ("failed", 8008)
    assert chain.final_status(later) == ("ok", 0)
    assert (chain.spendable(ALICE), chain.incoming(BOB)) == (35, 65)
    settlements = [one for outcome in chain.outcomes for one in outcome.settlements if one.tx == name]
    assert len(settlements) == 1, "the receiver's credit does not report success afterwards"
    (settlement,) = settlements
    assert settlement.refunded == chain.params.prices.work_units(348)
    assert chain.supply().escrow == 0


def test_a_credit_that_fails_is_tried_again_each_epoch_and_never_dropped() -> None:
    chain = Chain()
    chain.run(ALICE, ops.Encrypt(100))
    chain.send_private(ALICE, address(BOB), 25)
    chain.settle()
    name = chain.send_private(ALICE, address(BOB), 30)
    chain.step()
    _, credit_name = chain.receipt(name).jobs
    credit = load(chain.view, keys.job(credit_name), Job)
    assert credit is not None
    while job_now(chain, credit).status != JobStatus.OPEN:
        chain.step()
    chain.behaviours = dict.fromkeys(range(4), SILENT)
    while job_now(chain, credit).status == JobStatus.OPEN:
        chain.step()
    assert job_now(chain, credit).status == JobStatus.RETRY
    assert chain.settlement(name) is None
    assert chain.private(BOB).pending_incoming == 1
    chain.step(dt_ms=20_000)  # a new epoch, and nobody is there: it opens and fails again
    for _ in range(35):
        chain.step()
    assert job_now(chain, credit).status == JobStatus.RETRY
    chain.behaviours = {}
    chain.step(dt_ms=20_000)
    chain.settle()
    assert job_now(chain, credit).attempts >= 2
    assert chain.final_status(name) == ("ok", 0)
    assert chain.incoming(BOB) == 55
    assert chain.supply().escrow == 0


def test_a_collection_that_fails_is_tried_again_and_its_money_waits() -> None:
    chain = Chain()
    chain.run(ALICE, ops.Encrypt(100))
    chain.send_private(ALICE, address(ALICE), 40)
    chain.settle()
    receipt = chain.run(ALICE, ops.Collect())
    chain.behaviours = dict.fromkeys(range(4), SILENT)
    chain.settle()
    assert chain.settlement(receipt.tx) is None
    assert chain.private(ALICE).pending_own == 1
    chain.behaviours = {}
    chain.step(dt_ms=20_000)
    chain.settle()
    assert chain.final_status(receipt.tx) == ("ok", 0)
    assert (chain.spendable(ALICE), chain.incoming(ALICE)) == (100, 0)


def test_a_failed_decryption_returns_the_amount_to_the_private_pool() -> None:
    chain = Chain()
    job = open_job(chain)
    chain.settle()
    before = chain.balance(ALICE)
    receipt = chain.run(ALICE, ops.Decrypt(50))
    decryption = load(chain.view, keys.job(receipt.jobs[0]), Job)
    assert decryption is not None
    chain.behaviours = dict.fromkeys(range(4), SILENT)
    chain.settle()
    assert chain.final_status(receipt.tx) == ("failed", 8008)
    assert chain.balance(ALICE) == before - 2_200
    assert chain.supply().private_pool == 107
    assert chain.spendable(ALICE) == 82
    assert job.name != decryption.name


def test_a_late_contradiction_is_evidence_too() -> None:
    chain = Chain(params=make_params(7))  # three equal results of five certify
    job = open_job(chain)
    chain.behaviours = {job.order[0]: SeatBehaviour(lies_in=frozenset({"evaluation"}), withholds_reveal=True)}
    chain.settle()
    assert job_now(chain, job).status == JobStatus.CERTIFIED
    assert not faults(chain)
    liar = job.order[0]
    digests, trace, salt = chain._evaluate(
        liar, Evaluate(job.name, job.circuit, _inputs(chain, job), job.outputs, job.boots), frozenset({"evaluation"})
    )
    chain.step(extra=[chain.item(chain.keys[liar], ops.EvaluationReveal(job.name, digests, trace, salt))])
    assert [fault.seat for fault in faults(chain)] == [liar]
    assert chain.spendable(ALICE) == 82


def test_values_certified_twice_with_different_digests_are_frozen() -> None:
    """More than f seats lie: the chain cannot know who is right, so it stops using the value and says so."""
    chain = Chain()
    job = open_job(chain)
    chain.behaviours = dict.fromkeys(range(4), SILENT)
    while job_now(chain, job).width < 4:
        chain.step()
    inputs = _inputs(chain, job)
    task = Evaluate(job.name, job.circuit, inputs, job.outputs, job.boots)
    honest = [chain._evaluate(seat, task, frozenset()) for seat in (0, 1)]
    lie = chain._evaluate(2, task, frozenset({"evaluation"}))
    lies = [lie, (lie[0], *chain._evaluate(3, task, frozenset())[1:])]
    answers = list(zip((0, 1, 2, 3), [*honest, *lies], strict=True))
    commits, reveals = [], []
    for seat, (digests, trace, salt) in answers:
        node = chain.params.seats[seat].node_id
        commitment = jobs.evaluation_commitment(job.name, node, digests, trace, salt)
        commits.append(chain.item(chain.keys[seat], ops.EvaluationCommit(job.name, commitment)))
        reveals.append(chain.item(chain.keys[seat], ops.EvaluationReveal(job.name, digests, trace, salt)))
    chain.step(extra=commits)
    chain.step(extra=reveals)
    assert chain.handle(job.outputs[0]).status == HandleStatus.FROZEN
    assert chain.events("alarm") == [["two certified results", job.name]]
    receipt = chain.run(ALICE, ops.Encrypt(1))
    assert (receipt.status, receipt.code) == ("failed", 8004)


def test_more_due_things_than_a_commit_takes_wait_for_the_next() -> None:
    chain = Chain(params=with_limits(make_params(), due_per_commit=1))
    chain.run(ALICE, ops.Encrypt(100))
    names = [chain.send_private(ALICE, address(BOB), 10) for _ in range(4)]
    chain.settle()
    assert [chain.final_status(name)[0] for name in names] == ["ok"] * 4
    assert chain.private_total() == 100


def test_prices_of_work_are_what_the_real_circuits_cost() -> None:
    from octra.consensus import circuits
    from octra.consensus.ledger.fees import WORK_64, WORK_128
    from octra.hfhe.params import TEST, T

    assert circuits.work_table(T, 128) == WORK_128
    assert circuits.work_table(T, 64) == WORK_64
    assert circuits.work_table(TEST, 128).decrypt == circuits.withdraw(TEST, 128).bootstraps == 199


def _inputs(chain: Chain, job: Job) -> tuple[object, ...]:
    from octra.consensus.ledger.duties import job_inputs

    assert all(resolve(chain.view, name)[1].status == HandleStatus.CERTIFIED for name in job.inputs)
    return job_inputs(chain.view, replace(job))
