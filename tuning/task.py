"""What a trial of a sweep is given, and the run that it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echopair.pipeline.config import RunConfig, validated
from echopair.pipeline.errors import UserError
from echopair.pipeline.stages import Done, read_done
from echopair.tuning.config import SweepSettings
from echopair.tuning.trial_folder import trainings_of
from echopair.tuning.trials import Trial

Report = Callable[[dict[str, Any]], None]
"""Is handed what a trial has to tell, see `tuning.trial.run_trial`."""


@dataclass(frozen=True)
class TrialTask:
    """What every trial of a sweep is given.

    Args:
        settings: of the sweep.
        clips: folders of the prepared clips, by sample rate and corpus.
        folder: of the sweep.
        steps: what a budget in minutes was found to be; None for budgets that are exact.
        threads: of each trial.
    """

    settings: SweepSettings
    clips: Mapping[int, Mapping[str, Path]]
    folder: Path
    steps: int | None
    threads: int


def trial_config(
    task: TrialTask, number: int, values: Mapping[str, Any], schedule: Sequence[Any] = ()
) -> RunConfig:
    """The run that a trial is; `echopair run` of it gives the trial's score again.

    Args:
        task: the sweep's.
        number: of the trial.
        values: of the swept keys.
        schedule: values that changed in the course of the training.

    Raises:
        UserError: values that do not go together.
    """
    settings = task.settings
    laid = settings.values_of(values)
    laid["run_name"] = f"{settings.sweep.sweep_name}-{number}"
    laid["threads"] = task.threads
    laid["probe"] = {**laid["probe"], "test_split": True}
    if laid["pretrain"]["minutes"] is not None:
        laid["pretrain"] = {**laid["pretrain"], "minutes": None, "steps": task.steps}
    if schedule:
        laid["pretrain"] = {**laid["pretrain"], "schedule": list(schedule)}
    return validated(laid)


def clips_of(task: TrialTask, config: RunConfig) -> dict[str, Done]:
    """The prepared clips that a trial reads.

    Raises:
        UserError: they are no longer there.
    """
    clips = {}
    for corpus, folder in task.clips[config.log_mel.sample_rate_hz].items():
        done = read_done(folder)
        if done is None:
            raise UserError(f"{folder} no longer holds the clips of corpus {corpus!r}; start the sweep again")
        clips[corpus] = done
    return clips


def config_of(task: TrialTask, trial: Trial) -> RunConfig:
    """The run that a trial is, by what is known of it."""
    if not trial.lineage:
        return trial_config(task, trial.number, trial.values)
    first, *changes = trial.lineage
    return trial_config(task, trial.number, first["values"], changes)


def training_of(task: TrialTask, trial: Trial) -> Path:
    """Where a trial trains its encoder.

    Raises:
        UserError: it has not begun to.
    """
    names = trainings_of(task.folder, trial.number)
    if not names:
        raise UserError(f"trial {trial.number} has trained nothing")
    return task.settings.run.work_folder.absolute() / names[-1]
