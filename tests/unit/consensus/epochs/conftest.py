"""Makes the chain double of this folder, and that of the ledger it is built on, importable by name."""

import sys
from pathlib import Path

for folder in (Path(__file__).parent, Path(__file__).parents[1] / "ledger"):
    sys.path.insert(0, str(folder))
