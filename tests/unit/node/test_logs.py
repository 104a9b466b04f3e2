"""Logs: readable by machines, and free of secrets whatever is passed to them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from octra.node import logs

CANARY = "canary-plaintext-4711"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handlers, level = logging.root.handlers[:], logging.root.level
    logs.configure("debug", stream=stream)
    yield stream
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def test_away_from_a_terminal_each_line_is_json(lines: io.StringIO) -> None:
    logs.get(actor="ledger").info("block finalised", height=7)
    line = json.loads(lines.getvalue())
    assert (line["event"], line["actor"], line["height"], line["level"]) == ("block finalised", "ledger", 7, "info")


def test_fields_named_like_secrets_and_long_bytes_never_appear(lines: io.StringIO) -> None:
    secret = b"\x5a" * 33
    logs.get().warning(
        "trouble",
        passphrase=CANARY,
        node_seed=CANARY,
        nested={"private_key": CANARY, "deep": [{"token": CANARY}]},
        body=secret,
        bodies=[secret, memoryview(secret)],
        genesis=b"g" * 32,
    )
    text = lines.getvalue()
    assert CANARY not in text
    assert secret.hex() not in text
    assert "ZZZ" not in text
    assert (b"g" * 32).hex() in text


def test_stacks_of_errors_are_logged_without_local_values(lines: io.StringIO) -> None:
    held = [CANARY]  # a local variable of the frame that fails
    try:
        held[0].index("!")
    except ValueError as error:
        logs.get().error("failed", exc_info=error)
    assert CANARY not in lines.getvalue()


def test_libraries_are_heard_only_when_they_warn(lines: io.StringIO) -> None:
    logging.getLogger("some.library").info("chatter")
    logging.warning("root warning")
    assert "chatter" not in lines.getvalue()
    assert json.loads(lines.getvalue())["event"] == "root warning"
