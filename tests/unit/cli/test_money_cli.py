"""Sending money from the command line: what is shown, signed, refused, and told with which exit code."""

from __future__ import annotations

import json

import pytest

from octra.cli import private
from octra.cli.network import Network
from octra.consensus.ledger import fees, ops
from octra.consensus.ledger.records import ZERO
from octra.consensus.ledger.sidecar import box_context, input_id
from octra.crypto import seal
from octra.crypto.ed25519 import SigningKey
from octra.hfhe.threshold import inputs
from octra.primitives import address_of, parse_address, print_address

BOB_KEY = SigningKey(bytes([2]) * 32)
BOB = print_address(address_of(BOB_KEY.public))
RHO = b"r" * 32


def test_a_public_transfer_is_previewed_signed_and_final(cli, node, wallet: str) -> None:
    done = cli("send", BOB, "1.5", "--memo", "rent", "--yes", "--node", node.url)
    assert done.code == 0
    (sent,) = node.submitted
    assert sent.op == ops.Transfer(parse_address(BOB), 1_500_000, b"rent")
    assert (sent.nonce, sent.fee, sent.sender) == (1, 1000, parse_address(wallet))
    for shown in ("public transfer", BOB, "veteran-pipe-unhappy-genuine", "1.5 OCT", "0.001 OCT", "first payment",
                  "strangers see", "sender, receiver, amount and time, and the memo"):  # fmt: skip
        assert shown in done.err
    assert "final at height 91" in done.out


def test_the_envelope_of_a_transfer_names_transaction_fee_and_height(cli, node, wallet: str) -> None:
    envelope = cli("send", BOB, "1", "--yes", "--json", "--node", node.url).envelope
    data = envelope["data"]
    assert (data["status"], data["height"], data["fee_units"]) == ("ok", 91, "1000")
    assert data["tx_id"] == node.submitted[0].id.hex()
    assert envelope["meta"]["chain_id"] == "octra:localnet-03030303"


def test_without_a_yes_nothing_is_signed(cli, node, wallet: str) -> None:
    done = cli("send", BOB, "1", "--node", node.url)
    assert (done.code, node.submitted) == (2, [])
    assert "OCT-1005" in done.err


def test_more_than_half_of_the_balance_asks_for_a_typed_word(cli, node, wallet: str) -> None:
    words = ("send", BOB, "5.5", "--yes", "--node", node.url)
    assert cli(*words).code == 2
    assert cli(*words, "--confirm", "nope").code == 2
    assert node.submitted == []
    assert cli(*words, "--confirm", BOB[-4:]).code == 0


@pytest.mark.parametrize("amount", ["0", "-1", "1e3", "1.0000001", "", "x", "99999999999"])
def test_amounts_out_of_form_or_range_are_usage_errors(cli, node, wallet: str, amount: str) -> None:
    assert cli("send", "--yes", "--node", node.url, "--", BOB, amount).code == 2
    assert node.submitted == []


@pytest.mark.parametrize("amount", ["1125899906.842624", "9223372036854.775808"])
def test_a_private_amount_above_fifty_bits_is_refused_before_anything_is_sent(cli, node, wallet: str, amount: str):
    done = cli("send", BOB, amount, "--private", "--yes", "--node", node.url)
    assert (done.code, node.submitted) == (2, [])
    assert "50 bits" in done.err


def test_a_private_transfer_carries_the_amount_only_in_sealed_shares(cli, node, wallet: str, monkeypatch) -> None:
    units = 12_500_000
    monkeypatch.setattr("sys.stdin", __import__("io").StringIO("12.5\n"))
    done = cli("send", BOB, "-", "--private", "--yes", "--json", "--node", node.url)
    assert done.code == 0
    assert "12.5" not in done.out
    assert str(units) not in done.out
    (sent,) = node.submitted
    assert isinstance(sent.op, ops.PrivateTransfer)
    assert sent.fee == fees.minimum_fee(sent.op, fees.Prices(evaluators=2))
    for raw in (units.to_bytes(8, "big"), units.to_bytes(8, "little"), units.to_bytes(4, "big"), b"12.5", b"12500000"):
        assert raw not in sent.item
    assert opened_by_seats(node, sent) == units


