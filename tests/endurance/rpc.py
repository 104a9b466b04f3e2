"""Asks a node by JSON-RPC. A node that is killed or stopped in the middle of it is a normal event here."""

from __future__ import annotations

import asyncio
import json
from typing import Any

CALL_S = 10.0


class NoAnswer(Exception):
    """The node is gone, stopped or too slow; what was asked may have been done or not."""


class Refused(Exception):
    """The node answered with an error; `code` is that of the catalogue."""

    def __init__(self, data: str) -> None:
        super().__init__(data)
        self.code = data.partition(":")[0]


async def call(address: str, method: str, *parameters: Any, timeout_s: float = CALL_S) -> Any:
    """The result of a method of the node at host:port; raises `NoAnswer` or `Refused`."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).encode()
    head = b"POST /rpc HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    answer = await _exchange(address, head + b"Content-Length: %d\r\n\r\n" % len(body) + body, timeout_s)
    try:
        document = json.loads(answer.partition(b"\r\n\r\n")[2])
    except ValueError as error:
        raise NoAnswer(address) from error
    if "error" in document:
        raise Refused(str(document["error"].get("data") or document["error"]))
    if "result" not in document:
        raise Refused(str(document.get("code")))  # before it came to the method: the node stops, or has too much to do
    return document["result"]


async def is_ready(address: str) -> bool:
    """Does the node say that it is synced?"""
    try:
        answer = await _exchange(
            address, b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", CALL_S
        )
    except NoAnswer:
        return False
    return answer.startswith(b"HTTP/1.1 200")


async def _exchange(address: str, request: bytes, timeout_s: float) -> bytes:
    host, _, port = address.rpartition(":")
    writer = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(request)
            answer = await reader.read()
    except (OSError, TimeoutError) as error:
        raise NoAnswer(address) from error
    finally:
        if writer is not None:
            writer.transport.abort()
    if not answer:
        raise NoAnswer(address)
    return answer
