"""`octra snapshot ...`: the copies of the state that a node keeps, and one as a file for another node."""

from __future__ import annotations

from pathlib import Path

import typer

from octra.cli import output, settings
from octra.cli.output import Answer, CommandFailed

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Copies of the state that new nodes start from.")


@app.command("list")
def list_() -> Answer:
    """The snapshots of the node of --home, newest first."""
    from octra.consensus.snapshot import admit_manifest
    from octra.node.snapshots import Shelf

    shelf = Shelf(settings.current.directory)
    found = [admit_manifest(data)[0] for height in shelf.heights() if (data := shelf.manifest(height)) is not None]
    rows = [
        {
            "height": manifest.height,
            "epoch": manifest.epoch,
            "rows": manifest.rows,
            "chunks": len(manifest.chunks),
            "state_root": manifest.header.state_root.hex(),
            "checkpoint": manifest.checkpoint.id.hex(),
        }
        for manifest in found
    ]
    names = ["height", "epoch", "rows", "chunks", "checkpoint"]
    text = output.table([[str(row[name]) for name in names] for row in rows], names) if rows else "no snapshot yet"
    return Answer({"snapshots": rows}, text)


@app.command()
def export(
    file: Path = typer.Argument(..., help="where to write it; must not exist"),
    height: int = typer.Option(0, help="of which height; default: the newest"),
) -> Answer:
    """Write a snapshot of the node of --home into a file, for `octra node start --snapshot FILE`."""
    from octra.node.snapshots import Shelf, SnapshotGone
    from octra.node.snapshots import export as write

    shelf = Shelf(settings.current.directory)
    heights = shelf.heights()
    if not heights:
        raise SnapshotGone("snapshot in this directory yet")
    if file.exists():
        raise CommandFailed(1002, f"{file} exists")
    unfinished = file.with_name(file.name + ".part")
    with unfinished.open("wb") as stream:
        manifest = write(shelf, height or heights[0], stream)
    unfinished.rename(file)
    size, checkpoint = file.stat().st_size, manifest.checkpoint.id.hex()
    data = {"file": str(file), "height": manifest.height, "epoch": manifest.epoch, "checkpoint": checkpoint}
    lines = [
        f"height {manifest.height}, end of epoch {manifest.epoch}: {manifest.rows} rows, {size / 2**20:.1f} MiB",
        f"checkpoint  {checkpoint}",
        f"next        octra node start --snapshot {file} --home DIR",
    ]
    return Answer(data | {"bytes": size}, "\n".join(lines))
