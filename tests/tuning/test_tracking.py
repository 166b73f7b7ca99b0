"""Against a real SQLite store, and a real MLflow server that is killed."""

import json
import multiprocessing
import os
import random
import signal
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from echopair.pipeline.config import RunConfig
from echopair.pipeline.errors import UserError
from echopair.pipeline.tracking import TrackedRun, TrackingConfig, TrackingError, list_runs
from echopair.pipeline.tracking.client import load_mlflow
from echopair.pipeline.tracking.runs import RunSummary, tagged_runs
from echopair.pipeline.tracking.server import start_server, wait_until_ready
from echopair.tuning import tracking as tracking_module
from echopair.tuning.config import SweepSettings
from echopair.tuning.state import SweepState
from echopair.tuning.tracking import (
    STATUS_TAG,
    SWEEP_TAG,
    TRIAL_TAG,
    SweepTracker,
    child_of,
    open_parent,
)
from echopair.tuning.trial_folder import TrialFolder
from echopair.tuning.trials import Status, Trial
from tests.tuning.states import MILESTONES, made_up, make_state, small_settings

ROWS = 4  # of a training's metrics


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One work folder for all tests, since making MLflow's tables takes seconds."""
    return tmp_path_factory.mktemp("tracker")


def begin(work: Path, name: str, *trials: Trial, overrides: tuple[str, ...] = ()) -> SweepState:
    settings = small_settings(work, f"sweep.sweep_name={name}", *overrides)
    return make_state(work / "sweeps" / name, settings, *trials)


def tracker_of(state: SweepState, parent: TrackedRun | None = None) -> SweepTracker:
    def config_of(trial: Trial) -> RunConfig:
        if trial.values.get("objective.temperature") == "refused":
            raise UserError("its values do not go together")
        return state.settings.run

    return SweepTracker(state, parent or open_parent(state), config_of)


def train(state: SweepState, number: int, rows: int = ROWS) -> None:
    """What a trial leaves of its training's metrics."""
    folder = TrialFolder(state.folder, number).path / "encoders" / "training"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"step": 5 * row, "loss": 6.0 - row}) + "\n" for row in range(rows)]
    (folder / "metrics.jsonl").write_text("".join(lines))


def record(state: SweepState) -> list[int]:
    tracker = tracker_of(state)
    tracker.start()
    return tracker.close(patience_seconds=0)


def stored(settings: SweepSettings) -> dict[int, RunSummary]:
    """Runs of trials in the store, each of which must have one."""
    runs = [
        run
        for run in tagged_runs(settings.run.tracking, settings.run.work_folder, SWEEP_TAG, settings.key)
        if TRIAL_TAG in run.tags
    ]
    by_number = {int(run.tags[TRIAL_TAG]): run for run in runs}
    assert len(by_number) == len(runs)
    return dict(sorted(by_number.items()))


