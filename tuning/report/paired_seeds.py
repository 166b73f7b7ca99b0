"""Settings that ran with the same seeds: their mean scores, and their differences seed by seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import TYPE_CHECKING, NamedTuple

from echopair.pipeline.evaluation.base import ResultTable
from echopair.tuning.texts import final_score, percent_text, short_keys, value_text

if TYPE_CHECKING:
    from echopair.tuning.trials import Trial

FEWEST_SEEDS = 2


class Setting(NamedTuple):
    """The finished trials that differ in the seed alone.

    Args:
        first: the one that was proposed first.
        scores: by the values of the seeds.
    """

    first: Trial
    scores: Mapping[str, float]


def settings_of(trials: Sequence[Trial]) -> list[Setting]:
    """The settings in the order in which they were proposed, without those that finished with one seed alone."""
    groups: dict[str, dict[str, float]] = defaultdict(dict)
    first: dict[str, Trial] = {}
    for trial in sorted(trials, key=lambda one: one.number):
        if (score := final_score(trial)) is None:
            continue
        seeds = {key: value for key, value in trial.current.items() if is_seed(key)}
        setting = repr(sorted((key, value) for key, value in trial.current.items() if key not in seeds))
        groups[setting][repr(sorted(seeds.items()))] = score
        first.setdefault(setting, trial)
    return [Setting(first[key], scores) for key, scores in groups.items() if len(scores) >= FEWEST_SEEDS]


def is_seed(key: str) -> bool:
    """Whether a key's values differ by chance alone."""
    return key.rpartition(".")[2] == "seed"


def paired_difference(
    scores: Mapping[str, float], reference: Mapping[str, float]
) -> tuple[float, float] | None:
    """Mean difference over the seeds that two settings share, and half its 95 % interval (Student's t).

    Args:
        scores: by seed.
        reference: by seed.

    Returns:
        None where they share less than two seeds.
    """
    from scipy.stats import t

    differences = [scores[seed] - reference[seed] for seed in scores if seed in reference]
    if len(differences) < FEWEST_SEEDS:
        return None
    error = stdev(differences) / len(differences) ** 0.5
    return fmean(differences), float(t.ppf(0.975, len(differences) - 1)) * error


def settings_table(trials: Sequence[Trial], keys: Sequence[str]) -> ResultTable | None:
    """A row for each setting, best mean first: mean over seeds, and the paired difference to the first setting.

    Args:
        trials: of a sweep.
        keys: dotted, of the swept values.

    Returns:
        None where fewer than two settings ran with two seeds each.
    """
    settings = settings_of(trials)
    keys = [key for key in keys if not is_seed(key)]
    if len(settings) < 2 or not keys:
        return None
    reference = settings[0]
    rows = [
        [
            _values(one.first, keys),
            percent_text(fmean(one.scores.values())),
            str(len(one.scores)),
            "reference" if one is reference else _difference(one.scores, reference.scores),
        ]
        for one in sorted(settings, key=lambda one: -fmean(one.scores.values()))
    ]
    return ResultTable(
        "Settings over seeds: mean score, and the difference to the reference seed by seed, with its 95 % interval",
        [", ".join(short_keys(keys)), "mean score", "seeds", "difference (points)"],
        rows,
    )


def _values(trial: Trial, keys: Sequence[str]) -> str:
    return ", ".join(value_text(trial.current[key]) for key in keys if key in trial.current)


def _difference(scores: Mapping[str, float], reference: Mapping[str, float]) -> str:
    found = paired_difference(scores, reference)
    if found is None:
        return "too few seeds in common"
    return f"{100 * found[0]:+.1f} ± {100 * found[1]:.1f}"
