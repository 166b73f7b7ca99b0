"""Logs the sweep state to MLflow: a parent run for the sweep, a child for each trial.

Only the sweep's driver calls MLflow, from one thread that reads what trials have written. A killed trial, node or
server loses nothing: the state has everything, a run is found again by its tags, and the driver, which knows how each
trial ended, ends its run.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from rich.markup import escape

from echopair.pipeline.config import RunConfig
from echopair.pipeline.errors import UserError
from echopair.pipeline.layers import flatten
from echopair.pipeline.progress import console
from echopair.pipeline.tracking import TrackedRun, TrackingError, tracking_uri
from echopair.pipeline.tracking.interruption import defer_interruption
from echopair.pipeline.tracking.outputs import training_series
from echopair.pipeline.tracking.runs import tagged_runs
from echopair.pipeline.tracking.store import KIND_TAG, require_answer
from echopair.tuning.schedulers import INTERMEDIATE_SCORE
from echopair.tuning.state import SweepState
from echopair.tuning.trial_folder import TrialFolder
from echopair.tuning.trials import Status, Trial

SWEEP_KIND, TRIAL_KIND = "sweep", "trial"
SWEEP_TAG, TRIAL_TAG, STATUS_TAG = "echopair.sweep", "echopair.trial", "echopair.trial_status"
ERROR_TAG = "echopair.error"
PARENT_TAG = "mlflow.parentRunId"
SCORE = "score"
PAUSE_SECONDS = 2.0
PAUSE_AFTER_FAILURE_SECONDS = 10.0

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]
RUN_STATUS: Mapping[Status, RunStatus] = {
    Status.FINISHED: "FINISHED",
    Status.STOPPED: "FINISHED",  # as intended; its tag says that it was early
    Status.DIVERGED: "FAILED",
    Status.FAILED: "FAILED",
}


class SweepTracker:
    """Keeps MLflow up to date with a state until it is closed.

    Args:
        parent: the sweep's own run, open; used by the tracker alone until it is closed.
        config_of: the config of the run that a trial is.
    """

    def __init__(
        self, state: SweepState, parent: TrackedRun, config_of: Callable[[Trial], RunConfig]
    ) -> None:
        self._state = state
        self._parent = parent
        self._config_of = config_of
        self._tracking = state.settings.run.tracking
        self._work = state.settings.run.work_folder.absolute()
        self._children: dict[int, TrackedRun] = {}
        self._has_parameters: set[int] = set()  # trials whose parameters are stored
        self._recorded: set[int] = set()  # trials whose run is ended as it should be
        self._left_running: set[int] = set()  # trials whose run may be RUNNING though it is not open here
        self._closing = threading.Event()
        self._warned = False
        self._thread = threading.Thread(target=self._log_until_closed, name="tracker", daemon=True)

    def start(self) -> None:
        """Find the runs of an earlier driver, and start the thread.

        Raises:
            TrackingError: the store is unreachable.
        """
        key = self._state.settings.key
        ended = {trial.number: trial.status for trial in self._state.trials if trial.status.ended}
        for run in tagged_runs(self._tracking, self._work, SWEEP_TAG, key):
            if TRIAL_TAG not in run.tags:
                continue
            number = int(run.tags[TRIAL_TAG])
            if run.status == "RUNNING":
                self._left_running.add(number)
            elif number in ended and run.tags.get(STATUS_TAG) == ended[number].value:
                self._recorded.add(number)
        self._thread.start()

    def close(self, patience_seconds: float) -> list[int]:
        """Send the last metrics and end every run, those of trials that did not end as KILLED.

        Args:
            patience_seconds: how long to wait for a store that does not answer.

        Returns:
            Numbers of trials that could not be logged; a resumed sweep logs them.
        """
        self._closing.set()
        until = time.monotonic() + patience_seconds
        while True:
            try:
                with defer_interruption():  # runs that can be ended are not left RUNNING
                    self._thread.join()
                    self._log(final=True)
                return []
            except TrackingError as error:
                if time.monotonic() > until or not self._due:
                    return self._due
                self._warn(error)
                time.sleep(PAUSE_SECONDS)

    @property
    def _due(self) -> list[int]:
        begun = self._children.keys() | self._left_running
        return [
            trial.number
            for trial in self._state.trials
            if trial.number not in self._recorded and (trial.status.ended or trial.number in begun)
        ]

    def _log_until_closed(self) -> None:
        while not self._closing.is_set():
            pause = PAUSE_SECONDS
            try:
                self._log(final=False)
                self._warned = False
            except TrackingError as error:
                self._warn(error)
                pause = PAUSE_AFTER_FAILURE_SECONDS
            self._closing.wait(pause)

    def _warn(self, error: TrackingError) -> None:
        if not self._warned:
            console.print(f"[yellow]{escape(str(error))}[/]; the sweep continues, its metrics are sent later")
        self._warned = True

    def _log(self, *, final: bool) -> None:
        self._require_answer()
        failure: TrackingError | None = None
        for trial in self._state.trials:
            if trial.number in self._recorded:
                continue
            try:
                if trial.status == Status.RUNNING or trial.status.ended:
                    self._log_trial(trial)
                if final and not trial.status.ended:
                    self._end_killed(trial)
            except TrackingError as error:
                # Somebody may have deleted its run: it is looked for again, and the others are logged.
                if self._children.pop(trial.number, None) is not None:
                    self._left_running.add(trial.number)
                self._require_answer()
                failure = error
        self._log_progress()
        if failure is not None:
            raise failure

    def _require_answer(self) -> None:
        """Raise within seconds if the store does not answer; sending would wait for it much longer."""
        require_answer(tracking_uri(self._tracking, self._work), self._tracking.connect_seconds)

    def _log_trial(self, trial: Trial) -> None:
        child = self._child(trial)
        # In a population values change in the course of a training, and are known at its end alone.
        are_final = trial.status.ended or self._state.settings.sweep.scheduler.name != "pbt"
        if are_final and trial.number not in self._has_parameters:
            child.log_parameters(self._parameters(trial))
            self._has_parameters.add(trial.number)
        scores = [{INTERMEDIATE_SCORE: one.score, "step": one.step} for one in trial.intermediate_scores]
        rows = TrialFolder(self._state.folder, trial.number).metrics()
        child.send_series([*training_series(rows), *scores])
        if trial.status.ended:
            self._end(child, trial)

    def _parameters(self, trial: Trial) -> dict[str, Any]:
        try:
            config = self._config_of(trial)
        except UserError:  # incompatible values, with which the trial failed
            return trial.current
        # The run's name differs between trials as swept values do, and would be an axis of the UI's charts.
        values = config.model_dump(mode="json", exclude={"run_name"})
        return {**dict(flatten(values)), **trial.current}

    def _child(self, trial: Trial) -> TrackedRun:
        if trial.number not in self._children:
            self._children[trial.number] = child_of(self._state, self._parent, trial)
            self._has_parameters.discard(trial.number)
        return self._children[trial.number]

    def _end(self, child: TrackedRun, trial: Trial) -> None:
        figures: dict[str, float] = {"seconds": trial.seconds, "attempts": trial.attempts}
        if trial.score is not None:
            figures[SCORE] = trial.score
        child.log_metrics(figures)
        tags = {STATUS_TAG: trial.status.value}
        if trial.error or trial.attempts > 1:  # an earlier attempt's error is replaced
            tags[ERROR_TAG] = trial.error
        child.log_tags(tags)
        child.end(RUN_STATUS[trial.status])
        self._recorded.add(trial.number)
        self._forget(trial)

    def _end_killed(self, trial: Trial) -> None:
        if trial.number in self._children or trial.number in self._left_running:
            self._child(trial).end("KILLED")
            self._forget(trial)

    def _forget(self, trial: Trial) -> None:
        del self._children[trial.number]
        self._left_running.discard(trial.number)

    def _log_progress(self) -> None:
        """The best score over the number of trials that ended."""
        if (best := self._state.best) is not None:
            ended = sum(trial.status.ended for trial in self._state.trials)
            self._parent.send_series([{"step": ended, "best_score": best.score}])


def open_parent(state: SweepState) -> TrackedRun:
    """The sweep's own run, found again or made.

    Raises:
        TrackingError: the store is unreachable.
    """
    settings = state.settings
    return TrackedRun.open(
        settings.run.tracking,
        settings.run.work_folder.absolute(),
        settings.key,
        settings.sweep.sweep_name,
        {KIND_TAG: SWEEP_KIND, SWEEP_TAG: settings.key},
    )


def child_of(state: SweepState, parent: TrackedRun, trial: Trial) -> TrackedRun:
    """A trial's own run, found again or made.

    Raises:
        TrackingError: the store is unreachable.
    """
    settings = state.settings
    return parent.beside(
        f"{settings.key}-{trial.number:05d}",
        f"{settings.sweep.sweep_name} {trial.number}",
        {
            PARENT_TAG: parent.run_id,
            KIND_TAG: TRIAL_KIND,
            SWEEP_TAG: settings.key,
            TRIAL_TAG: str(trial.number),
        },
    )
