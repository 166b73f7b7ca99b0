"""What trials came to: which have a score, which is best, how much of the training was done."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from echopair.tuning.report.parameters import Parameter
from echopair.tuning.trials import Status, Trial


def finished(trials: Iterable[Trial]) -> list[Trial]:
    """Trials that finished with a score, in the order of their numbers.

    The score of a diverged trial stands for "worse than any" and its last reading belongs to another
    moment of the training: neither is compared with these.
    """
    found = (t for t in trials if t.status is Status.FINISHED and math.isfinite(score_of(t)))
    return sorted(found, key=lambda trial: trial.number)


def with_status(trials: Iterable[Trial], *statuses: Status) -> list[Trial]:
    """Trials that came to any of these."""
    return [trial for trial in trials if trial.status in statuses]


def with_values(trials: Iterable[Trial], parameters: Iterable[Parameter]) -> list[Trial]:
    """Trials that have a value of each of these parameters."""
    keys = {parameter.key for parameter in parameters}
    return [trial for trial in trials if keys <= trial.values.keys()]


def score_of(trial: Trial) -> float:
    """The score, 0 to 1; NaN without one."""
    return math.nan if trial.score is None else trial.score


def scores_of(trials: Iterable[Trial]) -> NDArray[np.float64]:
    """(N,) scores of trials, 0 to 1."""
    return np.array([score_of(trial) for trial in trials], dtype=np.float64)


def best_first(trials: Iterable[Trial]) -> list[Trial]:
    """Finished trials from the highest score to the lowest; of equal ones the first proposed comes first."""
    return sorted(finished(trials), key=lambda trial: (-score_of(trial), trial.number))


def steps_done(trial: Trial) -> int:
    """Optimiser steps done: all of them, or those up to the last reading. A repetition after a crash is not counted."""
    if trial.status is Status.FINISHED:
        return trial.steps
    return trial.step


def training_done(trial: Trial) -> float:
    """Share of its full training that a trial did, 0 to 1."""
    if trial.status is Status.FINISHED:
        return 1.0
    return min(1.0, steps_done(trial) / trial.steps) if trial.steps else 0.0


def training_spent(trials: Sequence[Trial]) -> float | None:
    """Share of the full training of all trials that ended, 0 to 1; None if none ended."""
    shares = [training_done(trial) for trial in trials if trial.status.ended]
    return sum(shares) / len(shares) if shares else None
