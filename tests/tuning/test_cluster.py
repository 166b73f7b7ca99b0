import json
import mmap
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.errors import UserError
from tests.tuning.conftest import RayCluster
from tuning.cluster import (
    LOCAL_ENVIRONMENT,
    LOGS_FOLDER,
    OUTGROWN_STATUS,
    SESSION_VARIABLE,
    TUNE_ENVIRONMENT,
    Available,
    Node,
    RayConfig,
    Resources,
    ResourcesConfig,
    ray_session,
    resolve_resources,
)

pytestmark = pytest.mark.nodes

ROOT = Path(__file__).parents[2]
GB = 10**9
LAPTOP = Available((Node(4, 0, 10 * GB),))
SERVER = Available((Node(16, 4, 100 * GB),))
UNEQUAL = Available((Node(8, 2, 100 * GB), Node(2, 1, 10 * GB)))

# Resources


@pytest.mark.parametrize(
    ("available", "wants_gpu", "asked", "expected"),
    [
        (LAPTOP, False, {}, Resources(1, 0, 4, 2 * GB)),
        (LAPTOP, False, {"trials_at_once": 2}, Resources(2, 0, 2, 4 * GB)),
        (LAPTOP, False, {"trials_at_once": 3}, Resources(1, 0, 3, 8 * GB // 3)),
        (LAPTOP, False, {"cpus_per_trial": 3}, Resources(3, 0, 1, 8 * GB)),
        (LAPTOP, False, {"memory_gb_per_trial": 4}, Resources(1, 0, 2, 4 * GB)),
        (SERVER, True, {}, Resources(4, 1, 4, 20 * GB)),
        (SERVER, True, {"trials_at_once": 1}, Resources(16, 1, 1, 80 * GB)),
        (SERVER, True, {"gpus_per_trial": 0.5}, Resources(2, 0.5, 8, 10 * GB)),
        (SERVER, True, {"gpus_per_trial": 0.3}, Resources(1, 0.3, 12, int(80 * GB / 12))),
        (SERVER, True, {"gpus_per_trial": 2}, Resources(8, 2, 2, 40 * GB)),
        (SERVER, True, {"gpus_per_trial": 0}, Resources(1, 0, 16, 5 * GB)),
        # A trial runs on one node: the small one holds a trial of 2 cores, whatever is free on the other.
        (UNEQUAL, True, {}, Resources(2, 1, 3, 8 * GB)),
    ],
)
def test_what_there_is_is_shared_out(
    available: Available, wants_gpu: bool, asked: dict[str, Any], expected: Resources
) -> None:
    assert resolve_resources(ResourcesConfig(**asked), available, wants_gpu) == expected


@pytest.mark.parametrize(
    ("available", "wants_gpu", "asked", "named"),
    [
        (LAPTOP, False, {"cpus_per_trial": 5}, "cpus_per_trial=5 .*4 CPU.*take at most 4"),
        (LAPTOP, False, {"trials_at_once": 5}, "trials_at_once=5 .*4 CPU"),
        (
            LAPTOP,
            False,
            {"trials_at_once": 2, "cpus_per_trial": 3},
            "trials_at_once=2 with 3 CPU.* can hold 1",
        ),
        (LAPTOP, False, {"gpus_per_trial": 1}, "gpus_per_trial=1 .*0 GPU"),
        (LAPTOP, True, {}, r"gpus_per_trial=1 \(the default.*pretrain.device=cpu"),
        (LAPTOP, False, {"memory_gb_per_trial": 11}, "memory_gb_per_trial=11 .*10.0 GB"),
        (
            UNEQUAL,
            True,
            {"cpus_per_trial": 8, "gpus_per_trial": 2, "trials_at_once": 2},
            "trials_at_once=2 with 8 CPU, 2 GPU each.*1 of 2 nodes .*can hold 1",
        ),
    ],
)
def test_more_than_there_is_is_refused(
    available: Available, wants_gpu: bool, asked: dict[str, Any], named: str
) -> None:
    with pytest.raises(UserError, match=f"sweep.resources.{named}"):
        resolve_resources(ResourcesConfig(**asked), available, wants_gpu)


def test_a_trial_gets_a_part_of_one_gpu_or_whole_ones() -> None:
    with pytest.raises(ValidationError, match="whole"):
        ResourcesConfig(gpus_per_trial=1.5)


@pytest.mark.parametrize("address", ["head", "ray://head:10001", "http://head:8265", "head:", ""])
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(ValidationError, match="give auto, or host:port"):
        RayConfig(address=address)


# Memory


def ended(program: str) -> "subprocess.CompletedProcess[str]":
    preamble = """
import mmap, sys, time
from tuning.cluster import _memory_bytes, limit_memory
limit = _memory_bytes() + 100 * 2**20
def exceeded(used_bytes):
    print("used", used_bytes - limit, flush=True)
"""
    return subprocess.run(
        [sys.executable, "-c", preamble + program],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )


def test_a_process_that_outgrows_its_memory_says_so_and_ends() -> None:
    done = ended("""
with limit_memory(limit, exceeded):
    taken = b"x" * (200 * 2**20)
    time.sleep(30)
""")
    assert done.returncode == OUTGROWN_STATUS
    assert 50 * 2**20 < int(done.stdout.removeprefix("used ")) < 150 * 2**20


def test_it_ends_even_if_it_cannot_say_so() -> None:
    assert (
        ended("""
with limit_memory(limit, None):
    taken = b"x" * (200 * 2**20)
    time.sleep(30)
""").returncode
        == OUTGROWN_STATUS
    )


def test_memory_maps_and_what_comes_after_the_body_do_not_count(tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    with clips.open("wb") as file:
        file.truncate(200 * 2**20)
    done = ended(f"""
with open({str(clips)!r}, "rb") as file, limit_memory(limit, exceeded):
    clips = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    assert not sum(clips[::{mmap.PAGESIZE}])
    time.sleep(1.2)
taken = b"x" * (200 * 2**20)
time.sleep(1.2)
""")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


# A session of our own

DRIVER = """
import json, os, signal, subprocess, sys, time
from pathlib import Path
from tuning.cluster import RayConfig, ray_session

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
        with ray_session(RayConfig(), folder) as available:
            import ray
            session = os.environ["ECHOPAIR_RAY_SESSION"]
            actors = [ray.remote(num_cpus=0)(work).remote() for _ in range(2)]
            time.sleep(2)
            say(session=session, nodes=len(available.nodes), cpus=available.cpus)
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

    def says(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the driver ended"
        return dict(json.loads(line))


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    folder, home = tmp_path_factory.mktemp("sweep"), tmp_path_factory.mktemp("home")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**inherited, "HOME": str(home)},
    )
    try:
        yield Driver(process, folder, home)
    finally:
        process.kill()
        process.wait()


def of_session(session: str) -> set[int]:
    """Processes that have the session in their environment."""
    mark = f"{SESSION_VARIABLE}={session}".encode()
    found = set()
    for file in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it ended
            if mark in file.read_bytes().split(b"\0"):
                found.add(int(file.parent.name))
    return found


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
    processes = of_session(ready["session"])
    elsewhere = listening_elsewhere(processes)
    asked = time.time()
    driver.process.send_signal(signal.SIGTERM)
    ended = driver.says()
    assert ready["nodes"] == 1
    assert ready["cpus"] == len(os.sched_getaffinity(0))
    assert len(processes) >= 8
    assert not elsewhere
    assert ended["interrupted"] - asked < 20
    ours = {*TUNE_ENVIRONMENT, *LOCAL_ENVIRONMENT, SESSION_VARIABLE, "RAY_AUTH_MODE"}
    assert not ours & {name for name, _ in ended["changed"]}
    assert not of_session(ready["session"])
    assert not Path(ready["session"]).exists()
    assert (driver.folder / LOGS_FOLDER / "raylet.out").is_file()
    assert not list(driver.home.iterdir())


def test_a_killed_driver_takes_all_of_its_second_session_along(driver: Driver) -> None:
    ready = driver.says()
    assert len(of_session(ready["session"])) >= 8
    driver.process.kill()
    _, errors = driver.process.communicate()
    wait_until(lambda: not of_session(ready["session"]), seconds=10)
    wait_until(lambda: not Path(ready["session"]).exists(), seconds=10)
    assert (driver.folder / LOGS_FOLDER / "raylet.out").is_file()
    assert not errors


# A cluster

JOINED = """
import json, os, sys, time
from pathlib import Path
from pipeline.errors import UserError
from tuning.cluster import RayConfig, nodes_share, ray_session

folder = Path(sys.argv[2])
config = RayConfig(address=sys.argv[1], connect_seconds=100)
try:
    with ray_session(config, folder) as available:
        print(json.dumps([available.cpus, len(available.nodes), nodes_share(folder)]))
except UserError as error:
    print(error)
"""
IN_ITS_OWN_MOUNTS = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
HIDING = 'mount -t tmpfs none "$0" && exec "$@"'
needs_mounts = pytest.mark.skipif(
    subprocess.run([*IN_ITS_OWN_MOUNTS, HIDING, "/mnt", "true"], check=False, capture_output=True).returncode
    != 0,
    reason="needs the right to mount",
)


def joined(cluster: RayCluster, folder: Path, *prefix: str, without: str | None = None) -> str:
    environment = {name: value for name, value in cluster.environment.items() if name != without}
    environment["HOME"] = str(folder)  # where no token lies
    return subprocess.run(
        [*prefix, sys.executable, "-c", JOINED, cluster.address, str(folder)],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=120,
    ).stdout


def test_a_cluster_is_joined_and_left_running(ray_cluster: RayCluster, tmp_path: Path) -> None:
    # With a token Ray needs no mode.
    assert json.loads(joined(ray_cluster, tmp_path, without="RAY_AUTH_MODE")) == [2, 2, True]
    assert not list(tmp_path.iterdir())
    assert all(node.process.poll() is None for node in ray_cluster.nodes)


def test_a_cluster_whose_token_is_not_known_is_not_joined(ray_cluster: RayCluster, tmp_path: Path) -> None:
    message = joined(ray_cluster, tmp_path, without="RAY_AUTH_TOKEN")
    assert message.startswith(f"ray.address={ray_cluster.address}: ")
    assert "RAY_AUTH_TOKEN" in message


@needs_mounts
def test_a_machine_that_is_no_node_is_told_to_become_one(ray_cluster: RayCluster, tmp_path: Path) -> None:
    message = joined(ray_cluster, tmp_path, *IN_ITS_OWN_MOUNTS, HIDING, str(ray_cluster.folder))
    assert f"ray start --address={ray_cluster.address}" in message


@needs_mounts
def test_a_node_that_sees_another_disk_is_noticed_until_it_is_lost(
    ray_cluster: RayCluster, tmp_path: Path
) -> None:
    node = ray_cluster.add_node([*IN_ITS_OWN_MOUNTS, HIDING, str(tmp_path)])
    assert json.loads(joined(ray_cluster, tmp_path)) == [3, 3, False]
    ray_cluster.kill(node)
    time.sleep(1)
    assert json.loads(joined(ray_cluster, tmp_path)) == [2, 2, True]


def test_an_address_where_nothing_answers_is_refused_at_once(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        with (
            pytest.raises(
                UserError, match=f"ray.address={address}: nothing answers there .*ray start --head"
            ),
            ray_session(RayConfig(address=address), tmp_path),
        ):
            pass


def test_an_address_where_something_else_answers_is_refused_in_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with (
            pytest.raises(UserError, match=f"ray.address={address}: what answers there is no Ray"),
            ray_session(RayConfig(address=address, connect_seconds=3), tmp_path),
        ):
            pass
