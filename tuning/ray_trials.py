"""Trials on Ray Tune: what a worker runs, and how the ledger proposes trials and hears of them."""

import copy
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
from ray.tune.experiment.config_parser import _create_trial_from_spec, _make_parser
from ray.tune.search.search_algorithm import SearchAlgorithm

from echopair.pipeline.config import RunConfig
from echopair.pipeline.cores import cpu_threads
from echopair.pipeline.errors import UserError
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.pretrain import plan_training
from echopair.tuning.courier import Courier
from echopair.tuning.ledger import Ledger
from echopair.tuning.memory_limit import limit_memory
from echopair.tuning.resources import Resources
from echopair.tuning.sampler import Sampler
from echopair.tuning.schedulers import GO_ON, MILESTONE, STEP
from echopair.tuning.task import Report, TrialTask
from echopair.tuning.trial import Inherited, run_trial
from echopair.tuning.trial_folder import crash_reason, kept_files, refusal, refuse, set_error_aside
from echopair.tuning.trials import Reading, Status, Trial

NUMBER = "trial"


def trainable(
    config: dict[str, Any], task: TrialTask, memory_bytes: int, courier: Courier | None = None
) -> None:
    """A Ray Tune function: runs the trial whose number and values are in `config`.

    Args:
        config: of Ray's trial.
        task: the sweep's.
        memory_bytes: what the trial may take.
        courier: brings files where a node does not see the work folder; None if all see it.
    """
    if courier is None or courier.at_home:
        _run(config, task, memory_bytes, tune.report)
        return
    number, values = _number_and_values(config)
    with courier.away(task, number) as away:
        away.fetch(values, _inherited(away.task, config))
        _run(config, away.task, memory_bytes, away.reporting(tune.report), after_refusal=away.push)


def _run(
    config: dict[str, Any],
    task: TrialTask,
    memory_bytes: int,
    report: Report,
    after_refusal: Callable[[], None] = lambda: None,
) -> None:
    number, values = _number_and_values(config)

    def outgrown(used_bytes: int) -> None:
        refuse(
            task.folder,
            number,
            f"the trial took {used_bytes / 1e9:.1f} GB of memory, more than the {memory_bytes / 1e9:.1f} GB it may; "
            "lower pretrain.batch_pairs or sweep.resources.trials_at_once, or raise "
            "sweep.resources.memory_gb_per_trial; `--retry-failed` tries it again",
        )
        after_refusal()

    with limit_memory(memory_bytes, outgrown):
        run_trial(task, number, values, report, _inherited(task, config))


