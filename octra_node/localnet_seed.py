"""The seed of the local network's faucet. Public on purpose: it guards test coins only."""

FAUCET_SEED = b"octra localnet faucet".ljust(32, b"\0")
