"""The pages: facts in, markup out. Nothing is read or fetched here."""

from __future__ import annotations

from collections.abc import Sequence

from octra.catalogue import Row
from octra.consensus.ledger import ops
from octra.node.explorer.drawing import network_map, short_name
from octra.node.explorer.frame import (
    Site,
    account_full,
    clock,
    count,
    full,
    grid,
    heading,
    level_badge,
    moment,
    more,
    oct_amount,
    page,
    pairs,
    sealed,
    section,
    short_link,
    shorten,
    status_badge,
    tile,
)
from octra.node.explorer.html import Child, Raw, el, join
from octra.node.rpc.facts import (
    EpochFacts,
    HeightFacts,
    NetworkFacts,
    StatusFacts,
    TransactionFacts,
)
from octra.node.rpc.present import strangers_see, text

# --- overview and network ---


def home(
    site: Site,
    status: StatusFacts,
    network: NetworkFacts,
    blocks: Sequence[HeightFacts],
    transactions: Sequence[TransactionFacts],
    checkpointed: int,
) -> str:
    """The first page: six figures, the map, what is new."""
    finality = f"{status.finality_p50_ms / 1_000:.1f} s" if status.finality_p50_ms is not None else "–"
    speed = f"{status.transactions_per_s:.1f}" if status.transactions_per_s is not None else "–"
    linked = sum(node.state != "known" for node in network.nodes)
    tiles = el(
        "dl",
        tile("Epoch", f"{site.epoch:,}"),
        tile("Height", f"{site.height:,}", f"checkpointed to {checkpointed:,}"),
        tile("Finality", finality, "median, measured here"),
        tile("Throughput", speed, "transactions/s, measured here"),
        tile("Nodes", len(network.nodes), f"{linked} linked"),
        tile("This node", status.state, status.role),
        class_="tiles",
    )
    lead = el("p", "Its nodes agree on one order, and compute on values that stay sealed.")
    return page(
        site,
        "Overview",
        heading("Octra network", site.chain_id.removeprefix("octra:"), lead),
        warnings(status.warnings),
        tiles,
        section("Network", network_map(network), legend(), link=("/network", "All nodes")),
        el(
            "div",
            section("Latest commits", block_table(blocks), link=("/epochs", "Epochs")),
            section("Latest transactions", transaction_table(transactions), link=("/txs", "More")),
            class_="two",
        ),
        path="/",
        json="/api/v1/status",
    )


def warnings(texts: Sequence[str]) -> Raw | None:
    """What the node wants people to know."""
    return el("ul", *(el("li", line) for line in texts), class_="notice warn") if texts else None


def legend() -> Raw:
    """What shapes and colours of the map mean, in words."""
    items = (("bootstrap", "bootstrap (hexagon)"), ("standard", "standard (disc)"), ("light", "light (diamond)"))
    entries = [el("li", el("span", class_=f"swatch {role}", aria_hidden="true"), name) for role, name in items]
    return el(
        "ul",
        *entries,
        el("li", el("span", class_="swatch own", aria_hidden="true"), "ring: this node"),
        class_="legend",
    )


def network(site: Site, facts: NetworkFacts) -> str:
    """The map, and the same as a table."""
    rows = [
        (
            el("span", short_name(node), el("small", " this node") if node.own else None),
            el("span", shorten(node.name), title=node.name, class_="mono"),
            node.role,
            node.state,
            "–" if node.height is None else f"{node.height:,}",
            node.version or "–",
        )
        for node in sorted(facts.nodes, key=lambda node: (node.seat is None, node.seat or 0, node.node_id))
    ]
    return page(
        site,
        "Network",
        heading("Network", count(len(facts.nodes), "node")),
        section("Map", network_map(facts), legend()),
        section("Nodes", grid(("Seat", "Node id", "Role", "State", "Height", "Version"), rows, "This node is alone.")),
        path="/network",
        json="/api/v1/network/graph",
    )


# --- blocks and epochs ---


def block_table(blocks: Sequence[HeightFacts]) -> Raw:
    """Commits, newest first."""
    rows = [
        (
            el("a", f"{block.height:,}", href=f"/height/{block.height}"),
            clock(block.time_ms),
            block.transactions,
            level_badge(block.level),
        )
        for block in blocks
    ]
    return grid(("Height", "Time", "Executed", "Level"), rows, "No block yet.")


