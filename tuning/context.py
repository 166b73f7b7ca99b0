"""What a trial of a sweep is given, and the run that it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echopair.pipeline.config import RunConfig, validated
from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluation.nearest_neighbours import NeighbourProbe
from echopair.pipeline.evaluation.validation_clips import validation_sets
from echopair.pipeline.stages import Done, read_done
from echopair.pipeline.store import ClipStore
from echopair.tuning.config import SweepSettings
from echopair.tuning.trials import Trial


@dataclass(frozen=True)
class TrialContext:
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
    context: TrialContext, number: int, values: Mapping[str, Any], schedule: Sequence[Any] = ()
) -> RunConfig:
    """The run that a trial is; `echopair run` of it gives the trial's score again.

    Args:
        context: the sweep's.
        number: of the trial.
        values: of the swept keys.
        schedule: values that changed in the course of the training.

    Raises:
        UserError: values that do not go together.
    """
    settings = context.settings
    run = settings.values_of(values)
    run["run_name"] = f"{settings.sweep.sweep_name}-{number}"
    run["threads"] = context.threads
    run["probe"] = {**run["probe"], "test_split": True}
    if run["pretrain"]["minutes"] is not None:
        run["pretrain"] = {**run["pretrain"], "minutes": None, "steps": context.steps}
    if schedule:
        run["pretrain"] = {**run["pretrain"], "schedule": list(schedule)}
    return validated(run)


def clips_of(context: TrialContext, config: RunConfig) -> dict[str, Done]:
    """The prepared clips that a trial reads.

    Raises:
        UserError: they are no longer there.
    """
    clips = {}
    for corpus, folder in context.clips[config.log_mel.sample_rate_hz].items():
        done = read_done(folder)
        if done is None:
            raise UserError(f"{folder} no longer holds the clips of corpus {corpus!r}; start the sweep again")
        clips[corpus] = done
    return clips


def config_of(context: TrialContext, trial: Trial) -> RunConfig:
    """The run that a trial is, by what is known of it."""
    if not trial.lineage:
        return trial_config(context, trial.number, trial.values)
    first, *changes = trial.lineage
    return trial_config(context, trial.number, first["values"], changes)


def neighbour_probe(config: RunConfig, clips: Mapping[str, Done]) -> NeighbourProbe:
    """The nearest-neighbour probe that gives a trial's intermediate scores.

    Raises:
        UserError: too few sources to set a test split apart and to validate on the rest.
    """
    rate = config.log_mel.sample_rate_hz
    corpora = {*config.probe_corpora, *config.validation_corpora}
    stores = {corpus: ClipStore(clips[corpus].folder, rate) for corpus in sorted(corpora)}
    return NeighbourProbe(
        validation_sets(stores, config.probe, config.probe_corpora), config.probe, config.embed
    )
