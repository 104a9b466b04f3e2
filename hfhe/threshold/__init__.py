"""The network key in shares: dealing it, encrypting under it and opening with it, right although some seats lie.

Start at `dealer` (makes the shares), then `inputs` (bits in) and `partial` (bits out); `committee` counts the seats.
Rules and bytes: `docs/spec/key-shares.md`.
"""
