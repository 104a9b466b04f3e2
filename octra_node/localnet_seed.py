"""Facts of every local network that the command line needs without importing the node."""

FAUCET_SEED = b"octra localnet faucet".ljust(32, b"\0")  # public on purpose: it guards test coins only
FIRST_P2P_PORT, FIRST_HTTP_PORT = 9100, 8180
