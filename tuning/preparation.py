"""What a sweep does before its first trial: it checks what would fail, and prepares the clips of all trials."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, product
from typing import Any

from echopair.pipeline.checks import Stage, check, check_clips, check_learning
from echopair.pipeline.config import RunConfig, validated
from echopair.pipeline.errors import UserError
from echopair.pipeline.run import RunResult, open_stores, prepare_corpora
from echopair.pipeline.stages import digest_values
from echopair.pipeline.tracking import check_tracking
from echopair.pipeline.training.encoder_output import sounds
from echopair.tuning.config import SweepSettings
from echopair.tuning.distributions import Choices, Grid
from echopair.tuning.sampler import Sampler, build_sampler
from echopair.tuning.schedulers import check_scheduler
from echopair.tuning.state import SweepState

SAMPLE_RATE = "log_mel.sample_rate_hz"
# Slices of which a machine may not support every value, and how many trials are checked for that beforehand.
CHECKED_SLICES = ("augment", "encoder", "log_mel")
TRIALS_CHECKED = 256
# Swept keys by which trials use other clips, or may be unable to learn from them.
CORPORA_KEYS = ("pretrain.corpora", "pretrain")
POSITIVES_KEYS = ("crops.positives", "crops.positives.name", "crops")
RECORDINGS_PLAN = "recordings"


def check_sweep(settings: SweepSettings) -> Sampler:
    """Check what would fail before anything is started.

    Returns:
        The sampler of the trials' values.

    Raises:
        UserError: names the key to change.
    """
    check_tracking(settings.run.tracking, settings.run.work_folder.absolute())
    sampler = build_sampler(settings.sweep.space, settings.sweep.search, settings.sweep.seed)
    check_scheduler(
        settings.sweep.scheduler,
        settings.sweep.milestones,
        sampler.total,
        settings.sweep.space,
        settings.run.objective,
    )
    _swept_rates(settings)
    _check_alternatives(settings, sampler)
    return sampler


def _check_alternatives(settings: SweepSettings, sampler: Sampler) -> None:
    """Try the listed augmentations and encoders, in the combinations of the first trials.

    Raises:
        UserError: this machine cannot do one of them.
    """
    listed = [
        key
        for key, distribution in settings.sweep.space.items()
        if isinstance(distribution, Choices | Grid) and key.split(".")[0] in CHECKED_SLICES
    ]
    tried = set()
    for number in range(min(sampler.total, TRIALS_CHECKED) if listed else 0):
        values = sampler.propose(number)
        combination = digest_values({key: values[key] for key in listed})
        if combination not in tried:
            check_learning(validated(settings.values_of(values)))
            tried.add(combination)


def prepare_sweep(settings: SweepSettings, sampler: Sampler) -> dict[int, RunResult]:
    """Stage 1, once for all trials, of every corpus and for each sample rate that they may have.

    Returns:
        By sample rate, a run of that rate and the clips of all its trials.

    Raises:
        UserError: recordings or labels that a trial could not use.
    """
    prepared: dict[int, RunResult] = {}
    tried = set()
    for config in _runs_to_prepare(settings, sampler):
        rate = config.log_mel.sample_rate_hz
        combination = digest_values(rate, config.pretrain_corpora, config.crops.positives)
        if combination in tried:
            continue
        tried.add(combination)
        recordings = check(config, Stage.EVALUATE)
        result = prepared.setdefault(rate, RunResult(config))
        new = {corpus: found for corpus, found in recordings.items() if corpus not in result.clips}
        prepare_corpora(config, new, result)
        check_clips(config, Stage.EVALUATE, open_stores(config, result))
    return prepared


def _runs_to_prepare(settings: SweepSettings, sampler: Sampler) -> Iterator[RunConfig]:
    """Runs that have, between them, every combination of listed corpora, positives and sample rates that is valid.

    Where one is not with the values of the run, it may be with those of a trial.
    """
    choices = (_swept_rates(settings), _listed(settings, CORPORA_KEYS), _listed(settings, POSITIVES_KEYS))
    for parts in product(*choices):
        values = {key: value for part in parts for key, value in part.items()}
        trials = (sampler.propose(number) for number in range(min(sampler.total, TRIALS_CHECKED)))
        for others in chain([{}], trials):
            with suppress(UserError):  # no trial has these together, or it says so itself
                yield validated(settings.values_of({**others, **values, "probe.test_split": True}))
                break


def _listed(settings: SweepSettings, keys: Sequence[str]) -> list[dict[str, Any]]:
    """The listed values of the first of some keys that is swept, each as values of a trial."""
    for key in keys:
        distribution = settings.sweep.space.get(key)
        if isinstance(distribution, Choices | Grid):
            return [{key: value} for value in distribution.values]
    return [{}]


def settle_recordings(state: SweepState, prepared: Mapping[int, RunResult]) -> None:
    """Record which recordings and labels the trials are trained and scored on.

    Raises:
        UserError: they differ from those of the sweep's earlier trials, so that scores could not be compared.
    """
    found = {
        f"corpus {corpus!r} ({rate} Hz)": digest_values(done.digest, done.marker["annotations_digest"])
        for rate, result in prepared.items()
        for corpus, done in result.clips.items()
    }
    if own := sounds(state.settings.run):
        found["the sounds that augmentations mix in"] = digest_values(own)
    settled = state.plan.get(RECORDINGS_PLAN, found)
    changed = sorted(name for name in found.keys() | settled.keys() if found.get(name) != settled.get(name))
    if changed:
        raise UserError(
            f"{', '.join(changed)}: recordings or labels have changed since the sweep in {state.folder} began, and "
            "scores could not be compared; bring the old ones back, or begin another sweep with sweep.sweep_name=NAME"
        )
    if RECORDINGS_PLAN not in state.plan:
        state.fix_plan(**{RECORDINGS_PLAN: found})


def _swept_rates(settings: SweepSettings) -> list[dict[str, Any]]:
    """Swept values that have, between them, every sample rate of the trials.

    Raises:
        UserError: a range of rates, each of which would be prepared.
    """
    keys = (SAMPLE_RATE, SAMPLE_RATE.partition(".")[0])
    for key in keys:
        if not isinstance(settings.sweep.space.get(key), Choices | Grid | None):
            raise UserError(
                f"sweep.space.{key}: clips are prepared for each sample rate before the first trial; list the rates, "
                f"as sweep.space.{key}=[16000, 32000]"
            )
    return _listed(settings, keys)
