import mmap
import subprocess
import sys
from pathlib import Path

from echopair.tuning.memory_limit import OUTGROWN_STATUS

ROOT = Path(__file__).parents[2]


def ended(program: str) -> "subprocess.CompletedProcess[str]":
    preamble = """
import mmap, sys, time
from echopair.tuning.memory_limit import _memory_bytes, limit_memory
limit = _memory_bytes() + 100 * 2**20
def exceeded(used_bytes):
    print("used", used_bytes - limit, flush=True)
"""
    return subprocess.run(
        [sys.executable, "-c", preamble + program],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )


def test_a_process_that_outgrows_its_memory_says_so_and_ends() -> None:
    done = ended("""
with limit_memory(limit, exceeded):
    taken = b"x" * (200 * 2**20)
    time.sleep(30)
""")
    assert done.returncode == OUTGROWN_STATUS
    assert 50 * 2**20 < int(done.stdout.removeprefix("used ")) < 150 * 2**20


def test_it_ends_even_if_it_cannot_say_so() -> None:
    assert (
        ended("""
with limit_memory(limit, None):
    taken = b"x" * (200 * 2**20)
    time.sleep(30)
""").returncode
        == OUTGROWN_STATUS
    )


def test_memory_maps_and_what_comes_after_the_body_do_not_count(tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    with clips.open("wb") as file:
        file.truncate(200 * 2**20)
    done = ended(f"""
with open({str(clips)!r}, "rb") as file, limit_memory(limit, exceeded):
    clips = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    assert not sum(clips[::{mmap.PAGESIZE}])
    time.sleep(1.2)
taken = b"x" * (200 * 2**20)
time.sleep(1.2)
""")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
