"""Circuits to learn from and to measure with: texts (`*.oct`) and generators of standard functions."""
