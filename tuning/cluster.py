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
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pydantic import BaseModel, Field, field_validator

from echopair.pipeline.errors import UserError
from echopair.pipeline.tracking.interruption import defer_interruption
from echopair.tuning.own_ray import LOCAL_ENVIRONMENT, check_import, own_ray
from echopair.tuning.resources import Node

ADDRESS_FORM = "auto, or host:port as `ray start --head` prints it, such as 10.0.0.5:6379"
LOGS_FOLDER = "ray_logs"  # in the sweep's folder: what Ray and the trials' processes wrote
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
def ray_session(config: RayConfig, folder: Path) -> Iterator[list[Node]]:
    """Ray, for as long as the body runs; started by us it is ended whatever happens, SIGKILL of this process included.

    SIGINT and SIGTERM do in the body what they did before: Ray's handlers are taken off. Main thread only. What Ray
    started ends with a session that was started here, and nothing else does.

    Args:
        folder: of the sweep; gets Ray's logs, if it was started here.

    Yields:
        Its nodes.

    Raises:
        UserError: the cluster cannot be joined, or Ray cannot be started here.
    """
    with ExitStack() as stack:
        if config.address is None:
            check_import()
            settings: dict[str, str | None] = {**LOCAL_ENVIRONMENT}
        else:
            # `ray start` uses a token where it finds one, `ray.init` does not; a cluster without one ignores it.
            default = "token" if _has_token() else None
            settings = {"RAY_AUTH_MODE": os.environ.get("RAY_AUTH_MODE") or default}
        stack.enter_context(environment({**TUNE_ENVIRONMENT, **settings}))
        if config.address is None:
            address = stack.enter_context(own_ray(folder / LOGS_FOLDER))
        else:
            address = config.address
            _check_joinable(address, config.connect_seconds)
        # What a signal handler raises may get lost in Ray's start. Afterwards the handlers are as before, not Ray's.
        with defer_interruption():
            import ray  # it reads the environment when it is imported

            stack.callback(ray.shutdown)
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            except SystemExit:  # Ray's answer to SIGTERM
                raise KeyboardInterrupt from None
        yield _nodes()


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


def _nodes() -> list[Node]:
    import ray

    alive = (node["Resources"] for node in ray.nodes() if node["Alive"])
    return [Node(*(int(has.get(name, 0)) for name in ("CPU", "GPU", "memory"))) for has in alive]


def check_nodes(config: RayConfig, folder: Path) -> None:
    """Check that each node of a cluster sees a folder below the work folder, by a file that each is asked to read.

    Raises:
        UserError: one does not; or see `ray_session`.
    """
    if config.address is None:
        return
    with ray_session(config, folder) as nodes:
        if not _nodes_share(folder):
            raise UserError(
                f"work_folder: not all {len(nodes)} nodes of the cluster see {folder}; set work_folder to a "
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
