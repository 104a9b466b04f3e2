"""What the gate breaks: one line each, and the checks that must notice.

The first 34 are the mistakes that implementations of such protocols have made, or nearly made; the others are our own.
`guards` are all to fail: a file of unit tests where the rule is asserted by itself, then searches that must find it too.
"""

from __future__ import annotations

from dataclasses import dataclass

RULE = "unit/consensus/ordering/test_decision_rule.py"
STORE = "unit/consensus/ordering/test_dag_store.py"
BLOCKS = "unit/consensus/ordering/test_block_order.py"
VERTICES = "unit/consensus/ordering/test_core_vertices.py"
ORDER = "unit/consensus/ordering/test_core_order.py"
LEADERS = "unit/consensus/ordering/test_slot_leaders.py"
DELTAS = "unit/consensus/ordering/test_delta_tally.py"
VERTEX = "unit/consensus/ordering/test_vertex_rules.py"
CHECKPOINT = "unit/consensus/ordering/test_checkpoints.py"
CLOSE = "unit/consensus/epochs/test_epoch_close.py"
COIN = "unit/consensus/epochs/test_epoch_rules.py"
SIGNATURES = "unit/ground/test_ed25519_engines.py"


@dataclass(frozen=True)
class Mutant:
    """`line` stands once in `file` and is replaced by `broken`."""

    number: int
    what: str
    file: str
    line: str
    broken: str
    guards: tuple[str, ...]


SKIPS = "blames = sum(any(entry.supported(round, author) is None for entry in twins) for twins in voters.values())"
VOTES = (
    "    for parent in entry.parents:\n"
    "        choice = parent.support[VOTE_DEPTH - 1][author]  # in the round of the slot\n"
)

