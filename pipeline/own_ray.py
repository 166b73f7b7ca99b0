"""Ray started on this machine for as long as it is needed, and ended by a guardian."""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from echopair.pipeline import ray_guardian
from echopair.pipeline.cores import available_cores
from echopair.pipeline.errors import UserError

OBJECT_STORE_BYTES = 200 * 10**6  # trials and decoders read and write files, and send Ray a few numbers
READ_AT_IMPORT = {
    "RAY_AUTH_MODE": "token",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on any system: listen on the loopback interface
}
# Ray's ports run whatever they are sent: they are open to this machine alone, and to those who know a token. Ray reads
# the token once per process, so it is drawn once; with one in the environment it writes none below the home folder.
LOCAL_ENVIRONMENT = {
    **READ_AT_IMPORT,
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    # Tune ends the whole sweep where Ray kills a trial for its memory; `limit_memory` ends the one that outgrew it.
    "RAY_memory_monitor_refresh_ms": "0",
    # Each trial runs in a thread of its own, and would leave what it freed to an arena of its own.
    "MALLOC_ARENA_MAX": "2",
    "RAY_worker_niceness": "0",  # normal priority for trials
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a trial without a GPU sees none
}
STARTED = "Ray runtime started"  # what `ray start` says
START_SECONDS = END_SECONDS = 120.0  # on a machine that is busy


@cache
def check_import() -> None:
    """Check that Ray reads, or has read, at its import that it listens on the loopback interface and asks for a token.

    Raises:
        UserError: it was imported before, with other settings.
    """
    if "ray" in sys.modules and any(os.environ.get(name) != value for name, value in READ_AT_IMPORT.items()):
        settings = " ".join(f"{name}={value}" for name, value in READ_AT_IMPORT.items())
        raise UserError(
            "Ray was imported in this process before, and would listen on all network interfaces; begin in a "
            f"process that has not imported ray, or set {settings} in the environment of this one"
        )


@contextmanager
def own_ray(logs: Path) -> Iterator[str]:
    """The address of a Ray that is started here, and ended with all its processes by a guardian."""
    # A short path, since sockets lie in it.
    longest = 107 - len("/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store")
    session = Path(tempfile.mkdtemp(prefix="ray-"))
    if len(os.fsencode(session)) > longest:
        session.rmdir()
        session = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = [
        *(sys.executable, "-P", "-m", "ray.scripts.scripts", "start", "--head", "--block"),
        *("--node-ip-address=127.0.0.1", f"--port={port}", "--dashboard-agent-listen-port=0"),
        # Neither pages, nor copies of logs, nor a process that would start more nodes.
        *("--include-dashboard=false", "--include-log-monitor=false", "--no-monitor"),
        *(
            f"--temp-dir={session}",
            f"--num-cpus={available_cores()}",
            f"--object-store-memory={OBJECT_STORE_BYTES}",
        ),
    ]
    guarding = subprocess.Popen(
        [sys.executable, "-I", ray_guardian.__file__, str(session), str(logs), *start],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is not for it
    )
    try:
        _wait_for_start(guarding, session / ray_guardian.START_LOG)
        yield f"127.0.0.1:{port}"
    finally:
        try:
            guarding.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise UserError(
                f"Ray's processes have not ended within {END_SECONDS:g} s; end process {guarding.pid} and those below "
                f"it, and remove {session}"
            ) from error


def _wait_for_start(guarding: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    said = ""
    while STARTED not in said:
        if guarding.poll() is not None or time.monotonic() > deadline:
            reason = " ".join(said.split()) or "it said nothing"
            raise UserError(f"Ray does not start on this machine: {reason}")
        time.sleep(0.05)
        with suppress(FileNotFoundError):  # not yet, or no longer
            said = log.read_text(encoding="utf-8", errors="replace")