def series(run_id: str, key: str, tracking_uri: str) -> list[tuple[int, float]]:
    client = load_mlflow().MlflowClient(tracking_uri=tracking_uri)
    return sorted((point.step, point.value) for point in client.get_metric_history(run_id, key))


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_every_trial_has_one_run_that_tells_how_it_ended(work: Path) -> None:
    state = begin(
        work,
        "all",
        made_up(0, Status.FINISHED, 0.5, seconds=12.5),
        made_up(1, Status.STOPPED),
        made_up(2, Status.DIVERGED, 0.0, error="the loss was not finite"),
        made_up(3, Status.FAILED, error="it crashed [3] times\n" * 2000),
        made_up(4, Status.RUNNING),
        made_up(5, Status.WAITING, attempts=0),
    )
    for number in range(4):
        train(state, number)
    train(state, 4, rows=2)
    parent = open_parent(state)
    tracker = tracker_of(state, parent)
    tracker.start()
    wait_for(lambda: stored(state.settings).get(4) is not None)
    state.change(4, status=Status.WAITING)  # interrupted
    assert tracker.close(patience_seconds=0) == []

    runs = stored(state.settings)
    assert {number: run.status for number, run in runs.items()} == {
        0: "FINISHED",
        1: "FINISHED",
        2: "FAILED",
        3: "FAILED",
        4: "KILLED",
    }
    assert [runs[number].tags.get(STATUS_TAG) for number in runs] == [
        "finished",
        "stopped",
        "diverged",
        "failed",
        None,
    ]
    assert {run.tags["mlflow.parentRunId"] for run in runs.values()} == {parent.run_id}
    assert {run.tags["echopair.kind"] for run in runs.values()} == {"trial"}
    assert [run.name for run in runs.values()] == [f"all {number}" for number in range(5)]
    assert runs[2].tags["echopair.error"] == "the loss was not finite"
    assert runs[3].tags["echopair.error"].startswith("it crashed [3] times")
    assert "echopair.error" not in runs[0].tags
    # The swept value, and all others that it was run with.
    assert [run.parameters["objective.temperature"] for run in runs.values()] == [
        str(0.1 + number / 100) for number in range(5)
    ]
    assert runs[0].parameters["encoder.name"] == "resnet"
    assert runs[0].metrics["score"] == 0.5
    assert (runs[0].metrics["seconds"], runs[0].metrics["attempts"]) == (12.5, 1)
    assert runs[2].metrics["score"] == 0
    assert "score" not in runs[1].metrics
    uri = f"sqlite:///{work}/mlflow.db"
    assert series(runs[1].run_id, "intermediate_score", uri) == [(10, 0.1), (20, 0.2), (30, 0.3)]
    assert series(runs[0].run_id, "pretrain/loss", uri) == [(0, 6), (5, 5), (10, 4), (15, 3)]
    assert series(runs[4].run_id, "pretrain/loss", uri) == [(0, 6), (5, 5)]
    assert series(parent.run_id, "best_score", uri) == [(4, 0.5)]
    # Neither the sweep nor its trials are runs of the pipeline, which tables compare.
    assert list_runs(TrackingConfig(), work) == []

    # It is continued.
    state.change(4, status=Status.FINISHED, score=0.75, attempts=2)
    train(state, 4)
    assert record(state) == []
    again = stored(state.settings)
    assert {number: run.run_id for number, run in again.items()} == {
        number: run.run_id for number, run in runs.items()
    }
    assert (again[4].status, again[4].tags[STATUS_TAG]) == ("FINISHED", "finished")
    assert series(again[4].run_id, "pretrain/loss", uri) == [(0, 6), (5, 5), (10, 4), (15, 3)]
    assert series(parent.run_id, "best_score", uri) == [(4, 0.5), (5, 0.75)]

    parent.end("FINISHED")
    [summary] = tagged_runs(TrackingConfig(), work, "echopair.run", state.settings.key)
    assert (summary.status, summary.name, summary.tags["echopair.kind"]) == ("FINISHED", "all", "sweep")


