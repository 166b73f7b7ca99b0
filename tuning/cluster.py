"""Ray for a sweep: started here or joined, and left without a trace."""

import logging
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

from pydantic import BaseModel, Field, field_validator

from echopair.pipeline.cores import available_cores
from echopair.pipeline.errors import UserError
from echopair.pipeline.tracking.interruption import interruption_later
from echopair.tuning import guardian
from echopair.tuning.resources import Available, Node

ADDRESS_FORM = "auto, or host:port as `ray start --head` prints it, such as 10.0.0.5:6379"
LOGS_FOLDER = "ray_logs"  # in the sweep's folder: what Ray and the trials' processes wrote
OBJECT_STORE_BYTES = 200 * 10**6  # trials read their clips from memory maps, and send Ray a few numbers
NODE_ANSWER_SECONDS = 60.0

TUNE_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    # A trial that is stopped ends with the copy that it is at; too short a wait fails the next one.
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "120",
}
# Ray's ports run whatever they are sent: they are open to this machine alone, and to those who know a token. Ray reads
# the token once per process, so it is drawn once; with one in the environment it writes none below the home folder.
LOCAL_ENVIRONMENT = {
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on any system: listen on the loopback interface
    # Tune ends the whole sweep where Ray kills a trial for its memory; `limit_memory` ends the one that outgrew it.
    "RAY_memory_monitor_refresh_ms": "0",
    # Each trial runs in a thread of its own, and would leave what it freed to an arena of its own.
    "MALLOC_ARENA_MAX": "2",
    "RAY_worker_niceness": "0",  # trials are what the sweep is for, and no work on the side
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a trial without a GPU sees none
}
# Ray replaces 127.0.0.1 by an address that other machines reach, unless it was imported in `LOCAL_ENVIRONMENT`.
LOOPBACK = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"
STARTED = "Ray runtime started"  # what `ray start` says
START_SECONDS = 120.0  # on a machine that is busy

# In a process of its own: where it cannot join, Ray tries for minutes or aborts.
JOIN = """
import os, sys, ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
except Exception as error:
    print("cannot join:", error)
    sys.exit(1)
os._exit(0)
"""
CANNOT_JOIN, WRONG_TOKEN = "cannot join:", "InvalidAuthToken"


class RayConfig(BaseModel, frozen=True, extra="forbid"):
    """Where the trials run."""

    address: str | None = Field(
        None,
        description="host:port of a running cluster (ray start --head), or auto for the one of this machine; by "
        "default Ray is started on this machine for the sweep and ended with it",
    )
    connect_seconds: float = Field(30, gt=0, le=3600, description="how long to try to join `address`")

    @field_validator("address")
    @classmethod
    def _address_has_a_port(cls, address: str | None) -> str | None:
        if address not in (None, "auto") and not re.fullmatch(
            r"([^\s:/]+|\[[0-9a-fA-F:]+\]):\d{1,5}", address
        ):
            raise ValueError(f"give {ADDRESS_FORM}")
        return address


@contextmanager
def ray_session(config: RayConfig, folder: Path) -> Iterator[Available]:
    """Ray, for as long as the body runs; started by us it is ended whatever happens, SIGKILL of this process included.

    SIGINT and SIGTERM do in the body what they did before: Ray's handlers are taken off. Main thread only. What Ray
    started ends with a session that was started here, and nothing else does.

    Args:
        config: where Ray runs.
        folder: of the sweep; gets Ray's logs, if it was started here.

    Yields:
        What Ray has to give.

    Raises:
        UserError: the cluster cannot be joined.
    """
    with ExitStack() as stack:
        if config.address is None:
            settings: dict[str, str | None] = {**LOCAL_ENVIRONMENT, "RAY_AUTH_MODE": _own_mode()}
        else:
            # `ray start` uses a token where it finds one, `ray.init` does not; a cluster without one ignores it.
            default = "token" if _has_token() else None
            settings = {"RAY_AUTH_MODE": os.environ.get("RAY_AUTH_MODE") or default}
        stack.enter_context(environment({**TUNE_ENVIRONMENT, **settings}))
        if config.address is None:
            address = stack.enter_context(_own_ray(folder / LOGS_FOLDER))
        else:
            address = config.address
            _check_joinable(address, config.connect_seconds)
        # What a signal handler raises may get lost in Ray's start. Afterwards the handlers are as before, not Ray's.
        with interruption_later():
            import ray  # it reads the environment when it is imported

            stack.callback(ray.shutdown)
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            except SystemExit:  # Ray's answer to SIGTERM
                raise KeyboardInterrupt from None
        yield _available()


@cache
def _own_mode() -> str:
    """Whether a Ray of our own asks for the token: a driver that imported Ray before cannot take a token any more."""
    return "disabled" if "ray" in sys.modules else "token"


