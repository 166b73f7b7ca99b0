import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from echopair.pipeline.errors import UserError
from echopair.pipeline.own_ray import LOCAL_ENVIRONMENT
from echopair.pipeline.ray_cluster import LOGS_FOLDER, USAGE, RayConfig, connect
from tests.ray_nodes import RayCluster, processes_with

ROOT = Path(__file__).parents[2]
END_SECONDS = 30.0  # in which a killed process ends


@pytest.mark.parametrize("address", ["head", "ray://head:10001", "http://head:8265", "head:", ""])
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(ValidationError, match="give auto, or host:port"):
        RayConfig(address=address)


# A session of our own

DRIVER = """
import json, os, signal, subprocess, sys, time
from pathlib import Path
from echopair.pipeline.ray_cluster import RayConfig, connect

def interrupt(number, frame):
    raise KeyboardInterrupt

signal.signal(signal.SIGTERM, interrupt)
signal.alarm(300)  # no test waits for ever
folder = Path(sys.argv[1])

def work():
    subprocess.Popen(["sleep", "600"])
    count = 0
    while True:
        count += 1

def say(**facts):
    print(json.dumps(facts), flush=True)

for round in range(2):
    before = dict(os.environ)
    try:
        with connect(RayConfig(), folder) as nodes:
            import ray
            actors = [ray.remote(num_cpus=0)(work).remote() for _ in range(2)]
            time.sleep(2)
            say(nodes=len(nodes), cpus=sum(node.cpus for node in nodes))
            ray.get(actors)
    except KeyboardInterrupt:
        say(interrupted=time.time(), changed=sorted(dict(os.environ).items() ^ before.items()))
"""


@dataclass
class Driver:
    """A process with a session of Ray, in which two tasks compute, each with a process below it."""

    process: "subprocess.Popen[str]"
    folder: Path
    home: Path
    temporary: Path

    @property
    def session(self) -> Path:
        """Ray's folder."""
        (session,) = self.temporary.glob("ray-*")
        return session

    @property
    def family(self) -> set[int]:
        """The driver and all processes that came of it."""
        return set(processes_with(f"TMPDIR={self.temporary}"))

    def says(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the driver ended"
        return dict(json.loads(line))


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    folder, home = tmp_path_factory.mktemp("sweep"), tmp_path_factory.mktemp("home")
    temporary = Path(
        tempfile.mkdtemp(prefix="t-", dir="/tmp")
    )  # not below pytest's folder: sockets lie in it
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**inherited, "HOME": str(home), "TMPDIR": str(temporary)},
    )
    try:
        yield Driver(process, folder, home, temporary)
    finally:
        process.kill()
        process.wait(END_SECONDS)
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def bystanders(session: Path) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Processes that mention a session's folder and are not of it."""
    log = session / "session_latest" / "logs" / "raylet.out"
    waiting = [sys.executable, "-c", "import time; time.sleep(600)"]
    others = [
        subprocess.Popen(["tail", "-f", str(log)], stdout=subprocess.DEVNULL),
        subprocess.Popen(waiting, env={**os.environ, "NOTES": str(session), "PWD": str(session)}),
    ]
    try:
        yield others
    finally:
        for one in others:
            one.kill()
            one.wait(END_SECONDS)


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def listening_elsewhere(processes: set[int]) -> list[str]:
    """Addresses other than the loopback's on which processes listen."""
    sockets = set()
    for process in processes:
        for link in Path(f"/proc/{process}/fd").iterdir():
            with suppress(OSError):
                sockets |= set(re.findall(r"socket:\[(\d+)\]", str(link.readlink())))
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            address = fields[1].split(":")[0]
            if fields[3] == "0A" and fields[9] in sockets and address not in loopback:
                found.append(address)
    return found


def test_an_interrupted_session_ends_and_leaves_nothing_but_logs(driver: Driver) -> None:
    ready = driver.says()
    processes, session = driver.family, driver.session
    elsewhere = listening_elsewhere(processes)
    asked = time.time()
    driver.process.send_signal(signal.SIGTERM)
    ended = driver.says()
    assert ready["nodes"] == 1
    assert ready["cpus"] == len(os.sched_getaffinity(0))
    assert len(processes) >= 8
    assert not elsewhere
    assert ended["interrupted"] - asked < 20
    assert not {*USAGE, *LOCAL_ENVIRONMENT} & {name for name, _ in ended["changed"]}
    assert not processes & driver.family - {driver.process.pid}
    assert not session.exists()
    assert (driver.folder / LOGS_FOLDER / "raylet.out").is_file()
    assert not list(driver.home.iterdir())


def test_a_killed_driver_takes_all_of_its_second_session_along_and_nothing_else(driver: Driver) -> None:
    driver.says()
    assert len(driver.family) >= 8
    with bystanders(driver.session) as others:
        driver.process.kill()
        _, errors = driver.process.communicate(timeout=END_SECONDS)
        wait_until(lambda: not driver.family, seconds=10)
        assert not list(driver.temporary.glob("ray-*"))
        assert [one.poll() for one in others] == [None, None]
    assert (driver.folder / LOGS_FOLDER / "raylet.out").is_file()
    # Ray may log that it could not say how the first session's tasks ended, since that session was ending too.
    ours = [line for line in errors.splitlines() if not re.match(r"\[.* E \d+ \d+\] task_manager\.cc:", line)]
    assert not ours


