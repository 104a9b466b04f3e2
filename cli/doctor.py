"""`octra doctor`: is this machine fit, and does a node answer? Each line that fails comes with its fix."""

from __future__ import annotations

import email.utils
import http.client
import importlib.util
import shutil
import socket
import stat
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import typer

from octra.cli import client, settings
from octra.cli.output import Answer, paint

app = typer.Typer(add_completion=False)

PYTHON_MIN = (3, 11)
DISK_MIN = 2 << 30  # a node stops taking up work below its own reserve; this leaves room for a network
SKEW_MAX_S = 30.0  # a node that is off by more is not ready
PORTS = (8080, 8180, 9100)  # one node's HTTP, a local network's first HTTP and libp2p
MODULES = (
    "argon2", "msgspec", "nacl", "numpy", "pyblst", "pydantic", "rocksdict", "starlette", "typer",
    "uvicorn", "wasmtime",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """One line. What is not fine has a fix; `needed` says whether anything fails without it."""

    name: str
    ok: bool
    found: str
    fix: str = ""
    needed: bool = True


@app.command(help="Check this machine and installation.")
def doctor() -> Answer:
    """All checks, each by itself; exit code 1 when something that is needed is not fine."""
    checks = [check for group in CHECKS for check in group()]
    lines = []
    for check in checks:
        mark = (
            paint("ok  ", "32")
            if check.ok
            else paint("FAIL" if check.needed else "note", "31" if check.needed else "33")
        )
        lines.append(f"{mark}  {check.name:<12} {check.found}")
        if not check.ok and check.fix:
            lines.append(f"      {'':<12} {check.fix}")
    data = [{"name": c.name, "ok": c.ok, "needed": c.needed, "found": c.found, "fix": c.fix or None} for c in checks]
    broken = any(check.needed and not check.ok for check in checks)
    return Answer({"checks": data}, "\n".join(lines), exit=1 if broken else 0)


def _python() -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Check("python", sys.version_info[:2] >= PYTHON_MIN, version, "install Python 3.11 or newer")
    missing = [name for name in MODULES if importlib.util.find_spec(name) is None]
    found = f"missing: {', '.join(missing)}" if missing else "all packages are there"
    yield Check("packages", not missing, found, "install again: pip install octra-node")


def _disk() -> Iterator[Check]:
    place = settings.current.directory
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    found = f"{free / 2**30:.1f} GiB free at {place}"
    yield Check("disk", free >= DISK_MIN, found, "free some space, or choose another place with --home DIR")


def _wallets() -> Iterator[Check]:
    folder = settings.current.directory / "wallets"
    loose = [path.name for path in sorted(folder.glob("*.json")) if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    if folder.exists():
        found = f"readable by others: {', '.join(loose)}" if loose else f"{len(list(folder.glob('*.json')))} wallets"
        yield Check("key files", not loose, found, f"chmod 600 {folder}/*.json")


def _kernel() -> Iterator[Check]:
    from octra.hfhe.backend import choose, why_slow

    chosen = choose()
    reason = why_slow(chosen)
    yield Check("FHE kernel", True, f"{chosen.name}, the same bytes but slower: {reason}" if reason else chosen.name)


def _signatures() -> Iterator[Check]:
    from octra.crypto import ed25519

    yield Check("signatures", True, ed25519.engine())


def _engine() -> Iterator[Check]:
    from importlib.metadata import version

    yield Check("wasm engine", True, f"wasmtime {version('wasmtime')}")


def _ports() -> Iterator[Check]:
    taken = [str(port) for port in PORTS if not _is_free(port)]
    found = f"in use: {', '.join(taken)}" if taken else "free: " + ", ".join(map(str, PORTS))
    fix = "fine if that is your node; else choose others with --http-port and --p2p-port, or in config.toml"
    yield Check("ports", not taken, found, fix, needed=False)


def _node() -> Iterator[Check]:
    url = client.node_url()
    try:
        facts = client.call("octra_status", timeout_s=5)
    except client.NoNode:
        yield Check("node", False, f"none answers at {url}", "octra localnet, or octra node start", needed=False)
        return
    except client.NodeRefused as refusal:
        yield Check("node", False, str(refusal), "name a node with --node URL", needed=False)
        return
    state = str(facts.get("state"))
    reasons = ", ".join(facts.get("reasons") or []) or "octra node status tells more"
    yield Check("node", bool(facts.get("ready")), f"{facts.get('role')} at {url}, {state}", reasons, needed=False)
    if facts.get("origin"):
        yield Check("history", True, f"begins with {facts['origin']}")
    yield from _clock(url)


def _clock(url: str) -> Iterator[Check]:
    """Our clock against the node's Date header: whole seconds, and half a round trip off at most."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=5)
    try:
        connection.request("GET", "/health")
        header = connection.getresponse().getheader("Date")
        skew = time.time() - email.utils.parsedate_to_datetime(header).timestamp() if header else None
    except (OSError, http.client.HTTPException, ValueError):
        skew = None
    finally:
        connection.close()
    if skew is not None:
        yield Check(
            "clock",
            abs(skew) <= SKEW_MAX_S,
            f"{skew:+.0f} s from the node's",
            "set the clock: timedatectl set-ntp true",
        )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


CHECKS: tuple[Callable[[], Iterator[Check]], ...] = (
    _python,
    _disk,
    _wallets,
    _kernel,
    _signatures,
    _engine,
    _ports,
    _node,
)
