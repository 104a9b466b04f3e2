"""The five lines of the README compute what they print."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[3] / "README.md"


def test_the_five_lines_of_the_readme_run_as_printed() -> None:
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", README.read_text(), re.S) if "keygen" in block]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    promised = re.search(r"print\(.*# (.*)$", code, re.M)
    assert promised
    assert done.stdout.strip() == promised[1].strip() == "42 0"
