"""The rules of the chain as pure functions: ordering, ledger, checkpoints. No clock, socket, disk or randomness."""