def test_what_is_recorded_is_not_sent_again(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = begin(work, "twice", made_up(0, Status.FINISHED, 0.5), made_up(1, Status.STOPPED))
    assert record(state) == []
    state.propose(made_up(2, Status.FINISHED, 0.6))
    opened: list[str] = []
    beside = TrackedRun.beside

    def counting(self, key, name, tags):  # type: ignore[no-untyped-def]
        opened.append(name)
        return beside(self, key, name, tags)

    monkeypatch.setattr(TrackedRun, "beside", counting)
    assert record(state) == []
    assert opened == ["twice 2"]
    assert list(stored(state.settings)) == [0, 1, 2]


def test_a_trial_that_is_done_again_is_recorded_again(work: Path) -> None:
    state = begin(
        work, "again", made_up(0, Status.FAILED, error="it crashed"), made_up(1, Status.FINISHED, 0.5)
    )
    assert record(state) == []
    first = stored(state.settings)
    (state.folder / "trials" / "00000.json").unlink()  # by hand
    state = SweepState.open(state.folder)
    state.propose(made_up(0, Status.FINISHED, 0.7))
    assert record(state) == []
    runs = stored(state.settings)
    assert runs[0].run_id == first[0].run_id
    assert (runs[0].status, runs[0].tags[STATUS_TAG], runs[0].metrics["score"]) == (
        "FINISHED",
        "finished",
        0.7,
    )


def test_runs_that_a_killed_driver_left_running_are_ended(work: Path) -> None:
    waiting, ended = made_up(0, Status.WAITING), made_up(1, Status.FINISHED, 0.5)
    state = begin(work, "left", waiting, ended)
    left = [child_of(state, open_parent(state), trial).run_id for trial in (waiting, ended)]
    assert {run.status for run in stored(state.settings).values()} == {"RUNNING"}
    assert record(state) == []
    runs = stored(state.settings)
    assert [run.run_id for run in runs.values()] == left
    assert [run.status for run in runs.values()] == ["KILLED", "FINISHED"]


def test_values_that_no_run_can_have_are_recorded_nonetheless(work: Path) -> None:
    refused = made_up(
        0,
        Status.FAILED,
        values={"objective.temperature": "refused"},
        intermediate_scores=(),
        error="it cannot be",
    )
    state = begin(work, "refused", refused, made_up(1, Status.FINISHED, 0.5))
    assert record(state) == []
    runs = stored(state.settings)
    assert runs[0].parameters == {"objective.temperature": "refused"}
    assert [run.status for run in runs.values()] == ["FAILED", "FINISHED"]


def test_a_population_s_values_are_known_when_a_trial_ends(work: Path) -> None:
    def lineage(temperature: float) -> tuple[dict[str, object], ...]:
        return (
            {"step": 0, "values": {"objective.temperature": 0.1}},
            {"step": 10, "values": {"objective.temperature": temperature}},
        )

    state = begin(
        work,
        "population",
        made_up(0, Status.RUNNING, lineage=lineage(0.2)),
        overrides=("sweep.scheduler.name=pbt",),
    )
    tracker = tracker_of(state)
    tracker.start()
    wait_for(lambda: 0 in stored(state.settings))
    assert stored(state.settings)[0].parameters == {}
    state.change(0, status=Status.FINISHED, score=0.5, lineage=lineage(0.3))
    assert tracker.close(patience_seconds=0) == []
    assert stored(state.settings)[0].parameters["objective.temperature"] == "0.3"


def test_a_run_that_somebody_deleted_holds_up_nothing(work: Path) -> None:
    state = begin(work, "deleted", made_up(0, Status.RUNNING), made_up(1, Status.RUNNING))
    tracker = tracker_of(state)
    tracker.start()
    wait_for(lambda: len(stored(state.settings)) == 2)
    client = load_mlflow().MlflowClient(tracking_uri=f"sqlite:///{work}/mlflow.db")
    client.delete_run(stored(state.settings)[0].run_id)
    for number in range(2):
        state.change(number, status=Status.FINISHED, score=0.5)
    assert tracker.close(patience_seconds=10) == []
    assert [run.status for run in stored(state.settings).values()] == ["FINISHED", "FINISHED"]


def test_a_store_that_stays_away_is_given_up_and_brought_up_to_date_later(work: Path) -> None:
    state = begin(
        work,
        "away",
        made_up(0, Status.FINISHED, 0.5),
        made_up(1, Status.RUNNING),
        overrides=("tracking.connect_seconds=0.2",),
    )
    parent = open_parent(state)
    tracker = tracker_of(state, parent)
    tracker.start()
    uri = f"sqlite:///{work}/mlflow.db"
    wait_for(lambda: series(parent.run_id, "best_score", uri) != [])  # it rests
    locked = sqlite3.connect(work / "mlflow.db", isolation_level=None)
    locked.execute("BEGIN EXCLUSIVE")
    try:
        state.change(1, status=Status.FINISHED, score=0.6)
        state.propose(made_up(2, Status.STOPPED))
        train(state, 2)
        state.propose(made_up(3, Status.WAITING, attempts=0))
        started = time.monotonic()
        assert tracker.close(patience_seconds=1) == [1, 2]
        assert 1 < time.monotonic() - started < 10
        with pytest.raises(TrackingError, match=r"mlflow\.db cannot be used"):
            tracker_of(state, parent).start()
    finally:
        locked.execute("ROLLBACK")
        locked.close()
    assert record(state) == []
    runs = stored(state.settings)
    assert [run.status for run in runs.values()] == ["FINISHED"] * 3
    assert len(series(runs[2].run_id, "pretrain/loss", uri)) == ROWS


def drive(folder: Path) -> None:
    """A driver that goes through the trials of a sweep until it is killed."""
    tracking_module.PAUSE_SECONDS = 0.01  # so that it is killed at work, and not asleep
    state = SweepState.open(folder)
    tracker = tracker_of(state)
    with state.exclusive():
        tracker.start()
        for number in range(100):
            known = {trial.number: trial for trial in state.trials}
            if number not in known:
                state.propose(made_up(number, Status.WAITING, attempts=0))
            elif known[number].status.ended:
                continue
            state.change(number, status=Status.RUNNING, attempts=state[number].attempts + 1)
            for rows in range(1, ROWS + 1):
                train(state, number, rows)
                time.sleep(0.02)
            finished = made_up(number, Status.FINISHED, number / 10)
            state.change(
                number,
                status=finished.status,
                score=finished.score,
                intermediate_scores=finished.intermediate_scores,
            )


def test_killed_drivers_leave_one_run_a_trial_and_none_running(work: Path) -> None:
    state = begin(work, "killed")
    parent = open_parent(state)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["mlflow.pyfunc", "tests.tuning.test_tracking"])
    chance = random.Random(1)
    for number in (0, 2, 4):
        driver = processes.Process(target=drive, args=(state.folder,))
        driver.start()
        wait_for((state.folder / "trials" / f"{number:05d}.json").is_file)
        time.sleep(chance.uniform(0, 0.4))
        assert driver.pid is not None
        os.kill(driver.pid, signal.SIGKILL)
        driver.join()
        assert driver.exitcode == -signal.SIGKILL

    state = SweepState.open(state.folder)
    running = [trial.number for trial in state.trials if trial.status == Status.RUNNING]
    for number in running:
        state.change(number, status=Status.WAITING)
    assert record(state) == []
    after = stored(state.settings)
    ended = {trial.number for trial in state.trials if trial.status.ended}
    assert len(ended) >= 4
    assert {number for number, run in after.items() if run.status == "FINISHED"} == ended
    assert {run.status for number, run in after.items() if number not in ended} <= {"KILLED"}
    for number in ended:
        uri = f"sqlite:///{work}/mlflow.db"
        assert len(series(after[number].run_id, "pretrain/loss", uri)) == ROWS
        assert len(series(after[number].run_id, "intermediate_score", uri)) == MILESTONES
    again = open_parent(state)
    assert again.run_id == parent.run_id
    again.end("KILLED")