MUTANTS = (
    Mutant(
        1,
        "skip when any twin lacks q votes",
        "consensus/dag/rule.py",
        SKIPS,
        "blames = max(sum(any(entry.supported(round, author) is not leader for entry in twins)"
        " for twins in voters.values()) for leader in store.authors(round).get(author, [author]))",
        (RULE, "exhaustive", "twins", "cores", "wide", "intent"),
    ),
    Mutant(
        2,
        "skip at f + 1 blames",
        "consensus/dag/rule.py",
        "if blames >= quorum:",
        "if blames >= store.size - quorum + 1:",
        (RULE, "exhaustive", "intent"),
    ),
    Mutant(
        3,
        "commit at f + 1 certificates",
        "consensus/dag/rule.py",
        "if backers[id] >= quorum:",
        "if backers[id] >= store.size - quorum + 1:",
        (RULE, "exhaustive", "twins", "intent"),
    ),
    Mutant(
        4,
        "certificate at f + 1 votes",
        "consensus/dag/rule.py",
        "if count == quorum:",
        "if count == (quorum + 1) // 2:",
        (RULE, "exhaustive", "twins", "intent"),
    ),
    Mutant(
        5,
        "a certificate counts weak links",
        "consensus/dag/rule.py",
        VOTES,
        "    slot_round = entry.round - DECIDE_DEPTH\n"
        "    for parent in (link for link in entry.links if link.round > slot_round):\n"
        "        choice = parent.supported(slot_round, author)\n",
        (RULE,),
    ),
    Mutant(
        6,
        "blames of vertices, not of authors",
        "consensus/dag/rule.py",
        SKIPS,
        "blames = sum(entry.supported(round, author) is None for twins in voters.values() for entry in twins)",
        (RULE, "exhaustive", "intent"),
    ),
    Mutant(
        7,
        "an anchor of r + 4",
        "consensus/dag/rule.py",
        "range(round + WAVE, store",
        "range(round + WAVE - 1, store",
        (RULE, "intent"),
    ),
    Mutant(
        8,
        "the first committed slot is the anchor, past undecided ones",
        "consensus/dag/rule.py",
        "            if slot not in decisions:\n                return None",
        "            if slot not in decisions:\n                continue",
        (RULE,),
    ),
    Mutant(
        9,
        "an indirect skip commits",
        "consensus/dag/rule.py",
        "decide_by_anchor(round, seats[k], anchor, store.quorum)",
        "decide_by_anchor(round, seats[k], anchor, store.quorum)"
        " or next((entry for entry in store.at(round) if entry.author == seats[k]), None)",
        (RULE,),
    ),
    Mutant(
        10,
        "a vote for every twin below",
        "consensus/dag/rule.py",
        "        choice = parent.support[VOTE_DEPTH - 1][author]  # in the round of the slot\n        if choice is not None:",
        "        low = entry.round - DECIDE_DEPTH\n"
        "        below = lambda e: {e.id: e} if e.round == low else"
        " {id: b for link in e.links if link.round >= low for id, b in below(link).items()}\n"
        "        for choice in (entry for entry in below(parent).values() if entry.author == author):",
        (RULE, "twins", "intent"),
    ),
    Mutant(
        11,
        "support ignores the stored order",
        "consensus/dag/store.py",
        "    for link in entry.links:\n        if link.round == target:",
        "    for link in sorted(entry.links, key=lambda link: link.id):\n        if link.round == target:",
        (RULE,),
    ),
    Mutant(
        12,
        "a block in order of arrival",
        "consensus/dag/order.py",
        "key=lambda e: (e.round, e.author, e.id)",
        "key=lambda e, at={id: n for n, id in enumerate(store.entries)}: at[e.id]",
        (BLOCKS, "cores", "wide"),
    ),
    Mutant(
        13,
        "the slots of a round are swapped",
        "consensus/dag/core.py",
        "leaders(value, state.committee.size, state.committee.slots)",
        "leaders(value, state.committee.size, state.committee.slots)[::-1]",
        (LEADERS,),
    ),
    Mutant(
        14,
        "the floor follows the highest round that we hold",
        "consensus/dag/core.py",
        "floor = max(floor, leader.round - limits.GC_ROUNDS)",
        "floor = max(floor, state.store.highest_round - 12)",
        (ORDER,),
    ),
    Mutant(
        15,
        "a floor 32 rounds higher: what is not ordered yet vanishes",
        "consensus/dag/core.py",
        "leader.round - limits.GC_ROUNDS)\n",
        "leader.round - limits.GC_ROUNDS + 32)\n",
        (ORDER,),
    ),
    Mutant(
        16,
        "the second twin is not void",
        "consensus/dag/order.py",
        "void = entry.author in here.values()",
        "void = False",
        (BLOCKS,),
    ),
    Mutant(
        17,
        "f attestations suffice",
        "consensus/dag/order.py",
        "self.attestors_needed = faults + 1",
        "self.attestors_needed = faults",
        (BLOCKS,),
    ),
    Mutant(
        18,
        "a batch matures before its reference is ordered",
        "consensus/dag/order.py",
        "and state.author >= 0 and state.seats",
        "and state.seats",
        (BLOCKS,),
    ),
    Mutant(
        19,
        "a vertex is sent before it is durable",
        "consensus/dag/core.py",
        "    effects.append(_draft(state, own, round))",
        "    order = _draft(state, own, round)\n"
        "    from octra.consensus.vertex import seal_vertex\n"
        "    early = seal_vertex(order.header, order.body, bytes(48 if order.coin_round else 0), lambda _: bytes(64))\n"
        "    effects += [Broadcast(early), order]",
        (VERTICES,),
    ),
    Mutant(
        20,
        "a restart signs the last reserved round",
        "consensus/dag/propose.py",
        "self.last_round = resume_round  #",
        "self.last_round = max(0, resume_round - 1)  #",
        (VERTICES,),
    ),
    Mutant(
        21,
        "known equivocators lead no slot",
        "consensus/dag/core.py",
        "leaders(value, state.committee.size, state.committee.slots)",
        "tuple(seat for seat in leaders(value, state.committee.size, state.committee.size)"
        " if seat not in state.proven)[: state.committee.slots]",
        (LEADERS, "network"),
    ),
    Mutant(
        22,
        "the coin is used before q vertices are there",
        "consensus/dag/core.py",
        "or present < state.committee.quorum or",
        "or",
        (ORDER,),
    ),
    Mutant(
        23,
        "any anchor will do",
        "consensus/vertex.py",
        "    if header.anchor != committee.anchor:",
        "    if header.anchor == bytes(32):",
        (VERTEX,),
    ),
    Mutant(
        24,
        "q - 1 parents suffice",
        "consensus/vertex.py",
        "if len(authors) < committee.quorum:",
        "if len(authors) < committee.quorum - 1:",
        (VERTEX,),
    ),
    Mutant(
        25,
        "the time of a block is the mean of clocks",
        "consensus/dag/order.py",
        "times[(len(times) - 1) // 2]",
        "sum(times) // len(times)",
        (BLOCKS,),
    ),
    Mutant(
        26,
        "leaders of one round that are decided together share a block",
        "consensus/dag/core.py",
        "if leader is not None:",
        "if leader is not None and not any(s.round == slot.round and s > slot and other for s, other in prefix):",
        (LEADERS, "cores"),
    ),
    Mutant(
        27,
        "the closing block does not end the order",
        "consensus/dag/core.py",
        "                if state.closing.decided:\n                    return",
        "                if False:\n                    return",
        (CLOSE,),
    ),
    Mutant(
        28,
        "the batch verifier is cofactorless",
        "src/octra/crypto/native/point.hpp",
        "store(bytes, twice(twice(twice(p))).xytz);",
        "store(bytes, p.xytz);",
        (SIGNATURES,),
    ),
    Mutant(
        29,
        "every coefficient of the batch is 1",
        "src/octra/crypto/native/variant.cpp",
        "std::memcpy(z.word, digest + 16 * j, 16);",
        "z.word[0] = 1;",
        (SIGNATURES,),
    ),
    Mutant(
        30,
        "complaints do not keep a dealing from counting",
        "consensus/ledger/coin_rules.py",
        "set(progress.dealers), set(progress.refuted)",
        "set(progress.dealers), set()",
        (COIN,),
    ),
    Mutant(
        31,
        "a checkpoint of exactly two thirds",
        "consensus/checkpoint.py",
        "3 * signers > 2 *",
        "3 * signers >= 2 *",
        (CHECKPOINT,),
    ),
    Mutant(
        32,
        "who applied a delta counts as who executed",
        "consensus/dag/deltas.py",
        "if execution.mode != EXECUTED or execution.delta_id == NO_DELTA:",
        "if execution.delta_id == NO_DELTA:",
        (DELTAS,),
    ),
    Mutant(
        33,
        "a mismatched link makes a vertex invalid",
        "consensus/dag/store.py",
        "            missing = self.missing(candidate)\n",
        "            missing = self.missing(candidate)\n"
        "            if any(link.id in self.entries for link in missing):\n"
        "                continue\n",
        (STORE,),
    ),
    Mutant(
        34,
        "who waits is not looked at when the floor rises",
        "consensus/dag/core.py",
        "    for vertex in ready:",
        "    for vertex in ready[:0]:",
        (ORDER,),
    ),
    Mutant(
        35,
        "a matured batch may mature again",
        "consensus/dag/order.py",
        "return not state.matured and state.author",
        "return state.author",
        (BLOCKS,),
    ),
    Mutant(
        36,
        "lost own batches are not proposed again",
        "consensus/dag/propose.py",
        "            self.queue[id] = self.referenced.pop(id)[0]",
        "            self.referenced.pop(id)",
        (ORDER,),
    ),
    Mutant(
        37,
        "without the compiled library the verifier is cofactorless",
        "src/octra/crypto/ed25519_sodium.py",
        "return _verify_slow(key, signature, message)",
        "return False",
        (SIGNATURES,),
    ),
    Mutant(
        38,
        "a mismatched link resolves",
        "consensus/dag/store.py",
        "for link in vertex.body.parents if link not in present]",
        "for link in vertex.body.parents if link.id not in self.entries]",
        (STORE,),
    ),
    Mutant(
        39,
        "certificates of vertices, not of authors",
        "consensus/dag/rule.py",
        "backers[id] = backers.get(id, 0) + 1",
        "backers[id] = backers.get(id, 0) + len(twins)",
        (RULE, "exhaustive"),
    ),
)
