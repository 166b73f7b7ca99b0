"""A small sweep as a process that can be killed, and the check that nothing of it was lost, doubled or left behind.

It has three trials of some seconds on tones, two at once. Whatever is done to it, it must come to what the same sweep
came to undisturbed in another work folder, its oracle: bit for bit, trial by trial.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import yaml

from echopair.pipeline.tracking import TrackingConfig
from echopair.pipeline.tracking.client import load_mlflow
from echopair.pipeline.tracking.runs import RunSummary, tagged_runs
from echopair.pipeline.tracking.server import start_server, stop_server, wait_until_ready
from echopair.pipeline.tracking.store import KIND_TAG
from echopair.pipeline.training.checkpoints import ENCODER_FOLDER
from echopair.tuning.finalise import BEST_FILE
from echopair.tuning.state import SETTINGS_FILE, SWEEPS_FOLDER
from echopair.tuning.sweep import RAY_FOLDER
from echopair.tuning.tracking import PARENT_TAG, RUN_STATUS, STATUS_TAG, SWEEP_KIND, SWEEP_TAG, TRIAL_TAG
from echopair.tuning.trial_folder import TrialFolder
from echopair.tuning.trials import Status, Trial
from tests.pipeline.tracking.test_tracked_run import free_port
from tests.processes import Started, start_echopair
from tests.ray_nodes import RayCluster, RayNode, descendants, processes_with

TRIALS, MILESTONES, AT_ONCE = 3, 3, 2
SETTINGS = (
    f"sweep.search={{name: random, trials: {TRIALS}}}",
    "sweep.scheduler.name=fifo",
    f"sweep.milestones={MILESTONES}",
    f"sweep.resources.trials_at_once={AT_ONCE}",
    "pretrain.steps=45",
)
# A sweep takes half a minute on a quiet machine; these are for one on which ten others run.
SWEEP_SECONDS = 1200.0
INTERRUPTED_SECONDS = 60.0  # on a quiet machine it takes 5
TRIAL_TITLE = "ray::ImplicitFunc"  # as Ray calls the process of a function that is tuned
LEFT_SECONDS = 30.0  # in which what a killed driver leaves is swept up
LOOK_AGAIN_SECONDS = 0.05


class Violation(AssertionError):  # noqa: N818  (what was found)
    """The sweep did not do what it must, or too late."""


def must(condition: object, message: object) -> None:
    """Raise Violation unless a condition holds; also where `assert` would be left out."""
    if not condition:
        raise Violation(message)


def wait_for(what: str, condition: Callable[[], bool], seconds: float) -> None:
    """Wait until a condition holds.

    Args:
        what: is waited for, as the message says it.
        condition: asked again and again.
        seconds: after which it is a Violation.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        must(time.monotonic() < deadline, f"waited {seconds:g} s for {what}")
        time.sleep(LOOK_AGAIN_SECONDS)


