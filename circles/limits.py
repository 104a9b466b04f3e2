"""Every limit of a Circle in one place, each with its reason. Rules of the chain: a change is an activation epoch."""

from __future__ import annotations

KIB, MIB = 1024, 1024 * 1024

# The module as its author wrote it. Largest seen in real contracts: body 14,685 B, 37 locals, 1,056 functions.
CODE_MAX = MIB  # compiles in seconds on the slowest back-end
METERED_CODE_MAX = 4 * MIB  # the meter's checks must not make a small module huge
FUNCTIONS_MAX, TYPES_MAX = 10_000, 1_000
BODY_MAX = 128 * KIB  # compile time grows faster than linearly with the body
PARAMETERS_MAX, RESULTS_MAX = 32, 8
LOCALS_MAX = 1_000  # with the operands they decide the size of an engine frame, which depth pays for
OPERANDS_MAX = 1_024
NESTING_MAX = 256  # compilers recurse over blocks
BRANCH_TARGETS_MAX = 1_024
GLOBALS_MAX, EXPORTS_MAX, IMPORTS_MAX = 1_000, 128, 64
EXPORT_NAME_MAX = 128
TABLE_ENTRIES_MAX = 10_000  # an engine allocates them all, 16 bytes each, before the first instruction
DATA_SEGMENTS_MAX, DATA_BYTES_MAX = 4_096, MIB
ELEMENT_SEGMENTS_MAX = 1_024
PAGE = 64 * KIB
MEMORY_PAGES_MAX = 512  # 32 MiB

# One call.
GAS_LIMIT_MAX = 100_000_000  # one second on the slowest path of the reference core
VIEW_GAS_MAX = 500_000_000  # nobody else waits for a view; still half of what counts as a stall
DEPTH_MAX = 65_536  # in weight units: the metered trap must come before the engine's stack overflow
REQUEST_MAX = 256 * KIB
RESPONSE_MAX = 2 * MIB
METHOD_NAME_MAX = 64
EVENTS_MAX, TOPIC_MAX, EVENT_DATA_MAX, EVENT_BYTES_MAX = 64, 256, 64 * KIB, 256 * KIB
TRANSFERS_MAX = 64
LOG_MAX = 64 * KIB
ABORT_REASON_MAX = 1 * KIB
ITERATORS_MAX = 8
CHANGED_KEYS_MAX, WRITTEN_BYTES_MAX = 4_096, MIB  # bound the commit's tree work

# State.
KEY_MAX = 1_024
INLINE_VALUE_MAX = 64 * KIB
STABLE_BYTES_MAX = 32 * MIB
ENTRY_OVERHEAD = 64  # what a live key costs the tree besides its bytes
WORKER_KEPT_VALUE_MAX = 4 * KIB  # longer values are fetched again: their length is paid each time
WORKER_SCAN_PAGE = 64  # rows fetched from the store at a time

# Package and site.
PACKAGE_MAX = 40 * MIB
ASSETS_BYTES_MAX = 32 * MIB
ASSET_PATH_MAX, PACKAGE_PATH_MAX = 1_024, 200
METHODS_MAX = 128

# The worker process.
WORKER_ADDRESS_SPACE = 16 * 1024 * MIB  # each memory reserves 4 GiB of addresses
WORKER_RESIDENT_MAX = 512 * MIB  # a larger one is replaced between batches
WORKER_FILES_MAX = 16
WORKER_FILE_BYTES_MAX = 64 * MIB  # 0 breaks the engine's memory images
WORKER_FRAME_MAX = 64 * MIB  # of a worker's report; its orders come from the node itself
WORKER_START_SECONDS = 60.0  # imports and the self-test on a busy machine
STALL_SECONDS = 10.0  # no frame from a worker for that long: kill it, never judge the call by it
PREPARE_SECONDS = 120.0  # the same while a module is checked and compiled: 1 MiB takes 6 s on an idle core
WORKER_PROGRAMS_KEPT = 64
WORKER_WASM_STACK = 3 * MIB // 2
WORKER_THREAD_STACK = 64 * MIB
