"""A node that is killed leaves no worker process behind."""

import os
import signal
import subprocess
import sys
import time

PARENT = """
import asyncio, os, sys
from octra.node.actors.workers import ProcessWorkers
from tests_worker_probe import own_pid

async def main():
    print(int(await ProcessWorkers(1).run(own_pid, b"")), flush=True)
    await asyncio.sleep(60)

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_the_worker_of_a_killed_process_ends(tmp_path) -> None:
    (tmp_path / "tests_worker_probe.py").write_text("import os\ndef own_pid(_): return str(os.getpid()).encode()\n")
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout
        worker = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
    for _ in range(200):
        if not _alive(worker):
            return
        time.sleep(0.05)
    os.kill(worker, signal.SIGKILL)
    raise AssertionError("the worker outlived its node")


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(") ", 1)[1][0] != "Z"
    except FileNotFoundError:
        return False
