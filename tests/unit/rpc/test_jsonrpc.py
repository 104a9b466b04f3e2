"""The envelope of JSON-RPC: parsing, ids, batches, errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from octra.node.rpc.jsonrpc import Call, Refused, failure_of, parse
from octra.node.rpc.limits import BATCH_CALLS_MAX, BODY_BYTES_MAX


def body(**fields: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "octra_chain", "params": []} | fields).encode()


@pytest.mark.parametrize("call_id", ['"a"', "0", "-7", "12345678901234567890123", "1.50", "null", '"\\u00e9"'])
def test_the_id_goes_back_as_it_came(call_id: str) -> None:
    call = parse(b'{"jsonrpc":"2.0","method":"m","id":' + call_id.encode() + b"}").calls[0]
    assert isinstance(call, Call)
    assert call.id == call_id.encode()


@pytest.mark.parametrize("call_id", ["true", "[]", "{}", '"' + "x" * 300 + '"'])
def test_an_id_of_another_type_is_refused(call_id: str) -> None:
    refused = parse(b'{"jsonrpc":"2.0","method":"m","id":' + call_id.encode() + b"}").calls[0]
    assert isinstance(refused, Refused)
    assert refused.failure.code == -32600


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff", -32700),
        (b"nul", -32700),
        (b'{"jsonrpc":"2.0","method":"m","id":1} x', -32700),
        (b"1", -32600),
        (b"null", -32600),
        (b"[]", -32600),
        (b"[" + b",".join([b"1"] * (BATCH_CALLS_MAX + 1)) + b"]", -32600),
        (b"[" * 9 + b"]" * 9, -32600),
        (b"[" * 100_000, -32600),
        (body(jsonrpc="1.0"), -32600),
        (body(method="no spaces"), -32600),
        (body(method="x" * 65), -32600),
        (body(method=3), -32600),
        (body(params={"named": 1}), -32600),
        (body(params="text"), -32600),
    ],
)
def test_what_is_no_call_becomes_a_typed_refusal(text: bytes, code: int) -> None:
    parsed = parse(text)
    assert len(parsed.calls) == 1
    assert not parsed.batch
    refused = parsed.calls[0]
    assert isinstance(refused, Refused)
    assert refused.failure.code == code
    assert refused.failure.data.startswith("OCT-")


def test_brackets_inside_strings_are_not_depth() -> None:
    call = parse(body(params=["[" * 50, '\\"[[[[[[[[[[[']))
    assert isinstance(call.calls[0], Call)
    assert isinstance(parse(body(params=[[[[[[[]]]]]]])).calls[0], Call)
    assert isinstance(parse(body(params=[[[[[[[[]]]]]]]])).calls[0], Refused)


def test_parameters_keep_their_digits() -> None:
    """A timestamp is signed as text: 1763831234.10 must not become 1763831234.1."""
    call = parse(b'{"jsonrpc":"2.0","method":"m","params":[{"t":1763831234.10}]}').calls[0]
    assert isinstance(call, Call)
    raw = call.parameters.value(0, dict[str, Any], "an object")
    assert raw == {"t": 1763831234.1}
    assert b"1763831234.10" in bytes(call.parameters._raw[0])


def test_a_batch_is_answered_in_order_and_notifications_are_not(client: Any) -> None:
    calls = [
        {"jsonrpc": "2.0", "id": "one", "method": "octra_chain"},
        {"jsonrpc": "2.0", "method": "octra_chain"},
        7,
        {"jsonrpc": "2.0", "id": 2, "method": "no_such_method"},
        {"jsonrpc": "2.0", "id": None, "method": "octra_balance", "params": [5]},
    ]
    answer = client.post("/rpc", json.dumps(calls).encode())
    found = answer.json
    assert [entry["id"] for entry in found] == ["one", None, 2, None]
    assert [("result" in entry, "error" in entry) for entry in found] == [(True, False)] + 3 * [(False, True)]
    assert [entry["error"]["code"] for entry in found[1:]] == [-32600, -32601, -32602]
    assert client.post("/rpc", json.dumps(calls[1]).encode()).status == 204


def test_the_root_takes_calls_too(client: Any) -> None:
    answer = client.post("/", body())
    assert answer.json["result"]["chain_id"].startswith("octra:localnet-")
    assert answer.headers["access-control-allow-origin"] == "*"


def test_every_error_of_the_catalogue_has_a_code_a_message_and_text_in_data() -> None:
    from octra.catalogue import ROWS
    from octra.errors import OctraError

    for number, row in ROWS.items():
        error = OctraError("what happened")
        error.oct_code = number
        failure = failure_of(error)
        assert failure.code == row.rpc
        assert failure.message
        assert failure.data == f"{row.text}: what happened"


def test_a_body_past_the_limit_is_refused_whatever_its_length_header_says(client: Any) -> None:
    huge = b" " * (BODY_BYTES_MAX + 1)
    assert client.post("/rpc", huge).status == 413
    assert client.post("/rpc", b"{}", content_length=str(BODY_BYTES_MAX + 1)).status == 413
    assert client.post("/rpc", b" " * BODY_BYTES_MAX).json["error"]["code"] == -32700