def test_a_server_that_is_killed_and_comes_back_has_everything(work: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    server = start_server(TrackingConfig(), work, port)
    try:
        uri = wait_until_ready(server, work, port)
        state = begin(
            work,
            "server",
            made_up(0, Status.FINISHED, 0.5),
            made_up(1, Status.RUNNING),
            overrides=(f"tracking.uri={uri}", "tracking.experiment=server", "tracking.connect_seconds=2"),
        )
        train(state, 1, rows=2)
        parent = open_parent(state)
        tracker = tracker_of(state, parent)
        tracker.start()
        wait_for(lambda: stored(state.settings).keys() == {0, 1})

        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        train(state, 1)
        state.change(1, status=Status.FINISHED, score=0.6)
        state.propose(made_up(2, Status.STOPPED))
        state.propose(made_up(3, Status.RUNNING))
        time.sleep(3)  # the tracker tries, and does not give up
        server = start_server(TrackingConfig(), work, port)
        wait_until_ready(server, work, port)
        state.change(3, status=Status.WAITING)
        assert tracker.close(patience_seconds=30) == []
        parent.end("KILLED")

        runs = stored(state.settings)
        statuses = {number: run.status for number, run in runs.items()}
        assert statuses.pop(3, "KILLED") == "KILLED"  # if it was seen before it was interrupted
        assert statuses == {0: "FINISHED", 1: "FINISHED", 2: "FINISHED"}
        assert series(runs[1].run_id, "pretrain/loss", uri) == [(0, 6), (5, 5), (10, 4), (15, 3)]
        assert series(parent.run_id, "best_score", uri)[-1] == (3, 0.6)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
