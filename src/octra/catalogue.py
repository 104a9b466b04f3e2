# ruff: noqa: E501 - a table reads better with one entry a line
"""Every error code that people meet: whose fault, why, and what to do. `octra explain CODE` prints a row.

Codes are never reused. 4nnm and 50nm carry the HTTP status in their first three digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Fault = Literal["you", "network", "node", "bug"]

OK, FAILED, USAGE, CONFIGURATION, NO_NODE, REFUSED, LOCKED, UNKNOWN_OUTCOME, TESTS_FAILED = range(9)
EXIT_MEANINGS = {
    OK: "done",
    FAILED: "failed",
    USAGE: "wrong usage, or a confirmation is missing",
    CONFIGURATION: "configuration or installation",
    NO_NODE: "cannot reach a node",
    REFUSED: "the network refused it",
    LOCKED: "locked key or no permission",
    UNKNOWN_OUTCOME: "sent, but the outcome is not known yet",
    TESTS_FAILED: "tests failed",
    130: "interrupted",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One entry of the catalogue. `rpc` is the JSON-RPC code that existing wallets know."""

    code: int
    name: str
    fault: Fault
    title: str
    cause: str
    remedy: str
    exit: int
    http: int
    rpc: int

    @property
    def text(self) -> str:
        """The code as people see it."""
        return f"OCT-{self.code:04d}"


