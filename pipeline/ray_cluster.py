"""Ray for a part of a run, or for a sweep: started here or joined, and left without a trace."""

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError, field_validator

from echopair.pipeline.errors import UserError
from echopair.pipeline.own_ray import LOCAL_ENVIRONMENT, check_import, own_ray
from echopair.pipeline.ray_nodes import Node, alive_nodes
from echopair.pipeline.tracking.interruption import defer_interruption

ADDRESS_FORM = "auto, or host:port as `ray start --head` prints it, such as 10.0.0.5:6379"
LOGS_FOLDER = "ray_logs"  # what Ray and its workers wrote

# No reports to the makers of Ray.
USAGE = {"RAY_USAGE_STATS_ENABLED": "0"}
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
    """The Ray cluster that sweeps run on, and `prepare` if `prepare.on_ray` is set."""

    address: str | None = Field(
        None,
        description="host:port of a running cluster (ray start --head), or auto for the one of this machine; by "
        "default Ray is started on this machine where it is needed and ended afterwards",
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


def ray_config(address: str) -> RayConfig:
    """The config of an address.

    Raises:
        UserError: it is none.
    """
    try:
        return RayConfig(address=address)
    except ValidationError as error:
        raise UserError(f"--ray-address={address}: give {ADDRESS_FORM}") from error


@contextmanager
def connect(
    config: RayConfig, folder: Path, settings: Mapping[str, str | None] | None = None
) -> Iterator[list[Node]]:
    """Ray, for as long as the body runs; started by us it is ended whatever happens, SIGKILL of this process included.

    SIGINT and SIGTERM do in the body what they did before: Ray's handlers are taken off. Main thread only. What Ray
    started ends with a session that was started here, and nothing else does.

    Args:
        folder: gets Ray's logs, if it was started here.
        settings: environment variables of the body, which Ray reads when it is imported.

    Yields:
        Its nodes; `check_nodes` asks them.

    Raises:
        UserError: the cluster cannot be joined, or Ray cannot be started here.
    """
    with ExitStack() as stack:
        if config.address is None:
            check_import()
            own: dict[str, str | None] = {**LOCAL_ENVIRONMENT}
        else:
            # `ray start` uses a token where it finds one, `ray.init` does not; a cluster without one ignores it.
            default = "token" if _has_token() else None
            own = {"RAY_AUTH_MODE": os.environ.get("RAY_AUTH_MODE") or default}
        stack.enter_context(environment({**USAGE, **own, **(settings or {})}))
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
        yield alive_nodes()


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
