"""Worker processes that do not outlive the process that they work for."""

import os
import threading
import time

LOOK_AGAIN_SECONDS = 1.0


def end_with(parent: int) -> None:
    """Let this process end when its parent has ended, SIGKILL included: a pool's workers would wait for ever.

    Args:
        parent: its parent's process id; the pool that starts it gives `os.getpid()` to this as its initializer.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_AGAIN_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
