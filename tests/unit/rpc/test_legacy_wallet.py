"""What an unmodified wallet sends, and the strict types that it reads."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from octra.consensus.ledger.legacy import print_legacy
from octra.crypto.ed25519 import SigningKey
from octra.node.rpc.server import build_app
from octra.primitives import address_of, print_address

ALICE = SigningKey(b"\x01" * 32)
BOB = SigningKey(b"\x02" * 32)
A, B = print_address(address_of(ALICE.public)), print_address(address_of(BOB.public))
STRANGER = print_address(b"\x99" * 32)


def posted(timestamp: str, /, *, signed_with: str | None = None, **changes: object) -> bytes:
    """A call as a JavaScript wallet writes it; the timestamp may be printed otherwise than it was signed."""
    text = print_legacy(sender=A, to=B, amount=12_500_000, nonce=9, fee=10_000, timestamp=signed_with or timestamp)
    transaction = {
        "from": A,
        "to_": B,
        "amount": "12500000",
        "nonce": 9,
        "ou": "10000",
        "timestamp": "@",
        "op_type": "standard",
        "signature": base64.b64encode(ALICE.sign(text)).decode(),
        "public_key": base64.b64encode(ALICE.public).decode(),
    } | changes
    call = {"jsonrpc": "2.0", "id": 1, "method": "octra_submit", "params": [transaction]}
    return json.dumps(call).replace('"@"', timestamp).encode()


@pytest.mark.parametrize(
    ("timestamp", "signed_with"),
    [("1763831234.5", None), ("1763831234", "1763831234.0"), ("1763831234", "1763831234"), ("1763831234.10", None)],
)
def test_a_legacy_transaction_is_taken_in_the_form_that_was_signed(
    client: Any, node: Any, timestamp: str, signed_with: str | None
) -> None:
    result = client.post("/rpc", posted(timestamp, signed_with=signed_with)).json["result"]
    assert result["status"] == "accepted"
    assert (result["nonce"], result["ou_cost"]) == (9, "10000")
    assert (signed_with or timestamp).encode() in node.pool[bytes.fromhex(result["tx_hash"])]
    again = client.post("/rpc", posted(timestamp, signed_with=signed_with)).json["result"]
    assert again == result


def test_the_frozen_legacy_hash_is_answered(client: Any) -> None:
    text = print_legacy(sender=A, to=B, amount=12_500_000, nonce=1, fee=10_000, timestamp="1763831234.5")
    signature = base64.b64encode(ALICE.sign(text)).decode()
    answer = client.post("/rpc", posted("1763831234.5", nonce=1, signature=signature)).json
    assert answer["result"]["tx_hash"] == "eb5e9897e338814fc04d14232dba3203e943c25d914be8979ae979affd35c0ee"


@pytest.mark.parametrize(
    ("changes", "code", "our_code"),
    [
        ({"amount": "12500001"}, 101, "OCT-2101"),
        ({"amount": "1e3"}, 105, "OCT-2105"),
        ({"amount": -1}, 105, "OCT-2105"),
        ({"timestamp": "soon"}, 105, "OCT-2105"),
        ({"timestamp": 1e300}, 105, "OCT-2105"),
        ({"from": B}, 105, "OCT-2105"),
        ({"public_key": "AAAA"}, 105, "OCT-2105"),
        ({"signature": "!"}, 105, "OCT-2105"),
        ({"nonce": "9"}, -32602, "OCT-4001"),
        ({"op_type": 5}, -32602, "OCT-4001"),
    ],
)
def test_each_wrong_field_is_refused_with_text_that_starts_with_our_code(
    client: Any, changes: dict[str, object], code: int, our_code: str
) -> None:
    error = client.post("/rpc", posted("1763831234.5", **changes)).json["error"]
    assert error["code"] == code
    assert error["data"].startswith(our_code + ": ")


def test_balances_count_the_pool(client: Any) -> None:
    found = client.rpc("octra_balance", A)
    assert found == {
        "address": A,
        "balance": "9987.5",
        "balance_raw": "9987500000",
        "nonce": 5,
        "pending_nonce": 7,
        "has_public_key": True,
    }
    assert client.rpc("octra_balance", B)["pending_nonce"] == 3  # nonces 1 and 3 are used
    assert client.rpc("octra_balance", STRANGER)["code"] == 100


def test_fees_are_texts_and_cover_what_the_operation_costs(client: Any) -> None:
    for op_type, minimum in (("standard", 1_000), ("encrypt", 2_388), ("private_transfer", 3_392), ("nonsense", 1_000)):
        found = client.rpc("octra_recommendedFee", op_type)
        assert found["minimum"] == str(minimum)
        for name in ("minimum", "base_fee", "recommended", "fast", "staging_ou", "epoch_capacity"):
            assert isinstance(found[name], str)
        assert isinstance(found["staging_size"], int)
        assert found["stealth_class"] is False


def test_the_staging_area_shows_what_waits(client: Any, ids: dict[str, bytes]) -> None:
    found = client.rpc("staging_view")
    assert (found["count"], found["total"], found["truncated"]) == (1, 1, False)
    row = found["transactions"][0]
    assert row["hash"] == ids["waiting"].hex()
    assert (row["from"], row["to"], row["amount"], row["amount_raw"], row["message"]) == (A, B, "0.000003", "3", "soon")
    assert "epoch" not in row


def test_history_is_newest_first_in_units_with_failures_apart(client: Any, ids: dict[str, bytes]) -> None:
    found = client.rpc("octra_transactionsByAddress", B, 10)
    assert [row["hash"] for row in found["transactions"]] == [
        ids[name].hex() for name in ("private", "transfer", "hostile")
    ]
    assert found["transactions"][1]["amount"] == "12500000"
    assert [row["hash"] for row in found["rejected"]] == [ids["failed"].hex()]
    assert found["rejected"][0]["error_type"] == "insufficient_balance"
    assert (found["total"], found["has_more"], found["offset"], found["limit"]) == (4, False, 0, 10)
    for row in found["transactions"]:
        assert isinstance(row["timestamp"], float)
        assert isinstance(row["epoch"], int)
        assert None not in row.values()
    page = client.rpc("octra_transactionsByAddress", B, 1, 1)
    assert page["has_more"] is True
    assert client.rpc("octra_transactionsByAddress", B, 0)["code"] == -32602


def test_one_transaction_has_the_word_for_its_state(client: Any, node: Any, ids: dict[str, bytes]) -> None:
    found = client.rpc("octra_transaction", ids["transfer"].hex())
    assert (found["status"], found["amount"], found["amount_raw"]) == ("confirmed", "12.5", "12500000")
    assert found["message"] == "rent"
    assert found["block_height"] == 1
    waiting = client.rpc("octra_transaction", ids["waiting"].hex())
    assert (waiting["status"], waiting["epoch"]) == ("pending", None)
    rejected = client.rpc("octra_transaction", ids["failed"].hex())
    assert rejected["status"] == "rejected"
    assert rejected["error"] == {"type": "insufficient_balance", "reason": "999 units needed, 3 available"}
    assert client.rpc("octra_transaction", "ab" * 32)["code"] == 112
    assert client.rpc("octra_transaction", "AB" * 32)["code"] == -32602
    node.certified = 0
    node.checkpointed = 0
    assert client.rpc("octra_transaction", ids["transfer"].hex())["status"] == "pending"


def test_a_private_amount_is_in_no_answer(client: Any, ids: dict[str, bytes]) -> None:
    found = client.rpc("octra_transaction", ids["private"].hex())
    assert (found["amount"], found["op_type"], found["message"]) == ("0", "private_transfer", None)


def test_the_view_key_of_an_account_that_has_signed(client: Any) -> None:
    assert client.rpc("octra_viewPubkey", A)["view_pubkey"] == "GxtY3VDqFLYNoXt5DNAnVNlwybq4ZOuzwPMBb+UdP1c="
    assert client.rpc("octra_viewPubkey", STRANGER)["view_pubkey"] is None


def test_an_encrypted_balance_is_unknown_rather_than_a_false_zero(client: Any) -> None:
    def ask(key: SigningKey, address: str, message: str) -> Any:
        signature = base64.b64encode(key.sign(message.encode())).decode()
        return client.rpc("octra_encryptedBalance", address, signature, base64.b64encode(key.public).decode())

    assert ask(ALICE, A, f"octra_encryptedBalance|{A}")["code"] == 110
    assert ask(BOB, B, f"octra_encryptedBalance|{B}") == {"address": B, "cipher": "0", "has_pvac_pubkey": False}
    assert ask(BOB, A, f"octra_encryptedBalance|{A}")["code"] == 101
    assert ask(ALICE, A, "another text")["code"] == 101


@pytest.mark.parametrize(
    ("method", "parameters", "name", "value"),
    [
        ("octra_tokensByAddress", [A], "tokens", []),
        ("octra_tokenTransfersByAddress", [A, 10, 0], "transactions", []),
        ("octra_stealthOutputs", [0], "outputs", []),
        ("octra_stealthOutputsPage", [0, None, 5], "has_more", False),
        ("node_status", [], "head_epoch", 2),
        ("epoch_current", [], "epoch_id", 2),
        ("octra_validateAddress", [A], "valid", True),
        ("octra_validateAddress", ["oct1"], "valid", False),
        ("octra_pvacPubkey", [], "code", 110),
    ],
)
def test_the_rest_of_the_surface_has_the_fields_that_wallets_read(
    client: Any, method: str, parameters: list[object], name: str, value: object
) -> None:
    assert client.rpc(method, *parameters)[name] == value


def test_a_light_node_says_that_it_has_no_state(client: Any, node: Any) -> None:
    light = type(client)(build_app(type(node)(light=True)))
    error = light.rpc("octra_balance", A)
    assert error["code"] == 110
    assert "light node" in error["data"]
    assert light.rpc("octra_status")["role"] == "light"
    assert light.get("/api/v1/status").status == 200
    assert light.get("/").status == 503