def test_a_ray_that_was_imported_otherwise_is_refused(tmp_path: Path) -> None:
    program = "import ray, sys; from pathlib import Path\n"
    program += "from echopair.pipeline.ray_cluster import RayConfig, connect\n"
    program += "with connect(RayConfig(), Path(sys.argv[1])): pass"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    refused = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "UserError: Ray was imported in this process before" in refused.stderr


def test_a_ray_that_does_not_start_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("echopair.pipeline.own_ray.OBJECT_STORE_BYTES", "nothing")
    with (
        pytest.raises(UserError, match=r"Ray does not start on this machine: .*object-store-memory"),
        connect(RayConfig(), tmp_path),
    ):
        pass


# A cluster

JOINED = """
import json, os, sys, time
from pathlib import Path
from echopair.pipeline.errors import UserError
from echopair.pipeline.ray_cluster import RayConfig, connect
from echopair.pipeline.ray_nodes import check_nodes

folder = Path(sys.argv[2])
config = RayConfig(address=sys.argv[1], connect_seconds=100)
try:
    with connect(config, folder) as nodes:
        print(json.dumps([sum(node.cpus for node in nodes), len(nodes)]))
        check_nodes(folder, [Path(file) for file in sys.argv[3:]])
except UserError as error:
    print(error)
"""
IN_ITS_OWN_MOUNTS = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
HIDING = 'mount -t tmpfs none "$0" && exec "$@"'
needs_mounts = pytest.mark.skipif(
    subprocess.run(
        [*IN_ITS_OWN_MOUNTS, HIDING, "/mnt", "true"], check=False, capture_output=True, timeout=30
    ).returncode
    != 0,
    reason="needs the right to mount",
)


def joined(
    cluster: RayCluster, folder: Path, *prefix: str, without: str | None = None, files: Sequence[Path] = ()
) -> str:
    environment = {name: value for name, value in cluster.environment.items() if name != without}
    environment["HOME"] = str(folder)  # where no token lies
    return subprocess.run(
        [*prefix, sys.executable, "-c", JOINED, cluster.address, str(folder), *map(str, files)],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=120,
    ).stdout


def test_a_cluster_is_joined_and_left_running(ray_cluster: RayCluster, tmp_path: Path) -> None:
    # With a token Ray needs no mode.
    assert json.loads(joined(ray_cluster, tmp_path, without="RAY_AUTH_MODE")) == [2, 2]
    assert not list(tmp_path.iterdir())
    assert all(
        node.process.poll() is None for node in ray_cluster.nodes[:2]
    )  # others are killed by other tests


def test_a_cluster_whose_token_is_not_known_is_not_joined(ray_cluster: RayCluster, tmp_path: Path) -> None:
    message = joined(ray_cluster, tmp_path, without="RAY_AUTH_TOKEN")
    assert message.startswith(f"ray.address={ray_cluster.address}: ")
    assert "RAY_AUTH_TOKEN" in message


@needs_mounts
def test_a_machine_that_is_no_node_is_told_to_become_one(ray_cluster: RayCluster, tmp_path: Path) -> None:
    message = joined(ray_cluster, tmp_path, *IN_ITS_OWN_MOUNTS, HIDING, str(ray_cluster.folder))
    assert f"ray start --address={ray_cluster.address}" in message


@needs_mounts
def test_a_node_that_does_not_see_the_folders_is_refused_until_it_is_lost(
    ray_cluster: RayCluster, tmp_path: Path
) -> None:
    work, recordings = tmp_path / "work", tmp_path / "recordings"
    for folder in (work, recordings):
        folder.mkdir()
    (recordings / "1.wav").touch()
    node = ray_cluster.add_node([*IN_ITS_OWN_MOUNTS, HIDING, str(recordings)])
    found, message = joined(ray_cluster, recordings).splitlines()
    assert json.loads(found) == [3, 3]
    prefix = f"node {node.address}, one of 3, does not see"
    assert message.startswith(f"work_folder: {prefix} {recordings}; set work_folder to")
    _, message = joined(ray_cluster, work, files=[recordings / "1.wav", recordings / "gone.wav"]).splitlines()
    assert message.startswith(f"{prefix} {recordings / '1.wav'}; put the recordings on")
    ray_cluster.kill(node)
    time.sleep(1)
    assert json.loads(joined(ray_cluster, recordings)) == [2, 2]


def test_a_node_with_another_version_is_refused(ray_cluster: RayCluster, tmp_path: Path) -> None:
    metadata = tmp_path / "packages" / "soxr-9.9.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: soxr\nVersion: 9.9\n")
    node = ray_cluster.add_node(["env", f"PYTHONPATH={metadata.parents[1]}:{ROOT}"])
    message = joined(ray_cluster, tmp_path)
    ray_cluster.kill(node)
    assert f"ray.address: node {node.address} has soxr 9.9 instead of {version('soxr')}; install" in message


def test_an_address_where_nothing_answers_is_refused_at_once(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        with (
            pytest.raises(
                UserError, match=f"ray.address={address}: nothing answers there .*ray start --head"
            ),
            connect(RayConfig(address=address), tmp_path),
        ):
            pass


def test_an_address_where_something_else_answers_is_refused_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)  # as where no sweep of our own has begun before
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with (
            pytest.raises(UserError, match=f"ray.address={address}: what answers there is no Ray"),
            connect(RayConfig(address=address, connect_seconds=3), tmp_path),
        ):
            pass
