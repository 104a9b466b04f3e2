"""Asks a node by JSON-RPC over plain HTTP. Answers keep their JSON types; errors become typed ones."""

from __future__ import annotations

import http.client
import json
import urllib.parse
from typing import Any

from octra.cli import output, settings
from octra.errors import OctraError, Unavailable

DEFAULT_NODE = "http://127.0.0.1:8080"


class NoNode(Unavailable):
    """Nothing answers at the node's address. `sent`: the request had left before the connection broke."""

    oct_code = 3006

    def __init__(self, url: str, sent: bool = False) -> None:
        super().__init__(f"no node answers at {url}")
        self.sent = sent


class NodeRefused(OctraError):
    """The node answered with an error of its own; `oct_code` is the one it named."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.oct_code = code


def node_url() -> str:
    """The node to ask: --node, else a local network founded here, else the default port."""
    if settings.current.node:
        url = settings.current.node
        return url if "//" in url else f"http://{url}"
    from octra.cli.localnet_state import running_node

    return running_node() or DEFAULT_NODE


def call(method: str, *parameters: Any, timeout_s: float | None = None) -> Any:  # JSON in, JSON out
    """The result of one method; raises `NoNode` or `NodeRefused`."""
    url = node_url()
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).encode()
    answer = request(url, "POST", "/rpc", body, timeout_s)
    try:
        document = json.loads(answer)
    except ValueError as error:
        raise NodeRefused(f"what answers at {url} is no Octra node", 3006) from error
    if not isinstance(document, dict) or ("result" not in document and "error" not in document):
        raise NodeRefused(f"what answers at {url} is no Octra node", 3006)
    if "error" in document:
        raise _refusal(document["error"])
    return document["result"]


def request(url: str, verb: str, path: str, body: bytes | None = None, timeout_s: float | None = None) -> bytes:
    """Body of one HTTP answer; raises `NoNode`."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname or "127.0.0.1", parts.port or 80, timeout=timeout_s or settings.current.timeout_s
    )
    headers = {"Content-Type": "application/json"} if body is not None else {}
    connected = False
    try:
        connection.connect()
        connected = True
        connection.request(verb, path, body, headers)
        return connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        raise NoNode(url, connected) from error
    finally:
        connection.close()


def chain() -> dict[str, Any]:
    """`octra_chain` of the node, checked against --chain; its height and epoch go into the envelope."""
    facts: dict[str, Any] = call("octra_chain")
    wanted = settings.current.chain
    if wanted and wanted != facts["chain_id"]:
        raise NodeRefused(f"the node serves {facts['chain_id']}, not {wanted}", 3005)
    output.meta.update(chain_id=facts["chain_id"], node=node_url(), height=facts["height"], epoch=facts["epoch"])
    return facts


def _refusal(error: dict[str, Any]) -> NodeRefused:
    data = str(error.get("data") or "")
    head, _, message = data.partition(": ")
    if head.startswith("OCT-") and head[4:].isdecimal():
        return NodeRefused(message or str(error.get("message")), int(head[4:]))
    return NodeRefused(data or str(error.get("message")), 5001)
