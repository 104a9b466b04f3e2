"""A run as a table for people and as a document for machines."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from endurance.story import Result

WARM = 0.4  # of the run: the database fills its write buffers once, and the first outage is over


def document(result: Result) -> dict[str, Any]:
    """Everything measured."""
    plan, history, record, seen, verdict = (
        result.plan,
        result.history,
        result.record,
        result.seen,
        result.verdict,
    )
    return {
        "schema": "octra.endurance/v1",
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "load_average": round(fmean(seen.load), 1) if seen.load else None,  # of the whole machine
        "nodes": plan.nodes,
        "minutes": round(plan.seconds / 60, 1),
        "offered_per_s": plan.rate,
        "transport": plan.transport,
        "seed": plan.seed,
        "problems": result.problems,
        "transfers": len(history.transfers),
        "acknowledged": len(history.acknowledged),
        "executed": verdict.executed,
        "without_answer": sum(what == "no answer" for one in history.transfers for _, _, what in one.said),
        "client_late_s": round(history.late_s, 2),
        "final_s": percentiles(history.final_s),
        "heights": verdict.height,
        "vertices": verdict.vertices,
        "compared_while_running": seen.compared,
        "faults": dict(record.done),
        "most_seats_at_once": record.most_at_once,
        "start_s": round(result.ready_s, 1),
        "restart_s": percentiles(record.ready_s),
        "recovery_s": {kind: percentiles(values) for kind, values in sorted(record.recovery_s.items())},
        "longest_gap_s": round(seen.longest_gap_s(record.outages_s), 1),
        "outages_s": [round(end - begin, 1) for begin, end in record.outages_s],
        "memory": memory(result),
        "disk": disk(result),
        "log": dict(verdict.log_lines.most_common()),
    }


def memory(result: Result) -> dict[str, Any]:
    """Growth of the processes that live on after the warm-up until the end, by a straight line through their samples."""
    since = result.started_s + WARM * result.plan.seconds
    lives = [life for life in result.seen.lives.values() if life.samples]
    grown = [(life, found) for life in lives if (found := life.growth(since)) is not None]
    longest = max((found[0] for _, found in grown), default=0)
    steady = [found for _, found in grown if found[0] > 0.6 * longest]
    minutes: dict[int, list[float]] = {}
    for life, found in grown:
        for at, mib in life.samples if found[0] > 0.6 * longest else ():
            minutes.setdefault(int((at - result.started_s) // 60), []).append(mib)
    return {
        "processes": len(lives),
        "measured": len(steady),
        "over_s": round(longest),
        "mean_mib": percentiles([mib for _, mib, _ in steady]),
        "growth_mib_per_minute": percentiles([slope for _, _, slope in steady]),
        "mean_mib_by_minute": {minute: round(fmean(values), 1) for minute, values in sorted(minutes.items())},
        "highest_mib": round(max((mib for life in lives for _, mib in life.samples), default=0.0), 1),
    }


def disk(result: Result) -> dict[str, Any]:
    """What all nodes together take, and for how much of the chain."""
    samples = result.seen.disk
    if not samples:
        return {}
    (first_s, first), (last_s, last) = samples[0], samples[-1]
    minutes = max(1e-9, (last_s - first_s) / 60)
    return {
        "end_mib": round(last / 2**20, 1),
        "mib_per_node_and_minute": round((last - first) / 2**20 / minutes / result.plan.nodes, 3),
        "kib_per_vertex_and_node": round(last / 1_024 / max(1, result.verdict.vertices) / result.plan.nodes, 2),
    }


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Median, 99th percentile, highest."""
    if not values:
        return {}
    ranked = sorted(values)
    return {
        "p50": round(ranked[len(ranked) // 2], 2),
        "p99": round(ranked[min(len(ranked) - 1, len(ranked) * 99 // 100)], 2),
        "max": round(ranked[-1], 2),
    }


def table(found: dict[str, Any]) -> str:
    """The document for people."""

    def three(values: dict[str, float]) -> str:
        return " / ".join(f"{value:g}" for value in values.values()) or "-"

    rows: list[tuple[str, object]] = [
        ("run", f"{found['nodes']} nodes, {found['minutes']} min, {found['offered_per_s']} tx/s, {found['transport']}"),
        ("cores; load of the machine", f"{found['cores']}; {found['load_average']}"),
        ("transfers", f"{found['acknowledged']} acknowledged of {found['transfers']}, {found['executed']} executed"),
        ("requests without answer", found["without_answer"]),
        ("finality s, p50 / p99 / max", three(found["final_s"])),
        ("blocks, vertices compared", f"{found['heights']}, {found['vertices']}"),
        *((f"  {kind}", f"{count} seats") for kind, count in found["faults"].items()),
        ("seats in trouble at once", found["most_seats_at_once"]),
        ("restart to synced s, p50 / p99 / max", three(found["restart_s"])),
        *((f"  caught up after {kind} s", three(values)) for kind, values in found["recovery_s"].items()),
        ("longest time without a block s", found["longest_gap_s"]),
        ("whole network away s", found["outages_s"]),
        ("memory of a process MiB, p50 / p99 / max", three(found["memory"]["mean_mib"])),
        ("  growth MiB a minute, p50 / p99 / max", three(found["memory"]["growth_mib_per_minute"])),
        ("  mean of them, by minute", " ".join(f"{mib:.0f}" for mib in found["memory"]["mean_mib_by_minute"].values())),
        ("  measured", f"{found['memory']['measured']} processes over {found['memory']['over_s']} s"),
        (
            "disk MiB, all nodes; a node and minute",
            f"{found['disk'].get('end_mib')}; {found['disk'].get('mib_per_node_and_minute')}",
        ),
        *((f"  log: {what}", count) for what, count in found["log"].items()),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {value}" for name, value in rows]
    return "\n".join(lines + [f"PROBLEM {problem}" for problem in found["problems"]])