@contextmanager
def _own_ray(logs: Path) -> Iterator[str]:
    """The address of a Ray that is started here, and ended with all its processes by a guardian."""
    # A short path, since sockets lie in it.
    longest = 107 - len("/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store")
    session = Path(tempfile.mkdtemp(prefix="ray-"))
    if len(os.fsencode(session)) > longest:
        session.rmdir()
        session = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        port = free.getsockname()[1]
    start = [
        *(sys.executable, "-P", "-m", "ray.scripts.scripts", "start", "--head", "--block"),
        *(f"--node-ip-address={LOOPBACK}", f"--port={port}", "--dashboard-agent-listen-port=0"),
        *("--include-dashboard=false", "--include-log-monitor=false", f"--temp-dir={session}"),
        *(f"--num-cpus={available_cores()}", f"--object-store-memory={OBJECT_STORE_BYTES}"),
    ]
    guarding = subprocess.Popen(
        [sys.executable, "-I", guardian.__file__, str(session), str(logs), *start],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is not for it
    )
    try:
        _wait_for_start(guarding, session / guardian.START_LOG)
        yield f"{LOOPBACK}:{port}"
    finally:
        guarding.communicate()


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


def _check_joinable(address: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    if address != "auto":
        host, port = address.rsplit(":", 1)
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=seconds).close()
        except (OSError, OverflowError) as error:
            raise UserError(
                f"ray.address={address}: nothing answers there ({error}); start a cluster there with `ray start "
                "--head`, or leave ray.address out to run on this machine alone"
            ) from error
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output"
        with output.open("w") as file:
            joining = subprocess.Popen(
                [sys.executable, "-c", JOIN, address],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                # The node's socket is there or not.
                env={**os.environ, "RAY_raylet_client_num_connect_attempts": "2"},
            )
        try:
            while joining.poll() is None and time.monotonic() < deadline:
                if WRONG_TOKEN in output.read_text(errors="replace"):
                    break
                time.sleep(0.1)
        finally:
            joining.kill()
            status = joining.wait()
        said = output.read_text(errors="replace")
    if status != 0:
        raise UserError(f"ray.address={address}: {_why_not_joined(address, seconds, status, said)}")


def _why_not_joined(address: str, seconds: float, status: int, said: str) -> str:
    if WRONG_TOKEN in said:
        return (
            "the cluster wants another token; put that of its head into RAY_AUTH_TOKEN or ~/.ray/auth_token"
        )
    if status == -signal.SIGKILL:
        return (
            f"what answers there is no Ray, or is slow; give {ADDRESS_FORM}, and raise "
            f"ray.connect_seconds={seconds:g} for a slow one"
        )
    if "/sockets/raylet" in said:  # where it aborts
        return f"this machine is no node of that cluster; run `ray start --address={address}` on it first"
    reason = " ".join((said.partition(CANNOT_JOIN)[2] or said).split())
    if reason.startswith("Version mismatch"):
        reason += "; install the same versions of Ray and Python on all machines"
    return f"the cluster cannot be joined: {reason}"


def _has_token() -> bool:
    variables = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    return any(name in os.environ for name in variables) or (Path.home() / ".ray" / "auth_token").is_file()


@contextmanager
def environment(settings: Mapping[str, str | None]) -> Iterator[None]:
    """Environment variables while the body runs; None unsets one."""
    before = {name: os.environ.get(name) for name in settings}
    _set_environment(settings)
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(settings: Mapping[str, str | None]) -> None:
    for name, value in settings.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _available() -> Available:
    import ray

    return Available(
        tuple(
            Node(
                cpus=int(node["Resources"].get("CPU", 0)),
                gpus=int(node["Resources"].get("GPU", 0)),
                memory_bytes=int(node["Resources"].get("memory", 0)),
            )
            for node in ray.nodes()
            if node["Alive"]
        )
    )


def check_nodes(config: RayConfig, folder: Path) -> None:
    """Check that each node of a cluster sees a folder below the work folder, by a file that each is asked to read.

    Raises:
        UserError: one does not; or see `ray_session`.
    """
    if config.address is None:
        return
    with ray_session(config, folder) as available:
        if not _nodes_share(folder):
            raise UserError(
                f"work_folder: not all {len(available.nodes)} nodes of the cluster see {folder}; set work_folder to a "
                "folder on storage that is mounted at the same path on every node, such as NFS, or leave out "
                "ray.address to run on this machine alone"
            )


def _nodes_share(folder: Path) -> bool:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def read(file: Path) -> str:
        return file.read_text(encoding="utf-8")

    token = secrets.token_hex(16)
    file = folder / f".{token}"
    file.write_text(token, encoding="utf-8")
    try:
        asked = [
            ray.remote(num_cpus=0, max_retries=0)(read)
            .options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))
            .remote(file)
            for node in ray.nodes()
            if node["Alive"]
        ]
        return all(seen == token for seen in ray.get(asked, timeout=NODE_ANSWER_SECONDS))
    except (OSError, ray.exceptions.RayError):  # no such file there; or no answer
        return False
    finally:
        file.unlink()
