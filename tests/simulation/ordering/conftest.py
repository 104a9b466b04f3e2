"""Puts the simulator on the path, under the same name as `run.py` sees it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
