import os
import subprocess
import sys
import time
from pathlib import Path

PROGRAM = """
import os, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from echopair.pipeline.cores import end_with

if __name__ == "__main__":
    with ProcessPoolExecutor(2, get_context("spawn"), initializer=end_with, initargs=(os.getpid(),)) as pool:
        print(*{pool.submit(os.getpid).result() for _ in range(2)}, flush=True)
        time.sleep(60)
"""


def alive(processes: list[int]) -> list[int]:
    """Those that run; of one that has ended, and that nobody has asked after yet, the command line is empty."""
    return [one for one in processes if (file := Path(f"/proc/{one}/cmdline")).exists() and file.read_bytes()]


def test_workers_end_when_the_process_they_work_for_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, program], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        workers = [int(number) for number in process.stdout.readline().split()]
        time.sleep(2)  # as long as it lives, they do
        assert alive(workers) == workers != []
        process.kill()
    deadline = time.monotonic() + 20
    while alive(workers):
        assert time.monotonic() < deadline, f"{alive(workers)} are alive"
        time.sleep(0.05)
