"""The memory of a trial's process: the one that takes too much fails alone, and not the machine."""

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

OUTGROWN_STATUS = 70  # exit status of a trial that took more memory than it may
CHECK_SECONDS = 0.5
STATUS_FILE = Path("/proc/self/status")
COUNTED = re.compile(r"^(?:RssAnon|RssShmem|VmSwap):\s+(\d+) kB$", re.MULTILINE)


@contextmanager
def limit_memory(limit_bytes: int, exceeded: Callable[[int], None]) -> Iterator[None]:
    """End this process where it takes too much memory in the body: one trial fails, and not the machine.

    Counted is what no file backs: pages of a memory map are the kernel's to take back. On systems without /proc
    nothing is counted.

    Args:
        exceeded: called with what it took, before it ends with status OUTGROWN_STATUS.
    """
    done = threading.Event()

    def watch() -> None:
        while not done.wait(CHECK_SECONDS):
            used_bytes = _memory_bytes()
            if used_bytes > limit_bytes:
                try:
                    exceeded(used_bytes)
                finally:
                    os._exit(OUTGROWN_STATUS)

    watcher = threading.Thread(target=watch, name="memory limit", daemon=True)
    if STATUS_FILE.exists():
        watcher.start()
    try:
        yield
    finally:
        done.set()
        if watcher.is_alive():
            watcher.join()


def _memory_bytes() -> int:
    return 1024 * sum(map(int, COUNTED.findall(STATUS_FILE.read_text(encoding="ascii", errors="replace"))))
