"""Hashes, signatures and sealed boxes, each a thin and checked skin over a known library."""
