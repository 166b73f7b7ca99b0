"""Trials on Ray Tune: what a worker runs, and how the state proposes trials and is kept up to date."""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayTaskError
from ray.tune import Callback
from ray.tune.experiment import Trial as RayTrial
from ray.tune.search import Searcher

from echopair.pipeline.config import RunConfig
from echopair.pipeline.cores import cpu_threads
from echopair.pipeline.errors import UserError
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.pretrain import plan_training
from echopair.tuning.context import TrialContext
from echopair.tuning.memory_limit import limit_memory
from echopair.tuning.resources import Resources
from echopair.tuning.sampler import Sampler
from echopair.tuning.schedulers import INTERMEDIATE_SCORE, MILESTONE, NUMBER, ORIGIN, VALUES
from echopair.tuning.state import SweepState
from echopair.tuning.trial import Origin, run_trial
from echopair.tuning.trial_folder import TrialFolder
from echopair.tuning.trials import IntermediateScore, Status, Trial


def trainable(config: dict[str, Any], context: TrialContext, memory_bytes: int) -> None:
    """A Ray Tune function: runs a trial.

    Args:
        config: of Ray's trial: the number and the values of ours, and where it continues from in a population.
    """
    number = config[NUMBER]

    def refuse(used_bytes: int) -> None:
        TrialFolder(context.folder, number).refuse(
            f"the trial took {used_bytes / 1e9:.1f} GB of memory, more than the {memory_bytes / 1e9:.1f} GB it may; "
            "lower pretrain.batch_pairs or sweep.resources.trials_at_once, or raise "
            "sweep.resources.memory_gb_per_trial; `--retry-failed` tries it again"
        )

    origin = Origin(**config[ORIGIN]) if ORIGIN in config else None
    with limit_memory(memory_bytes, refuse):
        run_trial(context, number, config[VALUES], tune.report, origin)


class _NotPickled:
    """Left out of the state that Ray pickles: a sweep is resumed from `SweepState`."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class StateSearcher(_NotPickled, Searcher):
    """Hands Ray the trials to continue, then new ones; each is in the state before Ray knows it."""

    def __init__(self, state: SweepState, sampler: Sampler) -> None:
        super().__init__()
        self._state = state
        self._sampler = sampler
        begun = {trial.number for trial in state.trials}
        self._again = [trial for trial in state.trials if not trial.status.ended]
        self._new = [number for number in range(sampler.total) if number not in begun]

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """Number and values of the next trial."""
        if self._again:
            trial = self._again.pop(0)
        else:
            number = self._new.pop(0)
            trial = Trial(number=number, values=self._sampler.propose(number, self._state.trials))
            self._state.propose(trial)
        return {NUMBER: trial.number, VALUES: trial.values}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: `StateCallback` writes down how trials end."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: a sweep is resumed from the state."""


class StateCallback(_NotPickled, Callback):
    """Writes the progress of trials into the state."""

    def __init__(self, state: SweepState, on_change: Callable[[], None]) -> None:
        self._state = state
        self._on_change = on_change
        self._since: dict[int, float] = {}

    def on_trial_start(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        number = trial.config[NUMBER]
        known = self._state[number]
        self._since[number] = time.monotonic()
        again = known.status != Status.RUNNING  # else it was paused
        self._change(number, status=Status.RUNNING, attempts=known.attempts + int(again))

    def on_trial_result(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, result: dict[str, Any], **info: Any
    ) -> None:
        number = trial.config[NUMBER]
        known = self._state[number]
        changes: dict[str, Any] = {"seconds": self._seconds(number), "error": ""}
        if "status" in result:
            changes |= {name: result[name] for name in ("score", "error")}
            changes["status"] = Status(result["status"])
        elif result.get("done"):  # the scheduler has decided before
            changes["status"] = Status.STOPPED
        last = known.intermediate_scores[-1].milestone if known.intermediate_scores else 0
        if result[MILESTONE] > last and "step" in result:
            new = IntermediateScore(
                milestone=result[MILESTONE],
                step=result["step"],
                score=result[INTERMEDIATE_SCORE],
                seconds=changes["seconds"],
            )
            changes |= {
                "intermediate_scores": (*known.intermediate_scores, new),
                "steps": result["steps"],
            }
        lineage = tuple(result["lineage"])
        if len(lineage) > 1 or lineage[0]["values"] != known.values:
            changes["lineage"] = lineage
        self._change(number, **changes)

    def on_trial_complete(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        number = trial.config[NUMBER]
        if not self._state[number].status.ended:  # it did not say itself how it ended
            self._change(number, status=Status.STOPPED, seconds=self._seconds(number), error="")
        if self._state[number].status != Status.FAILED:  # it may be tried again
            TrialFolder(self._state.folder, number).remove_checkpoints()

    def on_trial_recover(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        number = trial.config[NUMBER]
        folder = TrialFolder(self._state.folder, number)
        crash = folder.archive_error(self._state[number].attempts)
        error = folder.refusal or crash
        self._change(number, status=Status.WAITING, seconds=self._seconds(number), error=error)

    def on_trial_error(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        number = trial.config[NUMBER]
        if not self._state[number].status.ended:
            often = "once" if trial.num_failures == 1 else f"{trial.num_failures} times, at last"
            folder = TrialFolder(self._state.folder, number)
            # A refusal is of the last attempt, and no further one will report it.
            error = folder.refusal or f"it crashed {often}: {folder.crash_reason}"
            self._change(number, status=Status.FAILED, seconds=self._seconds(number), error=error)

    def _seconds(self, number: int) -> float:
        """Wall time spent on a trial until now; the clock starts again from here."""
        now = time.monotonic()
        since = self._since.get(number, now)
        self._since[number] = now
        return self._state[number].seconds + now - since

    def _change(self, number: int, **changes: Any) -> None:
        self._state.change(number, **changes)
        self._on_change()


def measure_steps(config: RunConfig, clips: Sequence[Path], resources: Resources) -> int:
    """How many steps a budget in minutes is while as many trials run as will; the fewest of them.

    Args:
        resources: of a trial, and how many run at once.

    Raises:
        UserError: a training that cannot begin.
    """
    measure = ray.remote(
        num_cpus=resources.cpus, num_gpus=resources.gpus, memory=resources.memory_bytes, max_retries=1
    )(_measure_steps)
    measured = [measure.remote(config, clips, resources.cpus) for _ in range(resources.at_once)]
    try:
        return int(min(ray.get(measured)))
    except RayTaskError as error:  # its text is the whole of the other process's traceback
        if isinstance(error.cause, UserError):
            raise error.cause from error
        raise


def _measure_steps(config: RunConfig, clips: Sequence[Path], threads: int) -> int:
    stores = [ClipStore(folder, config.log_mel.sample_rate_hz) for folder in clips]
    with cpu_threads(threads), tempfile.TemporaryDirectory() as folder:
        return plan_training(stores, config.learning, Path(folder)).steps
