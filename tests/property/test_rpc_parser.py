"""The RPC parser never raises, and answers JSON to anything."""

from __future__ import annotations

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from octra.errors import InvalidInput
from octra.node.rpc import jsonrpc
from octra.node.rpc.jsonrpc import Call, InvalidParams, Refused
from octra.node.rpc.legacy import SubmittedLegacy, signed_legacy
from octra.node.rpc.limits import Budgets

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)
requests = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.sampled_from(["2.0", "1.0", 2]) | values,
        "id": values,
        "method": st.sampled_from(["octra_chain", "x y", ""]) | values,
        "params": values,
        "extra": values,
    },
)


def answered(body: bytes) -> None:
    parsed = jsonrpc.parse(body)
    assert parsed.calls
    answers = []
    for call in parsed.calls:
        if isinstance(call, Refused):
            answers.append(jsonrpc.refusal(call.id, call.failure))
        elif call.id is not None:
            answers.append(jsonrpc.answer(call.id, None))
    data = jsonrpc.join(answers, batch=parsed.batch)
    if data:
        msgspec.json.decode(data)


@given(st.binary(max_size=200))
def test_random_bytes_are_answered(body: bytes) -> None:
    answered(body)


@given(requests | st.lists(requests | values, max_size=4) | values)
def test_random_json_is_answered(document: object) -> None:
    answered(json.dumps(document).encode())


@given(requests, st.data())
def test_a_damaged_request_is_answered(document: object, data: st.DataObject) -> None:
    body = bytearray(json.dumps(document).encode())
    for _ in range(data.draw(st.integers(0, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    answered(bytes(body))


@given(st.lists(values, max_size=3), st.integers(0, 3))
def test_a_parameter_has_the_type_or_is_refused_by_place(parameters: list[object], position: int) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "m", "params": parameters}).encode()
    call = jsonrpc.parse(body).calls[0]
    if isinstance(call, Refused):
        return  # too deep
    assert isinstance(call, Call)
    try:
        text = call.parameters.text(position)
    except InvalidParams as error:
        assert error.position == position
        assert position >= len(parameters) or not isinstance(parameters[position], str)
    else:
        assert text == parameters[position]


@given(
    st.fixed_dictionaries(
        {
            "from": st.text(max_size=50),
            "to_": st.text(max_size=50),
            "amount": st.text(max_size=20) | st.integers(),
            "nonce": st.integers(),
            "ou": st.text(max_size=20) | st.integers(),
            "timestamp": st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(max_size=5),
            "signature": st.text(max_size=100),
            "public_key": st.text(max_size=50),
        },
        optional={"op_type": st.text(max_size=10), "message": st.text(max_size=10)},
    )
)
def test_a_legacy_transaction_of_nonsense_is_refused_with_a_typed_error(fields: dict[str, object]) -> None:
    try:
        posted = msgspec.json.decode(json.dumps(fields).encode(), type=SubmittedLegacy)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    try:
        signed_legacy(posted)
    except InvalidInput:
        return
    raise AssertionError("nonsense was accepted")


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 2_000)), max_size=60))
def test_a_budget_never_gives_more_than_its_rate_and_burst(spending: list[tuple[int, int]]) -> None:
    budgets, now, spent = Budgets(per_s=10, burst=40), 0, 0
    for price, pause in spending:
        now += pause
        if budgets.spend("host", price, now):
            spent += price
        assert spent <= 40 + 10 * now / 1_000
    assert budgets.spend("other", 40, now)