def height(site: Site, block: HeightFacts, transactions: Sequence[TransactionFacts]) -> str:
    """One block."""
    around = el(
        "p",
        el("a", f"← {block.height - 1:,}", href=f"/height/{block.height - 1}") if block.height > 1 else None,
        el("a", f"{block.height + 1:,} →", href=f"/height/{block.height + 1}")
        if block.height < (site.height or 0)
        else None,
        class_="around",
    )
    facts = pairs(
        (
            ("Level", level_badge(block.level)),
            ("Agreed time", moment(block.time_ms)),
            ("Epoch", el("a", block.epoch, href=f"/epoch/{block.epoch}")),
            ("Executed", count(block.transactions, "operation")),
            ("Block", full(block.block_id.hex())),
            ("Parent", full(block.parent.hex())),
            ("Leader vertex", full(block.leader.hex())),
            ("State root", full(block.state_root.hex())),
            ("Transactions root", full(block.tx_root.hex())),
            ("Receipts root", full(block.receipts_root.hex())),
        )
    )
    return page(
        site,
        f"Height {block.height}",
        heading("Block at height", f"{block.height:,}", around),
        section("Block", facts),
        section("Transactions", transaction_table(transactions, empty="No transaction of a user in this block.")),
        json=f"/api/v1/heights/{block.height}",
    )


def epochs(site: Site, found: Sequence[EpochFacts], older: int | None) -> str:
    """Epochs, newest first."""
    rows = [
        (
            el("a", f"{epoch.epoch:,}", href=f"/epoch/{epoch.epoch}"),
            moment(epoch.start_ms),
            f"{epoch.first_height:,} – {epoch.last_height:,}",
            f"{epoch.transactions:,}",
            "running" if not epoch.closed else "checkpointed" if epoch.checkpoint else "closed",
        )
        for epoch in found
    ]
    return page(
        site,
        "Epochs",
        heading("Epochs", "The ledger's clock"),
        section("Epochs", grid(("Epoch", "Began", "Heights", "Executed", "State"), rows, "No epoch yet.")),
        more(f"/epochs?before={older}" if older is not None else None),
        path="/epochs",
        json="/api/v1/epochs",
    )


def epoch(site: Site, facts: EpochFacts, blocks: Sequence[HeightFacts]) -> str:
    """One epoch."""
    state = "running" if not facts.closed else "closed"
    if facts.checkpoint:
        state = "closed and checkpointed: more than two thirds of the validators signed its root"
    rows = pairs(
        (
            ("State", state),
            ("Began", moment(facts.start_ms)),
            ("Last block", moment(facts.end_ms)),
            ("Heights", f"{facts.first_height:,} – {facts.last_height:,}"),
            ("Executed", f"{facts.transactions:,}"),
        )
    )
    return page(
        site,
        f"Epoch {facts.epoch}",
        heading("Epoch", f"{facts.epoch:,}"),
        section("Epoch", rows),
        section("Its newest blocks", block_table(blocks)),
        json=f"/api/v1/epochs/{facts.epoch}",
    )


# --- transactions ---


def transaction_table(found: Sequence[TransactionFacts], empty: str = "No transaction yet.") -> Raw:
    """Transactions, newest first."""
    rows = [
        (
            short_link(f"/tx/{facts.id.hex()}", facts.id.hex()),
            facts.op.name.replace("_", " "),
            amount(facts.op),
            status_badge(facts.status),
        )
        for facts in found
    ]
    return grid(("Transaction", "What", "Amount", "State"), rows, empty)


def transactions(
    site: Site, waiting: Sequence[TransactionFacts], done: Sequence[TransactionFacts], below: int | None
) -> str:
    """What waits and what was executed."""
    return page(
        site,
        "Transactions",
        heading("Transactions", "Newest first"),
        section("Waiting", transaction_table(waiting, empty="Nothing waits for a block.")) if waiting else None,
        section("Executed", transaction_table(done)),
        more(f"/txs?before={below}" if below is not None else None),
        path="/txs",
        json="/api/v1/transactions",
    )