def opened_by_seats(node, sent) -> int:
    """What three seats find in their boxes when they put their shares together: only a test may do so."""
    from octra.codec import decode
    from octra.consensus.ledger.sidecar import Sidecar
    from octra.hfhe.threshold import shamir

    name = input_id(sender=sent.sender_key, nonce=sent.nonce, index=0, era=0, bits=50)
    sidecar = decode(sent.sidecar, Sidecar)
    bodies = {
        seat + 1: seal.open_box(secret, sidecar.boxes[seat], box_context(bytes([3]) * 32, name, seat))
        for seat, secret in enumerate(node.seat_secrets)
    }
    rows = {seat: inputs.check_row(body, 50, name, RHO) for seat, body in bodies.items()}
    assert inputs.judge(rows, 4, 50, name, RHO).accepted
    np = __import__("numpy")
    shares = np.stack([inputs.bit_shares(bodies[seat], 50) for seat in (1, 3)])
    return private_value(shamir.reconstruct((1, 3), shares))


def private_value(bits) -> int:
    return sum(int(bit) << place for place, bit in enumerate(bits))


def test_zero_may_be_sent_privately(cli, node, wallet: str) -> None:
    assert cli("send", BOB, "0", "--private", "--yes", "--node", node.url).code == 0
    assert opened_by_seats(node, node.submitted[0]) == 0


def test_a_note_is_sealed_to_the_receiver_when_the_chain_knows_his_key(cli, node, wallet: str) -> None:
    from base64 import b64encode

    node.answers["octra_publicKey"] = {"public_key": b64encode(BOB_KEY.public).decode()}
    assert cli("send", BOB, "3", "--private", "--memo", "lunch", "--yes", "--node", node.url).code == 0
    (sent,) = node.submitted
    chain = Network(bytes([3]) * 32, "", 0, 0, fees.Prices(), (), "TEST", "", False)
    assert private.open_note(chain, sent.sender_key, sent.nonce, bytes([2]) * 32, sent.op.note) == (3_000_000, "lunch")
    with pytest.raises(seal.BoxNotOpened):
        private.open_note(chain, sent.sender_key, sent.nonce + 1, bytes([2]) * 32, sent.op.note)


def test_a_node_that_names_a_wrong_key_for_the_receiver_gets_no_note(cli, node, wallet: str) -> None:
    from base64 import b64encode

    node.answers["octra_publicKey"] = {"public_key": b64encode(SigningKey(bytes([9]) * 32).public).decode()}
    done = cli("send", BOB, "3", "--private", "--memo", "lunch", "--yes", "--node", node.url)
    assert node.submitted[0].op.note == b""
    assert "memo was left out" in done.err


@pytest.mark.parametrize(
    ("command", "op"),
    [("encrypt", ops.Encrypt(60_000_000)), ("decrypt", ops.Decrypt(60_000_000)), ("collect", ops.Collect())],
)
def test_each_private_operation_pays_exactly_what_it_costs(cli, node, wallet: str, command: str, op: ops.Op) -> None:
    amount = ("60",) if command != "collect" else ()
    assert cli(command, *amount, "--yes", "--node", node.url).code == 0
    (sent,) = node.submitted
    assert (sent.op, sent.fee) == (op, fees.minimum_fee(op, fees.Prices(evaluators=2)))


def test_a_refusal_of_the_node_is_exit_5_with_its_own_code(cli, node, wallet: str) -> None:
    node.answers["octra_submitRaw"] = node.refuse(2104, "balance 3, needed 5")
    done = cli("send", BOB, "1", "--yes", "--json", "--node", node.url)
    assert done.code == 5
    assert done.envelope["error"]["code"] == "OCT-2104"
    assert done.envelope["error"]["message"] == "balance 3, needed 5"


def test_a_transaction_that_failed_in_its_block_is_exit_5(cli, node, wallet: str) -> None:
    error = {"code": "OCT-2104", "title": "", "detail": "the balance does not cover it"}
    node.answers["octra_wait"] = lambda tx_id, *_: failed_row(tx_id, error)
    done = cli("send", BOB, "1", "--yes", "--node", node.url)
    assert done.code == 5
    assert "the balance does not cover it" in done.err


def failed_row(tx_id: str, error: dict[str, str]) -> dict[str, object]:
    return {"id": tx_id, "status": "failed", "level": "certified", "height": 5, "epoch": 7, "error": error}


def test_no_final_outcome_in_time_is_exit_7_and_names_the_next_step(cli, node, wallet: str) -> None:
    node.answers["octra_wait"] = lambda tx_id, *_: {"id": tx_id, "status": "pending"}
    done = cli("send", BOB, "1", "--yes", "--timeout", "0.3", "--json", "--node", node.url)
    assert done.code == 7
    error = done.envelope["error"]
    assert error["code"] == "OCT-2122"
    assert f"octra tx wait {node.submitted[0].id.hex()}" in error["message"]


