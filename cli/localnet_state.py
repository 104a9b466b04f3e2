"""Where this user's local network answers, read from its state file without importing the node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from octra.cli import settings

STATE_FILE = "network.json"


def default_directory() -> Path:
    """Where `octra localnet` keeps its network."""
    return settings.current.directory / "localnet"


def state() -> dict[str, Any] | None:
    """The state file of the local network, or None."""
    try:
        document = json.loads((default_directory() / STATE_FILE).read_text())
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def running_node() -> str | None:
    """The URL of the local network's first node, if such a network was founded here."""
    try:
        return f"http://{(state() or {})['nodes'][0]['http']}"
    except (KeyError, IndexError, TypeError):
        return None
