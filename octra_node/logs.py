"""Logs for people (a terminal) and for machines (JSON lines), with a last guard against secrets in them."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import structlog

BYTES_MAX = 32  # ids and hashes pass; keys with a tag, shares and ciphertexts do not
DEPTH_MAX = 6
REDACTED = "<redacted>"
_SECRET_NAME = re.compile(
    r"secret|passphrase|password|mnemonic|seed|private|token|share|plaintext|keystore", re.IGNORECASE
)


def configure(level: str = "info", form: str = "auto", stream: TextIO | None = None) -> None:
    """Set up structlog and the standard library's logging. `form` is `auto`, `pretty` or `json`."""
    stream = stream or sys.stderr
    pretty = form == "pretty" or (form == "auto" and stream.isatty())
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    if pretty:
        ending: list[structlog.types.Processor] = [structlog.dev.ConsoleRenderer(colors=stream.isatty())]
    else:
        # Without the frames' local variables: they hold keys, shares and whole transactions.
        tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        exceptions = structlog.processors.ExceptionRenderer(tracebacks)
        ending = [exceptions, redact, structlog.processors.JSONRenderer(sort_keys=True)]
    structlog.configure(
        processors=[*shared, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,  # a test or a forked child may configure again
    )
    # Libraries log through the standard library, some of them through its root: only their warnings are news.
    handler = logging.StreamHandler(stream)
    handler.setLevel(max(threshold, logging.WARNING))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
            foreign_pre_chain=[*shared, _name_logger],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(threshold, logging.WARNING), force=True)


def get(**fields: Any) -> structlog.stdlib.BoundLogger:  # Any: fields of a log line
    """A logger with fields bound to each of its lines."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(**fields)
    return logger


def redact(logger: Any, method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """A structlog processor: fields named like secrets, and long bytes, never reach an output."""
    return {name: _clean(name, value, 0) for name, value in event.items()}


def _clean(name: str, value: object, depth: int) -> object:
    if _SECRET_NAME.search(name):
        return REDACTED
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex() if len(value) <= BYTES_MAX else f"<{len(value)} bytes>"
    if depth >= DEPTH_MAX:
        return REDACTED
    if isinstance(value, Mapping):
        return {str(key): _clean(str(key), item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", item, depth + 1) for item in value]
    return value


def _name_logger(logger: Any, method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    record = event.get("_record")
    if record is not None:
        event["library"] = record.name
    return event
