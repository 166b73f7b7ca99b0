"""A cluster of Ray on this machine: real nodes with processes of their own, which can be killed."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from echopair.pipeline.own_ray import READ_AT_IMPORT

# Tests import Ray before `connect` does.
os.environ.update(READ_AT_IMPORT)
START_SECONDS = 60.0
STOP_SECONDS = 10.0


@dataclass
class RayNode:
    """One `ray start`, on a loopback address of its own."""

    address: str
    process: "subprocess.Popen[bytes]"


@dataclass
class RayCluster:
    """Nodes of one core each; the first is the head.

    Drivers need `environment`, which holds the cluster's token, from their start: run them as processes.
    """

    folder: Path
    nodes: list[RayNode] = field(default_factory=list)
    port: int = 0
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.environment = {
            **os.environ,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",  # nodes have addresses of their own
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
        }

    @property
    def address(self) -> str:
        return f"{self.nodes[0].address}:{self.port}"

    def add_node(self, prefix: Sequence[str] = ()) -> RayNode:
        """Start a node.

        Args:
            prefix: a command that runs another, such as `unshare`.
        """
        number = len(self.nodes)
        address = f"127.0.0.{number + 2}"
        place = (
            [f"--address={self.address}"]
            if self.nodes
            else ["--head", f"--port={self.port}", "--include-dashboard=false", "--no-monitor"]
        )
        folder = self.folder / str(number)
        output = self.folder / f"{number}.log"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [
                    *prefix,
                    str(Path(sys.executable).with_name("ray")),
                    "start",
                    *place,
                    f"--node-ip-address={address}",
                    f"--temp-dir={folder}",
                    "--num-cpus=1",
                    "--object-store-memory=100000000",
                    "--dashboard-agent-listen-port=0",
                    "--include-log-monitor=false",
                    "--block",
                ],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
                env={
                    **self.environment,
                    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
                    # A node that is gone is missed after 2 s, and not after 15 s.
                    "RAY_health_check_initial_delay_ms": "1000",
                    "RAY_health_check_period_ms": "500",
                    "RAY_health_check_timeout_ms": "2000",
                    "RAY_health_check_failure_threshold": "3",
                },
            )
        node = RayNode(address, process)
        self.nodes.append(node)
        deadline = time.monotonic() + START_SECONDS
        while "Ray runtime started" not in output.read_text():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.05)
        return node

    def kill(self, node: RayNode) -> None:
        """Kill a node as if its machine were switched off: its raylet, and all that runs below."""
        for raylet in descendants(node.process.pid):
            comm = Path(f"/proc/{raylet}/comm")
            if comm.is_file() and comm.read_text().strip() == "raylet":
                for process in (raylet, *descendants(raylet)):
                    with suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)

    def close(self) -> None:
        """End all nodes."""
        for node in reversed(self.nodes):
            below = descendants(node.process.pid)
            node.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                node.process.wait(STOP_SECONDS)
            for process in (node.process.pid, *below):
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            node.process.wait(STOP_SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)


def descendants(process: int) -> list[int]:
    """Processes below a process, of any depth."""
    parents = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended
            parents[int(file.parent.name)] = int(file.read_text().rsplit(")", 1)[1].split()[1])
    below = [process]
    for parent in below:
        below += [child for child, of in parents.items() if of == parent]
    return below[1:]


def processes_with(mark: str) -> list[int]:
    """Processes in whose environment a text stands."""
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it ended, or is another user's
            if mark.encode() in file.read_bytes():
                found.append(int(file.parent.name))
    return found


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RayCluster]:
    """Two nodes; who kills one adds one for that."""
    # Not below pytest's folder: paths of sockets are at most 107 bytes long.
    cluster = RayCluster(Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp")))
    try:
        cluster.add_node()
        cluster.add_node()
        yield cluster
    finally:
        cluster.close()