@dataclass
class SmallSweep:
    """One sweep in a work folder of its own, however often it is begun.

    Args:
        file: of the run that is swept.
        folder: gets the work folder and what the processes write.
        overrides: beside those of every small sweep.
        environment: of its processes, beside this one's.
        store: address of the tracking store's database; by default the work folder's.
        processes: drivers, in the order of their beginnings.
        cluster: on which it runs, once it does.
    """

    file: Path
    folder: Path
    overrides: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    store: str | None = None
    processes: list[Started] = field(default_factory=list)
    cluster: RayCluster | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        # Not below the folder: paths of Ray's sockets are at most 107 bytes long.
        self.temporary = Path(tempfile.mkdtemp(prefix="k-", dir="/tmp"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.processes:
            with suppress(ProcessLookupError):
                one.kill()
            one.wait(LEFT_SECONDS)
        for process in self.alive:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        shutil.rmtree(self.temporary, ignore_errors=True)

    @property
    def work(self) -> Path:
        """The work folder."""
        return self.folder / "work"

    @property
    def lies_in(self) -> Path | None:
        """The sweep's own folder; None before there is one."""
        return next((self.work / SWEEPS_FOLDER).glob("*"), None)

    @property
    def alive(self) -> list[int]:
        """Processes of the sweep: its driver, all that came of it on this machine, and its trials on a cluster."""
        nodes = self.cluster.nodes if self.cluster is not None else []
        drivers = [one.pid for one in self.processes if not one.ended]
        return drivers + processes_with(f"TMPDIR={self.temporary}") + _trials_on(nodes)

    def begin(self, *overrides: str) -> Started:
        """`echopair sweep my.yaml ...`: the first time, or once more."""
        settings = (f"work_folder={self.work}", *SETTINGS, *self.overrides, *overrides)
        return self._start(str(self.file), *settings)

    def begin_on(self, cluster: RayCluster, *overrides: str) -> Started:
        """The same on the nodes of a cluster."""
        self.cluster = cluster
        self.environment |= cluster.environment
        return self.begin(f"ray.address={cluster.address}", *overrides)

    def resume(self) -> Started:
        """`echopair sweep --resume FOLDER`; the first command again if it was killed before there was a folder."""
        folder = self.lies_in
        if folder is None or not (folder / SETTINGS_FILE).is_file():
            return self.begin()
        return self._start("--resume", str(folder))

    def _start(self, *arguments: str) -> Started:
        environment = {**os.environ, **self.environment, "TMPDIR": str(self.temporary)}
        self.processes.append(start_echopair(self.folder, "sweep", *arguments, environment=environment))
        return self.processes[-1]

    # What its state tells

    @property
    def trials(self) -> dict[int, Trial]:
        """Trials by number, as the state has them now."""
        folder = self.lies_in
        files = sorted(folder.glob("trials/*.json")) if folder is not None else []
        return {int(file.stem): Trial.model_validate_json(file.read_text()) for file in files}

    @property
    def score_count(self) -> int:
        """How many intermediate scores the state has, of all trials together."""
        return sum(len(trial.intermediate_scores) for trial in self.trials.values())

    @property
    def all_ended(self) -> bool:
        """Whether no trial is left to be tried."""
        return sum(trial.status.ended for trial in self.trials.values()) == TRIALS

    @property
    def is_through(self) -> bool:
        """Whether all that it writes lies there."""
        folder = self.lies_in
        return self.all_ended and folder is not None and (folder / "report.html").is_file()

    def process_of(self, number: int) -> int | None:
        """The process that trains a trial's encoder, known by the training that it holds."""
        folder = self.lies_in
        locks = TrialFolder(folder, number).path / "encoders" if folder is not None else self.folder
        for process in self.alive:
            with suppress(OSError):  # it ended
                title = Path(f"/proc/{process}/cmdline").read_bytes()
                links = Path(f"/proc/{process}/fd").iterdir()
                if title.startswith(b"ray::") and any(_leads_below(link, locks) for link in links):
                    return process
        return None

    def encoder(self, number: int) -> Path:
        """The weights that a trial ended with."""
        assert self.lies_in is not None
        (training,) = TrialFolder(self.lies_in, number).trainings
        return training / ENCODER_FOLDER / "encoder.safetensors"

    # What MLflow has

    @property
    def tracking(self) -> TrackingConfig:
        """Of the database itself, whichever way the sweep takes to it."""
        return TrackingConfig(uri=self.store)

    @property
    def key(self) -> str:
        """The sweep's key; empty before it has one."""
        folder = self.lies_in
        file = folder / SETTINGS_FILE if folder is not None else None
        return str(yaml.safe_load(file.read_text())["key"]) if file is not None and file.is_file() else ""

    @property
    def runs(self) -> list[RunSummary]:
        """The sweep's runs: its own and its trials'."""
        return tagged_runs(self.tracking, self.work, SWEEP_TAG, self.key)

    def series(self, run: RunSummary, key: str) -> list[tuple[int, float]]:
        """Points of a run's series, in the order of their steps."""
        client = load_mlflow().MlflowClient(tracking_uri=self.store or f"sqlite:///{self.work}/mlflow.db")
        return sorted((point.step, point.value) for point in client.get_metric_history(run.run_id, key))


def _leads_below(link: Path, folder: Path) -> bool:
    with suppress(OSError):
        return link.readlink().parent == folder
    return False


@dataclass
class Oracle:
    """What an undisturbed sweep came to.

    Args:
        sweep: that ended.
        moments: seconds from its start to the first trial, to the end of the last one, and to its own end.
    """

    sweep: SmallSweep
    moments: tuple[float, float, float]

    @cached_property
    def trials(self) -> dict[int, Trial]:
        """Of the state."""
        return self.sweep.trials

    @cached_property
    def losses(self) -> dict[int, list[tuple[int, float]]]:
        """Of each trial, as MLflow has them."""
        return {
            number: self.sweep.series(run, "pretrain/loss") for number, run in children(self.sweep).items()
        }

    @classmethod
    def of(cls, sweep: SmallSweep) -> Self:
        """Let a sweep run undisturbed."""
        process = sweep.begin()

        def reached(what: str, condition: Callable[[], bool]) -> float:
            wait_for(what, lambda: condition() or process.ended, SWEEP_SECONDS)
            return time.monotonic() - process.began

        begun = reached("the first trial", lambda: bool(sweep.trials))
        tried = reached("the last trial's end", lambda: sweep.all_ended)
        must(process.wait() == 0, f"the undisturbed sweep failed: {process.said}")
        oracle = cls(sweep, (begun, tried, time.monotonic() - process.began))
        assert_whole(sweep, oracle)
        scores = {trial.score for trial in oracle.trials.values()}
        must(len(scores) > 1, f"all trials score {scores}: nothing could be told apart")
        return oracle


def kill_trial(sweep: SmallSweep, number: int, after_scores: int) -> None:
    """Kill the process that trains a trial's encoder, once it has some scores, and wait until it is gone."""

    def ready() -> bool:
        trial = sweep.trials.get(number)
        must(trial is None or not trial.status.ended, f"trial {number} ended before it could be killed")
        return (
            trial is not None
            and len(trial.intermediate_scores) >= after_scores
            and sweep.process_of(number) is not None
        )

    wait_for(f"score {after_scores} of trial {number}", ready, SWEEP_SECONDS)
    process = sweep.process_of(number)
    must(process is not None, f"trial {number} was through before it could be killed")
    assert process is not None
    os.kill(process, signal.SIGKILL)
    wait_for(f"the end of the process of trial {number}", lambda: process not in sweep.alive, LEFT_SECONDS)


def kill_node(sweep: SmallSweep, node: RayNode) -> list[int]:
    """Kill a node on which trials are being trained, as soon as one is; returns the numbers of those."""
    assert sweep.cluster is not None
    caught: list[int] = []

    def ready() -> bool:
        there = descendants(node.process.pid)
        caught[:] = [number for number in range(TRIALS) if sweep.process_of(number) in there]
        return bool(caught) or sweep.all_ended

    wait_for("a trial on the node", ready, SWEEP_SECONDS)
    sweep.cluster.kill(node)
    wait_for("the end of the trials on the node", lambda: not _trials_on([node]), LEFT_SECONDS)
    return caught


def _trials_on(nodes: Iterable[RayNode]) -> list[int]:
    below = [process for node in nodes for process in descendants(node.process.pid)]
    return [process for process in below if _title(process).startswith(TRIAL_TITLE)]


def children(sweep: SmallSweep) -> dict[int, RunSummary]:
    """Runs of trials in MLflow, by number; two of one trial are a Violation."""
    runs = [run for run in sweep.runs if TRIAL_TAG in run.tags]
    by_number = {int(run.tags[TRIAL_TAG]): run for run in runs}
    must(len(by_number) == len(runs), f"MLflow has {len(runs)} runs of {len(by_number)} trials")
    return by_number


def parent(sweep: SmallSweep) -> RunSummary:
    """The sweep's own run in MLflow; none, or two of them, are a Violation."""
    runs = [run for run in sweep.runs if run.tags.get(KIND_TAG) == SWEEP_KIND]
    must(len(runs) == 1, f"MLflow has {len(runs)} runs of one sweep")
    return runs[0]


def assert_whole(sweep: SmallSweep, oracle: Oracle, failed: Collection[int] = ()) -> None:
    """Check that a sweep which is through came to the same as its oracle, and that nothing of it is left over.

    Args:
        sweep: whose last process has ended.
        oracle: of the same settings.
        failed: trials that were killed too often.
    """
    _assert_same_trials(sweep, oracle, failed)
    _assert_recorded(sweep, oracle, failed)
    _assert_concluded(sweep, oracle, failed)
    assert_nothing_left(sweep)
    work = sweep.work
    begun = [*work.rglob("*.partial"), *work.rglob("*.new"), *work.rglob("encoders/*/checkpoints")]
    must(failed or not begun, f"work was begun and not ended, or not cleared away: {begun}")


def assert_nothing_left(sweep: SmallSweep) -> None:
    """Check that no process of a sweep is alive, and that Ray left no folder."""

    def left() -> list[str]:
        return [_title(process) for process in sweep.alive] + [
            str(path) for path in sweep.temporary.glob("ray*")
        ]

    try:
        wait_for("the end of all processes of the sweep", lambda: not left(), LEFT_SECONDS)
    except Violation as error:
        raise Violation(f"{error}; left: {left()}") from None


def _title(process: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:200]
    return str(process)


def _assert_same_trials(sweep: SmallSweep, oracle: Oracle, failed: Collection[int]) -> None:
    trials = sweep.trials
    must(list(trials) == list(range(TRIALS)), f"the state has trials {list(trials)}")
    for number, trial in trials.items():
        expected = oracle.trials[number]
        must(
            trial.values == expected.values,
            f"trial {number} was proposed {trial.values}, not {expected.values}",
        )
        if number in failed:
            must(trial.status == Status.FAILED, f"trial {number} is {trial.status}")
            must(
                trial.score is None and trial.error,
                f"trial {number} failed with {trial.score}, {trial.error!r}",
            )
            continue
        must(trial.status == expected.status, f"trial {number} is {trial.status}: {trial.error}")
        must(trial.score == expected.score, f"trial {number} scores {trial.score}, not {expected.score}")
        must(_read(trial) == _read(expected), f"trial {number} read {_read(trial)}, not {_read(expected)}")
        encoders = [one.encoder(number).read_bytes() for one in (sweep, oracle.sweep)]
        must(encoders[0] == encoders[1], f"the encoder of trial {number} has other weights")


def _read(trial: Trial) -> list[tuple[int, int, float]]:
    return [(one.milestone, one.step, one.score) for one in trial.intermediate_scores]


def _assert_recorded(sweep: SmallSweep, oracle: Oracle, failed: Collection[int]) -> None:
    runs, trials = children(sweep), sweep.trials
    must(sorted(runs) == list(trials), f"MLflow has runs of the trials {sorted(runs)}")
    own = parent(sweep)
    must(own.status == "FINISHED", f"the sweep's run is {own.status}")
    best = max(trials.values(), key=lambda trial: (trial.score or 0.0, -trial.number))
    must(own.metrics["best_score"] == best.score, f"the sweep's run says {own.metrics['best_score']} is best")
    for number, run in runs.items():
        trial = trials[number]
        must(run.status == RUN_STATUS[trial.status], f"the run of trial {number} is {run.status}")
        must(run.tags.get(STATUS_TAG) == trial.status.value, f"the run of trial {number} has tags {run.tags}")
        must(run.tags[PARENT_TAG] == own.run_id, f"the run of trial {number} lies below another sweep's")
        must(run.parameters.get("objective.temperature"), f"the run of trial {number} has no parameters")
        must(run.metrics["attempts"] == trial.attempts, f"the run of trial {number} has {run.metrics}")
        read = [(one.step, one.score) for one in trial.intermediate_scores]
        must(sweep.series(run, "intermediate_score") == read, f"the run of trial {number} has other scores")
        if number in failed:
            continue
        must(run.metrics["score"] == trial.score, f"the run of trial {number} scores {run.metrics['score']}")
        losses = sweep.series(run, "pretrain/loss")
        must(losses == oracle.losses[number], f"the run of trial {number} has the losses {losses}")


def _assert_concluded(sweep: SmallSweep, oracle: Oracle, failed: Collection[int]) -> None:
    folder, expected_folder = sweep.lies_in, oracle.sweep.lies_in
    assert folder is not None
    assert expected_folder is not None
    must((folder / "report.html").is_file(), "there is no report")
    must((folder / "trials.csv").read_text().count("\n") == TRIALS + 1, "the table has other rows")
    must(not (folder / RAY_FOLDER).exists(), "Ray's own notes are left")
    best, expected = _best_run(folder), _best_run(expected_folder)
    must(failed or best == expected, f"the best run is {best}, not {expected}")
    tested = parent(sweep).metrics.get("test/tones/accuracy")
    must(tested is not None, "the best trial's accuracy on test clips is not in MLflow")
    must(
        failed or tested == parent(oracle.sweep).metrics["test/tones/accuracy"],
        f"the best trial's accuracy on test clips is {tested}",
    )


def _best_run(folder: Path) -> dict[str, Any]:
    run = yaml.safe_load((folder / BEST_FILE).read_text())
    return {key: value for key, value in run.items() if key not in ("work_folder", "tracking")}


def assert_interrupted(sweep: SmallSweep, process: Started, number: signal.Signals) -> float:
    """Check that a driver that was sent SIGINT or SIGTERM said so, and left all runs ended; returns its seconds.

    It may have been through already; and where Python starts or ends, the signal is not yet or no longer its own.
    """
    asked = time.monotonic()
    status = process.wait(INTERRUPTED_SECONDS)
    seconds = time.monotonic() - asked
    assert_nothing_left(sweep)
    complaints = process.errors.read_text()
    if status in (0, -number):
        idle = sweep.is_through or (status != 0 and not sweep.key)
        must(idle, f"exit status {status} in the midst of its work: {process.said}")
    else:
        must("Traceback" not in complaints, f"it showed its inside: {complaints}")
        must(status == 130, f"exit status {status}: {process.said}")
        must(
            "error: interrupted" in complaints.strip().splitlines()[-1],
            f"its last words: {process.said}",
        )
    if not sweep.key:
        return seconds
    for trial_number, trial in sweep.trials.items():
        must(trial.status != Status.RUNNING, f"trial {trial_number} is {trial.status} though nobody runs it")
    for run in sweep.runs:
        trial_or_none = sweep.trials.get(int(run.tags.get(TRIAL_TAG, -1)))
        if trial_or_none is not None and trial_or_none.status.ended:
            allowed = {RUN_STATUS[trial_or_none.status]}
        elif trial_or_none is not None or not sweep.is_through:
            allowed = {"KILLED"}
        else:
            allowed = {"KILLED", "FINISHED"}
        must(run.status in allowed, f"MLflow's run {run.name} is {run.status}, not {' or '.join(allowed)}")
    for trial_number, trial in sweep.trials.items():
        recorded = trial_number in children(sweep)
        must(recorded or not trial.status.ended, f"trial {trial_number} ended, and MLflow has no run of it")
    return seconds


@dataclass
class Server:
    """An MLflow server that can be killed and started again on the same store.

    Args:
        folder: gets the database.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            stop_server(self.process)

    @property
    def database(self) -> str:
        """Address of what it keeps the runs in."""
        return f"sqlite:///{self.folder}/mlflow.db"

    @property
    def override(self) -> str:
        """Lets a sweep record to it."""
        return f"tracking.uri=http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.process = start_server(TrackingConfig(), self.folder, self.port)
        wait_until_ready(self.process, self.folder, self.port, seconds=SWEEP_SECONDS)

    def kill(self) -> None:
        """As if its machine were switched off."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(LEFT_SECONDS)
        self.process = None
