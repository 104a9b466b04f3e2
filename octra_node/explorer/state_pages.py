"""Pages of what the state holds: accounts, encrypted values and their jobs, Circles; and of errors and promises."""

from __future__ import annotations

from collections.abc import Sequence

from octra.catalogue import EXIT_MEANINGS, Row
from octra.circles.identity import print_account, print_circle
from octra.consensus.ledger.records import Circuit, Handle, HandleStatus, Job, JobStatus
from octra.node.explorer.frame import (
    Site,
    account_full,
    account_link,
    count,
    full,
    grid,
    handle_link,
    heading,
    more,
    oct_amount,
    page,
    pairs,
    sealed,
    section,
    short_link,
    shorten,
)
from octra.node.explorer.html import Child, el, join
from octra.node.explorer.pages import transaction_table
from octra.node.rpc.facts import AccountFacts, CircleFacts, TransactionFacts

# --- accounts, handles, Circles ---


def address(site: Site, facts: AccountFacts, history: Sequence[TransactionFacts], after: tuple[int, int] | None) -> str:
    """One account: what is public, and where the sealed part is."""
    name = print_account(facts.address)
    private = facts.private
    public = (("Balance", oct_amount(facts.public.balance)), ("Nonce", facts.public.nonce))
    sealed_rows: list[tuple[str, Child]] = []
    if private is not None:
        sealed_rows = [
            ("Spendable", join(sealed(), " ", handle_link(private.spendable))),
            ("Incoming", join(sealed(), " ", handle_link(private.incoming))),
            ("Work under way", f"{private.pending_own} own, {private.pending_incoming} incoming"),
        ]
    return page(
        site,
        f"Address {shorten(name)}",
        heading("Account", full(name)),
        el(
            "div",
            section("Public balance", pairs(public)),
            section("Encrypted balance", pairs(sealed_rows) if sealed_rows else el("p", "None yet.", class_="empty")),
            class_="two",
        ),
        section("Transactions", transaction_table(history, empty="No executed transaction.")),
        more(None if after is None else f"/address/{name}?before={after[0]}.{after[1]}"),
        json=f"/api/v1/accounts/{name}",
    )


def handle(site: Site, name: bytes, facts: Handle) -> str:
    """An encrypted value: named before anybody computed it, certified by equal digests."""
    status = HandleStatus(facts.status).name.lower()
    rows = pairs(
        (
            ("Value", sealed("sealed; this page cannot know it") if facts.constant is None else "a public constant"),
            ("State", el("span", status, class_="badge busy" if status == "pending" else "badge good")),
            ("Type", "one bit" if facts.type == 1 else f"{facts.type}-bit word"),
            ("Made by", handle_origin(facts)),
            ("Digest of the ciphertext", full(facts.digest.hex()) if facts.digest else None),
            ("Stands for", handle_link(facts.alias) if facts.alias else None),
            ("May be opened by", [account_link(reader) for reader in facts.readers] or None),
        )
    )
    return page(
        site,
        f"Handle {shorten(name.hex())}",
        heading("Encrypted value", full(name.hex())),
        section("Handle", rows),
        json=f"/api/v1/handles/{name.hex()}",
    )


def handle_origin(facts: Handle) -> Child:
    """The job or input that a handle comes from."""
    return short_link(f"/job/{facts.origin.hex()}", facts.origin.hex()) if facts.origin else "a constant"


def job(site: Site, facts: Job) -> str:
    """Encrypted work, and whose digests agree."""
    digests = {reveal.seat: reveal.digests for reveal in facts.reveals}
    committed = {commit.seat for commit in facts.commits}
    rows = [
        (
            f"seat {seat}",
            "committed" if seat in committed else "–",
            el("span", shorten(digests[seat][0].hex()), class_="mono") if seat in digests else "–",
        )
        for seat in facts.evaluators
    ]
    state = JobStatus(facts.status).name.lower()
    about = pairs(
        (
            ("State", el("span", state, class_="badge good" if state == "certified" else "badge busy")),
            ("Circuit", Circuit(facts.circuit).name.lower()),
            ("Bootstraps", f"{facts.boots:,} at each evaluator"),
            ("Transaction", short_link(f"/tx/{facts.tx.hex()}", facts.tx.hex()) if facts.tx else None),
            ("Inputs", [el("div", handle_link(name)) for name in facts.inputs]),
            ("Outputs", [el("div", handle_link(name)) for name in facts.outputs]),
        )
    )
    return page(
        site,
        f"Job {shorten(facts.name.hex())}",
        heading("Encrypted work", full(facts.name.hex())),
        section("Job", about),
        section("Evaluators", grid(("Seat", "Commitment", "Digest"), rows, "None is drawn yet.")),
        json=f"/api/v1/jobs/{facts.name.hex()}",
    )


