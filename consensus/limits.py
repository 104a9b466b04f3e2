"""Every constant of ordering, with its reason."""

from __future__ import annotations

WAVE = 5  # rounds from a slot to its direct decision; 5 keeps liveness without any timing assumption
VOTE_DEPTH = WAVE - 2  # a vertex of round r + 3 votes on the slots of round r
DECIDE_DEPTH = WAVE - 1  # a vertex of round r + 4 certifies votes and carries the coin share of round r
SLOTS = 2  # leaders per round; the second hides a silent first one

COMMITTEE_MAX = 24
REGISTERED_MAX = 128  # rows of the assessment page

GC_ROUNDS = 64  # floor = round of the last committed leader - 64
WEAK_ROUNDS = 32  # below GC_ROUNDS, so that a link above the floor can always be resolved
AHEAD_ROUNDS = 64  # vertices further ahead than this are not stored
LAG_ROUNDS = 8  # this far behind f + 1 seats we ask for ranges and do not propose

BATCH_TX_MAX, BATCH_BYTES_MAX = 1_000, 262_144  # one native signature check, one frame
BATCHES_IN_FLIGHT = 8  # per author: 24 x 8 x 256 KiB = 48 MiB

BODY_BYTES_MAX = 16_384
BATCH_REFS_MAX, ATTESTED_MAX, WEAK_MAX, EVIDENCE_MAX = 8, 256, 24, 4  # together below 14 KB
EVIDENCE_BYTES_MAX = 1_024  # evidence inside a vertex is small; larger proof travels as a transaction
TWINS_STORED = 2  # per author and round: enough to prove equivocation; more only when a needed vertex links to them

ESCALATE_ROUNDS = 2  # a batch still short after a round trip and one is checked by further seats, more each round
ESCALATE_ALL_ROUNDS = 16  # still not matured though enough seats vouch: their vertices do not count, so all check

MIN_INTERVAL_MS = 60  # between own vertices while there is work; finality below 1 s at n = 4
IDLE_INTERVAL_MS, IDLE_INTERVAL_SEAT_MS = 250, 40  # idle pace: max(250, 40 n) ms
BUSY_SEAT_MS = 60  # for each seat above four: the pause under load, 1.2 s at n = 24
BUSY_TRANSACTION_MS = 12  # added to the pause for each transaction of a round, up to that: from some 130 a second on
FULL_TRANSACTIONS = 2_000  # so many in a round add a pause under load: nearly what 24 seats do a second
FULL_PAUSES = 4  # the longest pause, in pauses under load: whoever waits longer than this does not wait for rounds
EXECUTION_LAG = 64  # ordered blocks that may wait for execution before a seat slows down
SHUN_WAIT_MS = 500  # how long we wait for a quorum without known equivocators
RESEND_MS = 2_000  # a stalled seat repeats its last vertex: the link may have dropped it

FETCH_FIRST_MS, FETCH_LAST_MS = 50, 2_000  # back-off doubles between these
FETCH_IN_FLIGHT, FETCH_OPEN_MS = 32, 200  # per peer; a question without an answer frees its place
FETCH_PAUSE_MS = 50  # between walks of a long list of questions
EXECUTOR_HEIGHTS = 32  # where execution is split, the seats on duty change after so many blocks
DELTA_WAIT_ROUNDS = 3  # a round trip and one without any certain delta; then everybody executes
DELTA_LAG_ROUNDS = 16  # the most that executors may lag: about the blocks of one duty
DELTA_STEP = 4  # seats publish at every fourth height: each vertex is at another one, and those of a round must agree
DELTA_RUN = 16  # deltas that are published as one: a seat that executes many blocks at once skips a few steps
DELTAS_KEPT = 64  # heights that a seat serves; who is further behind executes
DELTA_BYTES_MAX = 8 << 20  # a block that changes more is executed by all: 24 batches of 1,000 transfers change 8 MB
DELTAS_BYTES_MAX = 16 << 20  # of all that are kept in memory

AUDIT_SHARE = 64  # one of so many matured batches is checked by a seat that did not attest it: 1.6 % more work
AUDITS_MAX = 64  # that wait for bytes or a verdict

RANGE_ROUNDS = 64  # rounds asked for at once by a node that lags
RANGE_WAIT_MS = 2_000  # then another peer is asked
EPOCH_ROUNDS_MAX = 20_000  # an epoch closes then, whatever its clock says: the order of one epoch stays small
BEHIND_MS = 500  # between questions of a node whose epoch others have left, when an answer brought nothing
BEHIND_PEERS = 24  # peers that are remembered to be ahead by an epoch
ORDERING_SNAPSHOT_EVERY = 16  # heights between ordering digests
ROOTS_KEPT = 1_024  # own executed blocks kept to compare with what other seats claim