def test_a_connection_that_breaks_while_sending_is_exit_7_too(cli, node, wallet: str) -> None:
    node.hang_up_on = "octra_submitRaw"
    done = cli("send", BOB, "1", "--yes", "--node", node.url)
    assert done.code == 7
    assert "octra tx wait" in done.err


def test_no_node_at_all_is_exit_4(cli, wallet: str) -> None:
    done = cli("send", BOB, "1", "--yes", "--node", "http://127.0.0.1:1")
    assert done.code == 4
    assert len(done.err.strip().splitlines()) == 2


def test_another_chain_than_the_one_asked_for_is_refused_before_signing(cli, node, wallet: str) -> None:
    done = cli("send", BOB, "1", "--yes", "--chain", "octra:main-00000000", "--node", node.url)
    assert (done.code, node.submitted) == (4, [])
    assert "OCT-3005" in done.err


def test_an_answer_of_unknown_form_is_one_clear_line(cli, node, wallet: str) -> None:
    node.answers["octra_chain"] = {"chain_id": "x", "height": 1, "epoch": 1}
    done = cli("balance", "--node", node.url)
    assert done.code == 4
    assert "unknown form" in done.err


def test_wait_can_be_left_out(cli, node, wallet: str) -> None:
    done = cli("send", BOB, "1", "--yes", "--no-wait", "--json", "--node", node.url)
    assert done.envelope["data"]["status"] == "pending"


def test_balance_shows_dots_until_it_is_revealed(cli, node, wallet: str) -> None:
    handles = {"spendable": "aa" * 32, "incoming": ZERO.hex()}
    node.answers["octra_getAccount"] = {"public_units": "2500000", "pending_nonce": 4, "private": handles}
    done = cli("balance", "--node", node.url)
    assert "public   2.5 OCT" in done.out
    assert "***" in done.out
    assert cli("balance", "--json", "--node", node.url).envelope["data"]["private"]["sealed"] is True


def test_a_balance_of_public_constants_is_revealed_without_asking_the_seats(cli, node, wallet: str) -> None:
    handles = {"spendable": "aa" * 32, "incoming": ZERO.hex()}
    node.answers["octra_getAccount"] = {"public_units": "0", "pending_nonce": 4, "private": handles}
    node.answers["octra_handle"] = lambda name: {
        "status": "certified", "constant_units": "60000000" if name == "aa" * 32 else "0"
    }  # fmt: skip
    done = cli("balance", "--reveal", "--json", "--node", node.url)
    assert done.envelope["data"]["private"]["revealed_units"] == "60000000"
    assert node.submitted == []


def test_an_account_that_nothing_touched_has_nothing(cli, node) -> None:
    node.answers["octra_getAccount"] = node.refuse(2100, "no transaction has touched this account")
    done = cli("balance", BOB, "--reveal", "--node", node.url)
    assert done.code == 0
    assert "private  0 OCT" in done.out


def test_the_faucet_key_is_the_one_that_genesis_gives_coins_to() -> None:
    from octra.cli import money
    from octra.crypto.hash import H
    from octra.node.founding import faucet_key
    from octra.node.localnet_seed import FAUCET_SEED

    assert money.FAUCET_SEED == FAUCET_SEED
    assert SigningKey(H("octra.faucet", money.FAUCET_SEED)).public == faucet_key(FAUCET_SEED).public


def test_the_faucet_asks_again_when_somebody_else_took_its_nonce(cli, node, wallet: str) -> None:
    tries = []
    accept = node.answers["octra_submitRaw"]

    def submit(wire: str) -> object:
        tries.append(wire)
        return accept(wire) if len(tries) > 1 else node.refuse(2102, "nonce 1 is used")()

    node.answers["octra_submitRaw"] = submit
    done = cli("faucet", "--json", "--node", node.url)
    assert done.code == 0
    assert (len(tries), done.envelope["data"]["amount_units"]) == (2, "1000000000")
    assert json.loads(done.out)["data"]["address"] == wallet


def test_a_chain_without_a_faucet_says_so(cli, node, wallet: str) -> None:
    node.answers["octra_chain"] = node.answers["octra_chain"] | {"chain_id": "octra:devnet-03030303"}
    assert cli("faucet", "--node", node.url).code == 4