def circles(site: Site, found: Sequence[CircleFacts], after: str | None) -> str:
    """All Circles."""
    cards = [
        el(
            "a",
            el("h2", facts.title or "unnamed"),
            el("p", shorten(print_circle(facts.record.name)), class_="mono"),
            el("p", f"version {facts.version or '?'} · {count(len(facts.methods), 'method')}", class_="note"),
            href=f"/circle/{print_circle(facts.record.name)}",
            class_="card",
        )
        for facts in found
    ]
    return page(
        site,
        "Circles",
        heading("Circles", "Programs with their own state, balance and web origin"),
        el("div", *cards, class_="gallery") if cards else el("p", "No Circle is deployed yet.", class_="empty"),
        more(f"/circles?after={after}" if after else None),
        path="/circles",
        json="/api/v1/circles",
    )


def circle(site: Site, facts: CircleFacts) -> str:
    """One Circle."""
    record, name = facts.record, print_circle(facts.record.name)
    port = site.host.rpartition(":")[2] if ":" in site.host else "80"
    origin = f"http://{facts.label}.localhost:{port}/"
    used = f"{record.stable_bytes:,} of {facts.max_stable_bytes:,} bytes"
    about = pairs(
        (
            (
                "Its own page",
                el("a", "open", href=origin, rel="noreferrer") if record.assets_bytes else "it has no page",
            ),
            ("Owner", account_full(record.owner)),
            ("Balance", oct_amount(facts.balance)),
            ("Version", f"{facts.version} (update {record.version})"),
            ("State used", join(el("meter", value=record.stable_bytes, max=max(1, facts.max_stable_bytes)), " ", used)),
            ("Files", f"{record.assets_bytes:,} bytes"),
            ("Callable", "yes" if facts.callable else f"from height {record.active_from:,}: validators compile it"),
            ("Code", full(record.code_hash.hex())),
            ("State root", full(record.stable_root.hex())),
        )
    )
    rows = [(el("code", method), kind) for method, kind in facts.methods.items()]
    return page(
        site,
        facts.title or "Circle",
        heading("Circle", facts.title or "unnamed", el("p", full(name))),
        section("Circle", about),
        section("Methods", grid(("Method", "Kind"), rows, "No method is declared.")),
        el("p", "Call it with ", el("code", f"octra circle call {name} METHOD"), class_="notice"),
        json=f"/api/v1/circles/{name}",
    )


# --- catalogue and promises ---


def error(site: Site, row: Row) -> str:
    """One row of the catalogue."""
    fault = {"you": "the request", "network": "the network", "node": "the node", "bug": "a mistake of ours"}[row.fault]
    rows = pairs(
        (
            ("Name", el("code", row.name)),
            ("Cause", row.cause),
            ("What to do", row.remedy),
            ("At fault", fault),
            ("Exit code", f"{row.exit}: {EXIT_MEANINGS.get(row.exit, '')}"),
            ("HTTP status", row.http),
        )
    )
    return page(site, row.text, heading(row.text, row.title), section("Explanation", rows))


def refused(site: Site, row: Row, detail: str) -> str:
    """The page of a request that cannot be answered."""
    return page(
        site,
        row.title,
        heading(f"{row.http} · {row.text}", row.title),
        el("p", detail, class_="notice"),
        el("p", row.remedy, " ", el("a", "About this error", href=f"/errors/{row.text}")),
    )


def about(site: Site, parameters: str, validators: int, faults: int) -> str:
    """What the keys promise, and what they do not."""
    banner = None
    if site.dealer:
        banner = el(
            "div",
            el("strong", "No secrecy against the operator of this network."),
            " One party, the dealer, made its key and dealt the shares. That party can read every sealed value. "
            "Use this network for tests only, with nothing that must stay secret.",
            class_="notice bad",
            role="alert",
        )
    few = None
    if validators < 4:
        few = el("p", "With fewer than four validators there is no secrecy at all.", class_="notice bad")
    promises = (
        ("Order", f"All honest nodes agree on one order while at most {faults} of {validators} seats misbehave."),
        ("Money", "Supply is counted after every commit; a node that finds a difference stops."),
        (
            "Sealed values",
            f"Balances stay encrypted under one network key (set {parameters}). Nodes compute on ciphertexts; "
            f"results count only when {faults + 1} evaluators publish the same digest.",
        ),
        (
            "Opening",
            "A value is opened only for its owner or a named reader, by a threshold of seats, and sealed to them.",
        ),
        ("Visible for ever", "Who acted, with whom and when. Amounts of encryption and decryption are public."),
    )
    entries = [el("div", el("dt", name), el("dd", words)) for name, words in promises]
    return page(
        site,
        "Promises",
        heading("About", "What the keys promise"),
        banner,
        few,
        section("Promises", el("dl", *entries, class_="prose")),
        section(
            "What this page cannot promise",
            el(
                "p",
                "Its words come from the node that you asked, and a lying node can lie here too. "
                "Run your own: a light node holds no state and verifies the proof of everything it shows.",
            ),
        ),
        path="/about",
        json="/api/v1/chain",
    )
