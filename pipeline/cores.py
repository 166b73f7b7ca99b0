"""How many processes and threads are worth starting, and that processes do not outlive their parent."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PARENT_CHECK_SECONDS = 1.0


def available_cores() -> int:
    """Cores that this process may use, at least 1."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def cpu_threads(threads: int | None) -> Iterator[None]:
    """Compute with so many threads, with all cores for None; afterwards as before."""
    if threads is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def end_with(parent: int) -> None:
    """Let this process end when its parent has ended, SIGKILL included: otherwise a pool's workers wait for ever.

    Args:
        parent: its parent's process id; the pool that starts it gives `os.getpid()` to this as its initializer.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_CHECK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
