"""Tests of signatures share the plain-integer reference that made their vectors."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "vectors" / "crypto"))
