"""The run's own modules are on the path, as for `./run endure`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
