"""Starts Ray, and ends it and all that came of it once the process that asked for it has ended, in whichever way.

    python -I ray_guardian.py SESSION_FOLDER LOGS_FOLDER COMMAND ...

It runs the command that starts Ray and waits until its own standard input is closed, by the driver or by the driver's
death. On Linux it is the subreaper of what it starts: a process whose parent dies becomes its child. So it ends its own
descendants, all of them, and no other process. It imports the standard library alone, and nothing of echopair.
"""

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
START_LOG = "start.log"  # in the session's folder: what the command writes
POLL_SECONDS = 0.5


def guard(session: Path, logs: Path, command: list[str]) -> None:
    """Run the command, and end what it left when standard input is closed or the command ends.

    Args:
        session: Ray's folder, which is removed at the end.
        logs: folder that gets Ray's logs.
    """
    is_linux = sys.platform == "linux"
    if is_linux:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with (session / START_LOG).open("wb") as log:
        started = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    while started.poll() is None and not select.select([sys.stdin], [], [], POLL_SECONDS)[0]:
        reap()
    if is_linux:
        while reap():
            for child in children():
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            time.sleep(0.02)
    else:
        started.terminate()
        started.wait()
    written = session / "session_latest" / "logs"
    if written.is_dir():
        shutil.rmtree(logs, ignore_errors=True)
        shutil.move(written.resolve(), logs)
    shutil.rmtree(session, ignore_errors=True)


def reap() -> bool:
    """Reap children that have ended; returns whether any are left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def children() -> list[int]:
    """Processes whose parent is this one."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended
            if int(file.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.append(int(file.parent.name))
    return found


if __name__ == "__main__":
    guard(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
