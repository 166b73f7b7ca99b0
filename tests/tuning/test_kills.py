"""Sweeps as real processes that are killed in their midst; `tests/benchmarks/sweep_kills.py` does more of it."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from echopair.pipeline.tracking import TrackingConfig, check_tracking, client
from tests.pipeline.test_run import write_config
from tests.processes import Started
from tests.ray_nodes import RayCluster
from tests.tuning.sweep_process import (
    SWEEP_SECONDS,
    Oracle,
    SmallSweep,
    assert_interrupted,
    assert_nothing_left,
    assert_whole,
    kill_node,
    kill_trial,
    wait_for,
)


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    folder = tmp_path_factory.mktemp("oracle")
    with SmallSweep(write_config(folder), folder / "undisturbed") as sweep:
        yield Oracle.of(sweep)


def size_of(file: Path) -> int:
    """In bytes; 0 if it is gone."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def wait_for_scores(number: int, sweep: SmallSweep, process: Started) -> None:
    wait_for(f"score {number}", lambda: sweep.score_count >= number or process.ended, SWEEP_SECONDS)
    assert not process.ended, process.said


@pytest.mark.timeout(1200)  # a sweep three times; on a slow machine some minutes
def test_a_sweep_whose_driver_and_trial_are_killed_comes_to_the_same(oracle: Oracle, tmp_path: Path) -> None:
    with SmallSweep(oracle.sweep.file, tmp_path / "killed") as sweep:
        process = sweep.begin()
        wait_for_scores(2, sweep, process)
        process.kill(signal.SIGKILL)
        process.wait()
        assert_nothing_left(sweep)

        process = sweep.begin()  # the same command goes on
        wait_for_scores(5, sweep, process)
        process.kill(signal.SIGINT, group=True)  # as Ctrl-C does
        assert_interrupted(sweep, process, signal.SIGINT)
        assert process.status == 130

        before = {number: trial.attempts for number, trial in sweep.trials.items()}
        process = sweep.resume()
        kill_trial(sweep, 2, after_scores=1)
        assert process.wait() == 0, process.said
        assert sweep.trials[2].attempts == before.get(2, 0) + 2
        assert_whole(sweep, oracle)


@pytest.mark.nodes
def test_a_sweep_ends_on_the_nodes_that_are_left(
    oracle: Oracle, ray_cluster: RayCluster, tmp_path: Path
) -> None:
    node = ray_cluster.add_node()
    with SmallSweep(oracle.sweep.file, tmp_path / "on nodes") as sweep:
        # One on each: Ray fills its first nodes first.
        process = sweep.begin_on(ray_cluster, "sweep.resources.trials_at_once=3")
        caught = kill_node(sweep, node)
        assert process.wait() == 0, process.said
        assert [number for number, trial in sweep.trials.items() if trial.attempts > 1] == caught != []
        assert_whole(sweep, oracle)


def test_a_process_killed_while_it_makes_mlflow_s_tables_leaves_none_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = "import sys; from pathlib import Path\n"
    program += "from echopair.pipeline.tracking import TrackingConfig, check_tracking\n"
    program += "check_tracking(TrackingConfig(), Path(sys.argv[1]))"
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)]) as process:
        wait_for(
            "the beginning of the tables",
            lambda: any(size_of(file) > 200_000 for file in tmp_path.glob("mlflow.db*")),
            SWEEP_SECONDS,
        )
        assert process.poll() is None
        process.kill()
    make_tables = client._make_database.__wrapped__  # type: ignore[attr-defined]  # not a copy
    monkeypatch.setattr(client, "_make_database", make_tables)
    check_tracking(TrackingConfig(), tmp_path)
