"""Encrypted arithmetic: bits, words and threshold cryptography. Usable alone; knows nothing of chains."""