def _number_and_values(config: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    values = {key: value for key, value in config.items() if key not in (NUMBER, GO_ON)}
    return int(config[NUMBER]), values


def _inherited(task: TrialTask, config: dict[str, Any]) -> Inherited | None:
    """Where a population's scheduler sends the trial on from."""
    go_on = config.get(GO_ON)
    if go_on is None:
        return None
    files = kept_files(task.folder, go_on["donor"], go_on[MILESTONE])
    return Inherited(go_on["lineage"], go_on[STEP], files)


class _OfThisProcess:
    """Ray pickles all it is given, to restore a sweep by; ours goes on from the ledger, and this is no part of it."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class LedgerSearch(_OfThisProcess, SearchAlgorithm):
    """Hands Ray the trials that are to be gone on with, then new ones; each is in the ledger before Ray knows it.

    Args:
        ledger: of the sweep.
        proposals: values of new trials.
        at_once: trials that may run at once.
    """

    def __init__(self, ledger: Ledger, proposals: Sampler, at_once: int) -> None:
        self._ledger = ledger
        self._at_once = at_once
        self._made: list[RayTrial] = []
        self._proposals = proposals
        begun = {trial.number for trial in ledger.trials}
        self._again = [trial for trial in ledger.trials if not trial.status.ended]
        self._new = [number for number in range(proposals.total) if number not in begun]
        self._spec: dict[str, Any] = {}

    @property
    def total_samples(self) -> int:
        return len(self._again) + len(self._new)

    def add_configurations(self, experiments: Any) -> None:
        (experiment,) = experiments if isinstance(experiments, list) else [experiments]
        self._spec = experiment.spec

    def next_trial(self) -> RayTrial | None:
        if sum(not made.is_finished() for made in self._made) >= self._at_once:
            return None
        if self._again:
            return self._ray_trial(self._again.pop(0))
        if not self._new:
            return None
        number = self._new.pop(0)
        trial = Trial(number=number, values=self._proposals.propose(number, self._ledger.trials))
        self._ledger.propose(trial)
        return self._ray_trial(trial)

    def is_finished(self) -> bool:
        # While there may be trials to come, Ray keeps the processes of those that are paused for the next ones.
        return not self._again and not self._new and all(made.is_finished() for made in self._made)

    def _ray_trial(self, trial: Trial) -> RayTrial:
        spec = copy.deepcopy(self._spec)
        spec["config"] = {**spec["config"], NUMBER: trial.number, **trial.values}
        made: RayTrial = _create_trial_from_spec(
            spec,
            _make_parser(),
            evaluated_params={},
            experiment_tag=f"{trial.number:05d}",
            trial_id=ray_id(trial.number),
        )
        self._made.append(made)
        return made


def ray_id(number: int) -> str:
    """What Ray calls a trial: the same after every resume."""
    return f"{number:05d}"


class LedgerCallback(_OfThisProcess, Callback):
    """Writes what Ray tells of trials into the ledger.

    Args:
        ledger: of the sweep.
        on_change: called after each change.
        on_end: called with each trial that ended.
    """

    def __init__(
        self, ledger: Ledger, on_change: Callable[[], None], on_end: Callable[[Trial], None]
    ) -> None:
        self._ledger = ledger
        self._on_change = on_change
        self._on_end = on_end
        self._since: dict[int, float] = {}

    def on_trial_start(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        number = int(trial.trial_id)
        known = self._ledger[number]
        self._since[number] = time.monotonic()
        again = known.status != Status.RUNNING  # else it was paused
        self._change(number, status=Status.RUNNING, attempts=known.attempts + int(again))

    def on_trial_result(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, result: dict[str, Any], **info: Any
    ) -> None:
        number = int(trial.trial_id)
        known = self._ledger[number]
        changes: dict[str, Any] = {"seconds": self._seconds(number), "error": ""}
        if "status" in result:
            changes |= {name: result[name] for name in ("score", "error")}
            changes["status"] = Status(result["status"])
        elif result.get("done"):  # the scheduler has decided before
            changes["status"] = Status.STOPPED
        last = known.readings[-1].milestone if known.readings else 0
        if result["milestone"] > last and "step" in result:
            reading = Reading(
                milestone=result["milestone"],
                step=result["step"],
                score=result["reading"],
                seconds=changes["seconds"],
            )
            changes |= {"readings": (*known.readings, reading), "steps": result["steps"]}
        lineage = tuple(result["lineage"])
        if len(lineage) > 1 or lineage[0]["values"] != known.values:
            changes["lineage"] = lineage
        self._change(number, **changes)

    def on_trial_complete(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        number = int(trial.trial_id)
        if not self._ledger[number].status.ended:  # it did not say itself how it ended
            self._change(number, status=Status.STOPPED, seconds=self._seconds(number), error="")
        self._on_end(self._ledger[number])

    def on_trial_recover(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        number = int(trial.trial_id)
        crash = set_error_aside(self._ledger.folder, number, self._ledger[number].attempts)
        error = refusal(self._ledger.folder, number) or crash
        self._change(number, status=Status.WAITING, seconds=self._seconds(number), error=error)

    def on_trial_error(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        number = int(trial.trial_id)
        if not self._ledger[number].status.ended:
            often = "once" if trial.num_failures == 1 else f"{trial.num_failures} times, at last"
            error = refusal(self._ledger.folder, number)  # of the last attempt; nobody is left to report it
            error = error or f"it crashed {often}: {crash_reason(self._ledger.folder, number)}"
            self._change(number, status=Status.FAILED, seconds=self._seconds(number), error=error)
        self._on_end(self._ledger[number])

    def _seconds(self, number: int) -> float:
        """Wall time spent on a trial until now; the clock starts again from here."""
        now = time.monotonic()
        since = self._since.get(number, now)
        self._since[number] = now
        return self._ledger[number].seconds + now - since

    def _change(self, number: int, **changes: Any) -> None:
        self._ledger.change(number, **changes)
        self._on_change()


def measure_steps(
    config: RunConfig, clips: Sequence[Path], resources: Resources, courier: Courier | None
) -> int:
    """How many steps a budget in minutes is while as many trials run as will; the fewest of them.

    Args:
        config: with the budget.
        clips: folders of the clips to learn from.
        resources: of a trial, and how many run at once.
        courier: see `trainable`.

    Raises:
        UserError: a training that cannot begin.
    """
    measure = ray.remote(
        num_cpus=resources.cpus, num_gpus=resources.gpus, memory=resources.memory_bytes, max_retries=1
    )(_measure_steps)
    measured = [measure.remote(config, clips, resources.cpus, courier) for _ in range(resources.at_once)]
    try:
        return int(min(ray.get(measured)))
    except RayTaskError as error:  # its text is the whole of the other process's traceback
        if isinstance(error.cause, UserError):
            raise error.cause from error
        raise


def _measure_steps(config: RunConfig, clips: Sequence[Path], threads: int, courier: Courier | None) -> int:
    folders = [courier.clips(folder) if courier is not None else folder for folder in clips]
    stores = [ClipStore(folder, config.log_mel.sample_rate_hz) for folder in folders]
    with cpu_threads(threads), tempfile.TemporaryDirectory() as folder:
        return plan_training(stores, config.learning, Path(folder)).steps
