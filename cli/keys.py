"""`octra keys`: what the network key promises, and to whom."""

from __future__ import annotations

import typer

from octra.cli import client, network
from octra.cli.output import Answer

app = typer.Typer(add_completion=False)


@app.command(help="What the network key promises.")
def keys() -> Answer:
    """Who can read private amounts, who made the key, how many may lie."""
    chain, committee = network.read(), client.call("octra_committee")
    seats, faults = len(chain.view_keys), chain.faults
    data = {
        "key_id": committee.get("key_id"),
        "parameters": chain.key_set,
        "origin": chain.key_origin,
        "secrecy": "threshold" if chain.secret else "none",
        "seats": seats,
        "lying_seats_tolerated": faults,
        "seats_that_read_together": faults + 1,
        "certifying_evaluators": chain.prices.evaluators,
    }
    lines = [
        f"parameters   set {chain.key_set}" + (" (a toy: hides nothing)" if chain.key_set == "TEST" else ""),
        f"made by      {chain.key_origin}",
        f"shared by    {seats} seats; any {faults + 1} of them together can read private amounts, {faults} cannot",
        f"openings     right although {faults} of {seats} seats lie or are silent; liars are named",
        f"evaluation   {chain.prices.evaluators} seats must get the same bytes before a result counts",
        f"key id       {data['key_id']}",
    ]
    warnings = [] if chain.secret else ["nothing is secret from whoever made or holds this key: use it for tests only"]
    return Answer(data, "\n".join(lines), warnings=warnings)
