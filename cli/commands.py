"""The static list of commands: group, module, one-line help. Root help and completion are made from it alone."""

from __future__ import annotations

# name -> (module, attribute, help). A name whose module is loaded only when it runs keeps `octra --help` instant.
COMMANDS: dict[str, tuple[str, str]] = {
    "wallet": ("octra.cli.wallet", "make, import, list and export wallets"),
    "address": ("octra.cli.address", "check an address, show its check words"),
    "balance": ("octra.cli.money", "public balance, and the private one with --reveal"),
    "send": ("octra.cli.money", "send OCT, publicly or with --private"),
    "encrypt": ("octra.cli.money", "move OCT from the public to the private balance"),
    "decrypt": ("octra.cli.money", "move OCT from the private to the public balance"),
    "collect": ("octra.cli.money", "add received private amounts to what can be spent"),
    "faucet": ("octra.cli.money", "test coins, on networks that have a faucet"),
    "tx": ("octra.cli.tx", "show a transaction, or wait for it"),
    "verify": ("octra.cli.verify", "an account's proof, checked by a light node"),
    "node": ("octra.cli.node", "set up, start and ask a node"),
    "snapshot": ("octra.cli.snapshot", "copies of the state that new nodes start from"),
    "localnet": ("octra.cli.localnet", "a whole network on this machine"),
    "circle": ("octra.cli.circle", "make, build, deploy, call and view Circles"),
    "fhe": ("octra.cli.fhe", "compute on encrypted numbers, without any network"),
    "keys": ("octra.cli.keys", "what the network key promises"),
    "doctor": ("octra.cli.doctor", "check this machine and installation"),
    "explain": ("octra.cli.explain", "what an error code means and what to do"),
    "demo": ("octra.cli.demo", "the whole story on a local network, step by step"),
}

GROUPS = frozenset({"wallet", "address", "tx", "node", "snapshot", "localnet", "circle", "fhe"})  # have subcommands

GLOBAL_HELP = """Options before or after any command:
  --json             one JSON object on stdout, also for errors
  --node URL         the node to ask (default: a running localnet, then http://127.0.0.1:8080)
  --home DIR         where wallets and nodes live (OCTRA_HOME)
  --wallet NAME      which wallet signs
  --passphrase-file FILE, --yes, --confirm WORD, --timeout S, --quiet, --no-color, -v, --chain ID"""
