"""`octra demo`: the whole story on a real network of processes on this machine, step by step, each step checked."""

from __future__ import annotations

import secrets
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from octra.cli.output import Answer, CommandFailed, say, table
from octra.errors import OctraError

if TYPE_CHECKING:
    from octra.cli.story import Story
    from octra.node.localnet import LocalNetwork

app = typer.Typer(add_completion=False)

INTERRUPTED = 130
RESULT_WIDTH = 76  # of a result in the table at the end: the full ones were told on the way


@app.command(help="The whole story on a local network, step by step.")
def demo(
    keep: bool = typer.Option(False, "--keep", help="leave the network running at the end, until Ctrl-C"),
    parameters: str = typer.Option("T", help="FHE parameter set of the network key: T, or TEST (fast, hides nothing)"),
    nodes: int = typer.Option(4, min=4, max=10, help="validators"),
) -> Answer:
    """Exit code 0 when every step went as it should, else 1. No process is left behind."""
    if parameters.upper() not in ("T", "TEST"):
        raise CommandFailed(1002, "--parameters is T or TEST")
    from octra.cli.story import CHAPTERS, Story

    signal.signal(signal.SIGTERM, _as_interrupt)
    home = Path(tempfile.mkdtemp(prefix="octra-demo-"))
    began = time.monotonic()
    try:
        with _found(home, parameters.upper(), nodes) as network:
            story = Story(home, network, _passphrase(home), started=began)
            _start(story)
            for chapter in CHAPTERS:
                chapter(story)
            answer = _finish(story)
            if keep:
                _keep(story, answer)
    except KeyboardInterrupt:
        answer = Answer({"interrupted": True}, "interrupted; every process is stopped", exit=INTERRUPTED)
    except OctraError:
        say(f"the nodes' logs are kept in {home / 'localnet'}")
        raise
    shutil.rmtree(home, ignore_errors=True)
    return answer


def _found(home: Path, parameters: str, nodes: int) -> LocalNetwork:
    from octra.node import founding
    from octra.node.localnet import LocalNetwork, free_ports
    from octra.node.localnet_seed import FAUCET_SEED

    say("A chain whose nodes compute on data that they cannot read. Everything below runs on this machine.\n")
    first = free_ports(2 * (nodes + 1))
    plan = founding.Plan(home / "localnet", nodes, 1, parameters, p2p_port=first, http_port=first + nodes + 1)
    return LocalNetwork.found(plan, FAUCET_SEED, say)


def _start(story: Story) -> None:
    count = len(story.network.places) - 1
    with story.step(
        "network", f"{count} nodes and a light node start, each a process of its own, linked by libp2p"
    ) as tell:
        story.network.start()
        facts = story.ask("octra_status")
        tell(f"{facts['chain_id']}, FHE kernel {facts['kernel']}, key: {facts['key']}")


def _passphrase(home: Path) -> Path:
    """A file with a random passphrase for the wallets of the story."""
    path = home / "passphrase"
    path.touch(mode=0o600)
    path.write_text(secrets.token_hex(16) + "\n")
    return path


def _finish(story: Story) -> Answer:
    rows = [[step.what, _cut(step.result), f"{step.seconds:.1f}"] for step in story.steps]
    total = time.monotonic() - story.started
    data: dict[str, Any] = {
        "steps": [{"what": s.what, "result": s.result, "seconds": round(s.seconds, 3)} for s in story.steps],
        "seconds": round(total, 3),
    }
    text = table([*rows, ["all of it", "as it should be", f"{total:.1f}"]], ["what", "result", "seconds"])
    return Answer(data, f"\n{text}")


def _cut(text: str) -> str:
    return text if len(text) <= RESULT_WIDTH else text[: RESULT_WIDTH - 3] + "..."


def _keep(story: Story, answer: Answer) -> None:
    say(answer.text)
    say(f"\nexplorer  {story.node}/")
    say(f"wallets   octra balance --wallet alice --home {story.home} --passphrase-file {story.passphrase_file}")
    say("Ctrl-C stops the network")
    try:
        while all(process.poll() is None for process in story.network.processes.values()):
            time.sleep(0.5)
    except KeyboardInterrupt:
        say("stopping")


def _as_interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