_TABLE: tuple[tuple[int, str, Fault, str, str, str, int, int, int], ...] = (
    (1001, "unknown_key", "you", "Unknown setting", "A configuration file names a setting that does not exist.",
     "Correct the name; the message shows the nearest known one.", 3, 400, -32602),
    (1002, "bad_value", "you", "Value not accepted", "An option or setting has a value outside its range or form.",
     "Read the option's help and give a value of that form.", 2, 400, -32602),
    (1003, "no_home", "you", "No data directory", "The node or wallet directory does not exist yet.",
     "Run `octra node init` first, or name the directory with --home.", 3, 400, -32602),
    (1004, "other_chain", "you", "Data directory of another chain",
     "The directory was made for another genesis than the one given.",
     "Use the directory of this chain, or start with an empty one (--home DIR).", 3, 400, -32602),
    (1005, "confirmation_needed", "you", "Confirmation needed", "The command would sign or destroy something.",
     "Run it in a terminal, or add --yes (or --confirm WORD where it asks for a word).", 2, 400, -32602),
    (1006, "unknown_code", "you", "Unknown error code", "There is no such code.", "`octra explain --list`.", 2, 404,
     -32602),
    (1007, "directory_in_use", "you", "Data directory in use", "Another process runs with this data directory.",
     "Stop that node first (`octra node stop`), or choose another directory with --home.", 3, 409, -32602),
    (1101, "wrong_passphrase", "you", "Wrong passphrase", "The passphrase does not open the key file.",
     "Try again; there is no way to recover a lost passphrase, only `octra wallet import` of your words.", 6, 403,
     -32000),
    (1102, "key_in_use", "you", "Key in use", "Another process signs with this key.", "Stop the other process.", 6, 409,
     -32000),
    (1103, "file_mode", "you", "Key file readable by others", "The key file's permissions let others read it.",
     "chmod 600 the file the message names.", 6, 403, -32000),
    (1104, "keystore_version", "you", "Key file of a newer version", "A newer program wrote this file.",
     "Upgrade this program.", 6, 400, -32000),
    (1105, "kdf_over_limit", "you", "Key file asks for too much work", "Its argon2 parameters exceed 1 GiB or 10 passes.",
     "Do not trust this file; import your words instead.", 6, 400, -32000),
    (1106, "weak_passphrase", "you", "Passphrase too short", "It has fewer than 12 characters and fewer than 5 words.",
     "Choose a longer passphrase; five unrelated words are good.", 2, 400, -32602),
    (1107, "key_missing", "you", "No such key file", "There is no wallet or key of that name.",
     "`octra wallet list` shows the wallets; `octra wallet new` makes one.", 6, 404, -32000),
    (1108, "key_damaged", "you", "Key file damaged", "The file is not a whole keystore.",
     "Restore it from a backup, or import your words.", 6, 400, -32000),
    (1109, "wallet_exists", "you", "Wallet exists", "A wallet of that name exists and is never overwritten.",
     "Choose another --name.", 2, 409, -32602),
    (1110, "port_taken", "you", "Port taken", "Another program listens on that port.",
     "Stop the other program, or choose another port in the configuration.", 3, 409, -32602),
    (1112, "disk_low", "node", "Disk nearly full", "Less space is left than the node keeps in reserve.",
     "Free some space; the node takes up work again by itself.", 1, 503, 110),
    (1201, "bad_check_words", "you", "Check words do not fit", "The words belong to another address.",
     "Ask the receiver for address and words again.", 2, 400, 109),
    (1202, "address_format", "you", "Not an address", "An address is `oct` and 44 base58 characters.",
     "Copy the whole address again.", 2, 400, 109),
    (1203, "address_not_from_key", "you", "Address does not fit the key", "The file names another address than its key has.",
     "Do not use this file before you know why.", 2, 400, 109),
    (1205, "unknown_key_form", "you", "Key form not known", "The text is no mnemonic, key or wallet file we know.",
     "`octra wallet import --help` lists the forms.", 2, 400, -32602),
    (2100, "sender_not_found", "you", "Account not found", "No transaction has ever touched this address.",
     "Check the address; a new account appears with its first credit.", 5, 404, 100),
    (2101, "bad_signature", "you", "Signature does not verify", "The signature does not match key and content.",
     "Sign again with the key of the sender.", 5, 400, 101),
    (2102, "nonce_used", "you", "Nonce already used", "A transaction with this nonce was executed or waits.",
     "Send again: the program takes the next free nonce.", 5, 409, 102),
    (2103, "nonce_too_far", "you", "Nonce too far ahead", "At most 64 transactions of one sender may be open.",
     "Wait until earlier ones are final.", 5, 409, 103),
    (2104, "insufficient_balance", "you", "Insufficient balance", "Amount and fee exceed the balance.",
     "Send less, or add funds. `octra balance` shows what is there.", 5, 402, 104),
    (2105, "malformed", "you", "Malformed transaction", "The bytes or fields break the format.",
     "Build the transaction again with a current program.", 5, 400, 105),
    (2106, "duplicate", "you", "Transaction already known", "The node has this very transaction.",
     "Nothing to do: `octra tx show` tells its state.", 5, 409, 106),
    (2107, "pool_full", "network", "Pool full", "More transactions wait than the node keeps.",
     "Try again later, or with a higher fee.", 5, 503, 107),
    (2108, "self_transfer", "you", "Transfer to oneself", "A public transfer needs two different accounts.",
     "Name another receiver.", 5, 400, 108),
    (2109, "invalid_address", "you", "Invalid address in the transaction", "A field is not a valid account.",
     "Check the address.", 5, 400, 109),
    (2111, "supply", "bug", "Supply violation", "An operation would break the supply rule.", "Please report it.", 5, 500,
     111),
    (2113, "fee_too_low", "you", "Fee too low", "The fee is below the minimum for this operation.",
     "Leave --fee out, or raise it to the minimum shown.", 5, 400, 113),
    (2114, "too_large", "you", "Transaction too large", "A transaction holds at most 200 KiB.",
     "Split it; Circle code travels in pieces with `octra circle deploy`.", 5, 413, 114),
    (2115, "invalid_target", "you", "Invalid target", "The operation cannot act on this target.",
     "Check the kind of address: Circles are called, not paid.", 5, 400, 115),
    (2116, "unsupported", "you", "Operation not supported", "This network does not offer that operation.",
     "`octra explain 2116`; the documentation lists what is enabled.", 5, 400, 116),
    (2117, "read_only", "node", "Read-only node", "This node takes no transactions.", "Name a full node with --node.", 5,
     503, 117),
    (2118, "wrong_chain", "you", "Wrong chain", "The transaction is bound to another chain.",
     "Sign it for this chain; `octra status` prints the chain's name.", 5, 400, 105),
    (2119, "expired", "you", "Transaction expired", "Its last epoch has passed.", "Sign it again.", 5, 400, 102),
    (2120, "summary_differs", "you", "Summary differs", "The file's summary does not match its signed bytes.",
     "Do not sign it.", 5, 400, 105),
    (2121, "limit_reached", "you", "Limit reached", "Too many operations of this account wait for evaluation.",
     "Wait until earlier ones are certified.", 5, 429, 110),
    (2122, "outcome_unknown", "network", "Outcome not known yet", "The transaction was sent, but not seen final in time.",
     "`octra tx wait ID`. Sending again with the same nonce is safe.", 7, 504, 110),
    (2123, "legacy_disabled", "you", "Legacy form disabled", "This chain takes only chain-bound transactions.",
     "Sign with a current wallet.", 5, 400, 105),
    (3001, "no_peers", "network", "No peers", "The node reaches no other node.",
     "Check the network and the bootstrap list in the configuration.", 4, 503, 110),
    (3002, "format_too_new", "you", "Data of a newer program", "A newer version of this program wrote the data directory.",
     "Upgrade this program, or start with an empty directory.", 3, 503, 110),
    (3102, "invalid_place", "you", "Not an address of a node", "Nodes are reached at /ip4/ADDRESS/tcp/PORT/p2p/ID.",
     "Copy the address from the other node's status.", 3, 400, -32602),
    (3103, "handshake_refused", "network", "Peer refused", "The peer is of another chain or version, or did not prove who it is.",
     "Check the bootstrap list and the genesis file.", 4, 502, 110),
    (3104, "transport_failed", "node", "Network layer ended", "It could not start at the address of the settings, or has stopped.",
     "See the log; start the node again.", 1, 503, 110),
    (3005, "wrong_network", "you", "Node of another network", "The node answers for another chain than the one asked for.",
     "Name the right node with --node, or the right chain with --chain.", 4, 400, 105),
    (3006, "no_node", "network", "Cannot reach a node", "Nothing answers at that address.",
     "Start one (`octra node start` or `octra localnet`), or name another with --node URL.", 4, 503, 110),
    (3010, "proof_invalid", "network", "Proof does not verify", "A server sent a proof that is wrong.",
     "Do not trust that server; ask another.", 1, 502, 110),
    (3012, "snapshot_invalid", "network", "Snapshot refused", "A server or file holds a state that no checkpoint proves.",
     "Nothing was installed; another server is asked. Export the file again on a node that you trust.", 5, 502, -32000),
    (4001, "bad_request", "you", "Bad request", "The request breaks its format.", "See the API page.", 2, 400, -32602),
    (4011, "not_authorised", "you", "Not authorised", "The request needs a signature or token.", "Add it.", 6, 401, -32000),
    (4031, "not_available", "you", "Not available to you", "There is nothing here that you may see.",
     "Ask the owner for access.", 6, 403, -32000),
    (4041, "not_found", "you", "Not found", "There is no such thing on this chain, or not yet.", "Check the identifier.", 5,
     404, 112),
    (4101, "before_origin", "node", "Not held by this node", "The node began with a snapshot; older blocks are not here.",
     "Name a node with the whole history with --node; a light node proves the rest.", 5, 410, -32000),
    (4131, "body_too_large", "you", "Request too large", "The body exceeds the limit.", "Send less at once.", 2, 413, -32600),
    (4132, "answer_too_large", "you", "Answer too large", "The answer exceeds the limit.", "Ask for less at once.", 2, 413,
     -32013),
    (4291, "busy", "network", "Too many requests", "The node limits requests.", "Wait a moment.", 5, 429, -32005),
    (5001, "internal", "bug", "Internal error", "The node met a state it did not expect.", "Please report it with the log.",
     1, 500, -32603),
    (5031, "not_offered", "node", "Service not available now", "The node does not offer this, or not now.",
     "Try again later or at another node.", 4, 503, 110),
    (5041, "timeout", "network", "No answer in time", "A node or peer did not answer in time.", "Try again.", 4, 504, 110),
    (6001, "state_limit", "you", "Circle limit reached", "The Circle's state, gas or response limit was reached.",
     "Use less; 32 MiB of state is the most a Circle may hold.", 5, 400, 115),
    (6002, "module_refused", "you", "Program refused", "The wasm module breaks a rule of the chain.",
     "The message names rule, function and offset. Build without that feature.", 1, 400, 115),
    (6003, "manifest", "you", "Manifest or package not accepted", "circle.toml or the package has an error.",
     "Correct what the message names.", 3, 400, 115),
    (6004, "call_failed", "you", "Circle call failed", "The Circle's program stopped or refused.",
     "The message gives its own reason.", 5, 400, 115),
    (6005, "toolchain_missing", "you", "Compiler missing", "No compiler for this language is installed.",
     "`octra circle doctor` prints the line that installs it.", 3, 400, 115),
    (8001, "noise_budget", "you", "Noise budget exceeded", "The circuit needs more noise than its parameters allow.",
     "Simplify the expression, or let the planner bootstrap.", 1, 400, 105),
    (8002, "circuit", "you", "Circuit not accepted", "The circuit text or graph has an error.", "Correct what is named.", 2,
     400, 105),
    (8003, "no_certificate", "you", "No certificate", "The value has not been certified by its evaluators yet.",
     "Wait until it is.", 5, 409, 110),
    (8004, "origin_unproven", "you", "Origin unproven", "Only certified values are decrypted.", "Use a certified value.", 5,
     403, 110),
    (8006, "insecure_parameters", "you", "Insecure parameters", "The set TEST or STD128 is refused outside tests.",
     "Use set S.", 2, 400, 105),
    (8007, "no_secrecy", "node", "No secrecy", "This network's key was made by one machine.",
     "Use it for tests only.", 1, 400, 110),
    (8008, "opening_unavailable", "network", "Opening not possible now", "Too few seats answered in time.", "Try again.", 5,
     503, 110),
    (8009, "fhe_file", "you", "Not a key or ciphertext", "The bytes break the format: another kind of file, or damaged.",
     "`octra fhe inspect FILE` tells what a file is; if it should be whole, copy it again.", 2, 400, 105),
    (8010, "other_fhe_key", "you", "Made for another key", "Keys and ciphertexts belong together by their key id.",
     "`octra fhe inspect FILE` shows the key id; use the key of the same id.", 2, 400, 105),
    (8011, "fhe_version", "you", "Another version of the format", "Another version of this program wrote it.",
     "Install the version that wrote it, or make it again.", 2, 400, 105),
    (8012, "backend", "node", "Backend unavailable", "The asked kernel was not built or cannot run, or Ray is missing.",
     "Do what the message says, or leave out the option or variable that asks for it.", 3, 503, -32603),
    (9001, "corrupt_store", "node", "Store damaged", "The node's own data contradict each other.",
     "Stop the node; restore a backup or start with an empty directory and let it catch up.", 1, 500, -32603),
    (9002, "invariant", "bug", "Rule of our own broken", "A mistake in this program.", "Please report it with the log.", 1,
     500, -32603),
)  # fmt: skip

ROWS: dict[int, Row] = {fields[0]: Row(*fields) for fields in _TABLE}
assert len(ROWS) == len(_TABLE)


def row(code: int) -> Row:
    """The row of a code; an unlisted code is a mistake of ours and shows as 9002."""
    return ROWS.get(code, ROWS[9002])
