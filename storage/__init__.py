"""Bytes that survive: key-value store, state tree, blocks, sign log."""
