"""Brings the state to MLflow: a parent run for the sweep, a child for each trial.

The sweep's driver alone talks to MLflow, from one thread that reads what trials have written. So a killed trial,
node or server costs nothing but time: the state is the truth, a run is found again by its tags, and each is ended by
the one process that knows how its trial ended.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.markup import escape

from echopair.pipeline.config import RunConfig, flatten
from echopair.pipeline.errors import UserError
from echopair.pipeline.progress import console
from echopair.pipeline.tracking import TrackedRun, TrackingError, tracking_uri
from echopair.pipeline.tracking.interruption import interruption_later
from echopair.pipeline.tracking.outputs import training_series
from echopair.pipeline.tracking.runs import tagged_runs
from echopair.pipeline.tracking.store import KIND_TAG, require_answer
from echopair.tuning.state import SweepState
from echopair.tuning.trial_folder import TrialFolder
from echopair.tuning.trials import Status, Trial

SWEEP_KIND, TRIAL_KIND = "sweep", "trial"
SWEEP_TAG, TRIAL_TAG, STATUS_TAG = "echopair.sweep", "echopair.trial", "echopair.trial_status"
ERROR_TAG = "echopair.error"
PARENT_TAG = "mlflow.parentRunId"
SCORE = "score"
INTERMEDIATE_SCORE = "intermediate_score"
PAUSE_SECONDS = 2.0
PAUSE_AFTER_FAILURE_SECONDS = 10.0

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]
RUN_STATUS: Mapping[Status, RunStatus] = {
    Status.FINISHED: "FINISHED",
    Status.STOPPED: "FINISHED",  # as it was meant to; its tag says that it was early
    Status.DIVERGED: "FAILED",
    Status.FAILED: "FAILED",
}


@dataclass
class _Child:
    """A trial's run, and what of it is known to be stored."""

    run: TrackedRun
    has_parameters: bool = False