def transaction(site: Site, facts: TransactionFacts, failure: Row | None, reason: str) -> str:
    """One transaction: what it says, how it went, what strangers learn from it."""
    way = pairs(
        (
            ("State", join(status_badge(facts.status), " ", level_badge(facts.level))),
            ("Height", None if facts.height is None else el("a", f"{facts.height:,}", href=f"/height/{facts.height}")),
            ("Epoch", None if facts.epoch is None else el("a", facts.epoch, href=f"/epoch/{facts.epoch}")),
            ("Time", moment(facts.time_ms)),
            ("Fee", _fee(facts)),
            ("Nonce", facts.nonce),
            ("Last epoch to run in", facts.expiry_epoch),
            ("Form", "legacy JSON" if facts.timestamp is not None else "version 2, bound to this chain"),
        )
    )
    why = None
    if failure is not None:
        link = el("a", failure.text, href=f"/errors/{failure.text}")
        why = el("div", el("strong", failure.title), " (", link, "): ", reason or failure.cause, class_="notice bad")
    jobs = facts.receipt.jobs if facts.receipt is not None else ()
    work = [(short_link(f"/job/{name.hex()}", name.hex()),) for name in jobs]
    return page(
        site,
        f"Transaction {shorten(facts.id.hex())}",
        heading("Transaction", full(facts.id.hex())),
        why,
        section(facts.op.name.replace("_", " ").capitalize(), pairs(op_rows(facts))),
        section("On its way", way),
        section("Encrypted work", grid(("Job",), work, "")) if work else None,
        el("p", el("strong", "Strangers see: "), strangers_see(facts.op), ".", class_="notice"),
        json=f"/api/v1/transactions/{facts.id.hex()}",
    )


def op_rows(facts: TransactionFacts) -> list[tuple[str, Child]]:
    """The fields of an operation."""
    rows: list[tuple[str, Child]] = [("From", account_full(facts.sender))]
    match facts.op:
        case ops.Transfer() as op:
            rows += [("To", account_full(op.to)), ("Amount", oct_amount(op.amount)), ("Memo", _memo(op.memo))]
        case ops.MultiTransfer() as op:
            rows += [("To", join(account_full(item.to), " ", oct_amount(item.amount))) for item in op.items]
            rows += [("Memo", _memo(op.memo))]
        case ops.PrivateTransfer() as op:
            rows += [("To", account_full(op.to)), ("Amount", sealed()), ("Note", sealed("sealed to the receiver"))]
        case ops.Burn() | ops.Encrypt() | ops.Decrypt() as op:
            rows += [("Amount", oct_amount(op.amount))]
        case ops.CircleCall() as op:
            rows += [
                ("Circle", account_full(op.circle)),
                ("Method", el("code", op.method)),
                ("Value", oct_amount(op.value)),
                ("Gas limit", f"{op.gas_limit:,}"),
                ("Gas used", f"{facts.receipt.gas:,}" if facts.receipt else None),
            ]
        case ops.CircleUpgrade() | ops.CircleAssets() as op:
            rows += [("Circle", account_full(op.circle))]
        case ops.CircleDeploy() as op:
            rows += [("Code", full(op.code_hash.hex()))]
        case ops.CircleBlobPut() as op:
            rows += [("Blob", full(op.blob.hex())), ("Part", op.index), ("Bytes", f"{len(op.data):,}")]
        case ops.ViewRequest() as op:
            handles = [el("li", short_link(f"/handle/{name.hex()}", name.hex())) for name in op.handles]
            rows += [("Handles", el("ul", *handles, class_="plain")), ("Result", sealed("sealed to the reader"))]
        case _:
            pass
    return rows


def amount(op: ops.Op) -> Child:
    """The amount of an operation where it is public."""
    match op:
        case ops.Transfer() | ops.Burn() | ops.Encrypt() | ops.Decrypt():
            return oct_amount(op.amount)
        case ops.MultiTransfer():
            return oct_amount(sum(item.amount for item in op.items))
        case ops.PrivateTransfer():
            return sealed()
        case _:
            return "–"


def _memo(memo: bytes) -> Child:
    return el("q", text(memo)) if memo else None


def _fee(facts: TransactionFacts) -> Child:
    if facts.receipt is None:
        return join("at most ", oct_amount(facts.fee))
    return join(oct_amount(facts.receipt.fee_charged), ", at most ", oct_amount(facts.fee))
