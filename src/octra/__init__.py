"""Octra: a network whose nodes compute on data that stays encrypted. Start reading at `docs/tour.md`."""

__version__ = "0.1.0"