class SweepTracker:
    """Keeps MLflow up to date with a state until it is closed.

    Args:
        state: of the sweep.
        parent: the sweep's own run, open; used by the tracker alone until it is closed.
        config_of: the config of the run that a trial is.
    """

    def __init__(
        self,
        state: SweepState,
        parent: TrackedRun,
        config_of: Callable[[Trial], RunConfig],
    ) -> None:
        self._state = state
        self._parent = parent
        self._config_of = config_of
        self._tracking = state.settings.run.tracking
        self._work = state.settings.run.work_folder.absolute()
        self._children: dict[int, _Child] = {}
        self._recorded: set[int] = set()  # trials whose run is ended as it should be
        self._left_running: set[int] = set()  # trials whose run may be RUNNING though it is not open here
        self._closing = threading.Event()
        self._warned = False
        self._thread = threading.Thread(target=self._keep_up, name="tracker", daemon=True)

    def start(self) -> None:
        """Find the runs of an earlier driver, and begin.

        Raises:
            TrackingError: the store is unreachable.
        """
        identity = self._state.settings.identity
        ended = {trial.number: trial.status for trial in self._state.trials if trial.status.ended}
        for run in tagged_runs(self._tracking, self._work, SWEEP_TAG, identity):
            if TRIAL_TAG not in run.tags:
                continue
            number = int(run.tags[TRIAL_TAG])
            if run.status == "RUNNING":
                self._left_running.add(number)
            elif number in ended and run.tags.get(STATUS_TAG) == ended[number].value:
                self._recorded.add(number)
        self._thread.start()

    def close(self, patience_seconds: float) -> list[int]:
        """Bring the last figures over and end every run, those of trials that did not end as KILLED.

        Args:
            patience_seconds: how long a store that is away is waited for.

        Returns:
            Numbers of trials that the store would not take; a resumed sweep brings them over.
        """
        self._closing.set()
        until = time.monotonic() + patience_seconds
        while True:
            try:
                with interruption_later():  # runs that can be ended are not left RUNNING
                    self._thread.join()
                    self._bring(final=True)
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

    def _keep_up(self) -> None:
        while not self._closing.is_set():
            pause = PAUSE_SECONDS
            try:
                self._bring(final=False)
                self._warned = False
            except TrackingError as error:
                self._warn(error)
                pause = PAUSE_AFTER_FAILURE_SECONDS
            self._closing.wait(pause)

    def _warn(self, error: TrackingError) -> None:
        if not self._warned:
            console.print(
                f"[yellow]{escape(str(error))}[/]; the sweep goes on, its figures are brought over later"
            )
        self._warned = True

    def _bring(self, *, final: bool) -> None:
        self._require_answer()
        failure: TrackingError | None = None
        for trial in self._state.trials:
            if trial.number in self._recorded:
                continue
            try:
                if trial.status == Status.RUNNING or trial.status.ended:
                    self._bring_trial(trial)
                if final and not trial.status.ended:
                    self._end_killed(trial)
            except TrackingError as error:
                # Somebody may have deleted its run: it is looked for again, and the others are brought over.
                if self._children.pop(trial.number, None) is not None:
                    self._left_running.add(trial.number)
                self._require_answer()
                failure = error
        self._bring_progress()
        if failure is not None:
            raise failure

    def _require_answer(self) -> None:
        """Raise within seconds if the store is away; what is sent would wait for it much longer."""
        require_answer(tracking_uri(self._tracking, self._work), self._tracking.connect_seconds)

    def _bring_trial(self, trial: Trial) -> None:
        child = self._child(trial)
        if not child.has_parameters and (trial.status.ended or not self._changes):
            child.run.log_parameters(self._parameters(trial))
            child.has_parameters = True
        scores = [{INTERMEDIATE_SCORE: one.score, "step": one.step} for one in trial.intermediate_scores]
        rows = TrialFolder(self._state.folder, trial.number).metrics()
        child.run.send_series([*training_series(rows), *scores])
        if trial.status.ended:
            self._end(child, trial)

    def _parameters(self, trial: Trial) -> dict[str, Any]:
        try:
            config = self._config_of(trial)
        except UserError:  # values that do not go together, which the trial failed of
            return trial.current
        # The name differs from trial to trial as swept values do, and would be an axis of the UI's charts.
        values = config.model_dump(mode="json", exclude={"run_name"})
        return {**dict(flatten(values)), **trial.current}

    @property
    def _changes(self) -> bool:
        """Whether values change in the course of a training, and are known at its end alone."""
        return self._state.settings.sweep.scheduler.name == "pbt"

    def _child(self, trial: Trial) -> _Child:
        if trial.number not in self._children:
            self._children[trial.number] = _Child(child_of(self._state, self._parent, trial))
        return self._children[trial.number]

    def _end(self, child: _Child, trial: Trial) -> None:
        figures: dict[str, float] = {"seconds": trial.seconds, "attempts": trial.attempts}
        if trial.score is not None:
            figures[SCORE] = trial.score
        child.run.log_metrics(figures)
        child.run.log_tags(
            # Of one that was tried again, the error of before is taken away.
            {
                STATUS_TAG: trial.status.value,
                **({ERROR_TAG: trial.error} if trial.error or trial.attempts > 1 else {}),
            }
        )
        child.run.end(RUN_STATUS[trial.status])
        self._recorded.add(trial.number)
        self._left_running.discard(trial.number)
        del self._children[trial.number]

    def _end_killed(self, trial: Trial) -> None:
        if trial.number in self._children or trial.number in self._left_running:
            self._child(trial).run.end("KILLED")
            del self._children[trial.number]
            self._left_running.discard(trial.number)

    def _bring_progress(self) -> None:
        """How the sweep goes, over the number of trials that ended."""
        ended = [trial for trial in self._state.trials if trial.status.ended]
        best = self._state.best
        if best is not None:
            self._parent.send_series([{"step": len(ended), "best_score": best.score}])


def open_parent(state: SweepState) -> TrackedRun:
    """The sweep's own run, found again or made.

    Raises:
        TrackingError: the store is unreachable.
    """
    settings = state.settings
    return TrackedRun.open(
        settings.run.tracking,
        settings.run.work_folder.absolute(),
        settings.identity,
        settings.sweep.sweep_name,
        {KIND_TAG: SWEEP_KIND, SWEEP_TAG: settings.identity},
    )


def child_of(state: SweepState, parent: TrackedRun, trial: Trial) -> TrackedRun:
    """A trial's own run, found again or made.

    Raises:
        TrackingError: the store is unreachable.
    """
    settings = state.settings
    return parent.beside(
        f"{settings.identity}-{trial.number:05d}",
        f"{settings.sweep.sweep_name} {trial.number}",
        {
            PARENT_TAG: parent.run_id,
            KIND_TAG: TRIAL_KIND,
            SWEEP_TAG: settings.identity,
            TRIAL_TAG: str(trial.number),
        },
    )


def log_sweep(
    parent: TrackedRun, state: SweepState, files: Sequence[Path], metrics: Mapping[str, float]
) -> None:
    """Log the sweep's settings, its pictures and tables, and its figures to its own run."""
    parent.log_parameters(dict(flatten(state.settings.sweep.model_dump(mode="json"))))
    for file in files:
        parent.log_artifacts(file)
    parent.log_metrics(metrics)
