"""Asynchronous successive halving on Ray Tune, of sweeps that are killed and continue."""

import math
from collections.abc import Mapping, Sequence
from itertools import count, takewhile
from typing import TYPE_CHECKING, Any

import numpy as np
from ray.tune.experiment import Trial as RayTrial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from echopair.tuning.schedulers import INTERMEDIATE_SCORE, MILESTONE, NUMBER, AshaConfig, comparable
from echopair.tuning.trials import Trial

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController


class Asha(FIFOScheduler):
    """Stops a trial whose score at a rung is below what a share 1 / `reduction_factor` of those before it reached.

    Rungs are the milestones `first_milestone` times the powers of `reduction_factor`, rounded up. A trial is
    judged once at each, by the scores of all trials that came there earlier, stopped ones included. This is the
    stopping form of Li et al. 2020 (A system for massively parallel hyperparameter tuning, algorithm 2, which pauses
    trials instead).

    Ray's own scheduler also stops trials at the last step, before they have their score; lets a trial with NaN
    continue; adds what a trial reports at its end to rungs that it never came to; draws from numpy's global generator;
    and cannot take over the scores of an earlier process.

    Args:
        milestones: number of the last milestone, at which no trial is stopped.
        history: trials of earlier processes, whose scores count as if they had been reported to this one.
    """

    def __init__(self, config: AshaConfig, milestones: int, history: Sequence[Trial] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._cutoff = 100 * (1 - 1 / config.reduction_factor)
        rungs = (math.ceil(config.first_milestone * config.reduction_factor**power) for power in count())
        self._rungs: dict[int, dict[int, float]] = {
            rung: {} for rung in takewhile(lambda rung: rung < milestones, rungs)
        }
        for trial in history:
            for one in trial.intermediate_scores:
                self._rungs.get(one.milestone, {})[trial.number] = comparable(one.score)

    def on_trial_result(
        self, tune_controller: "TuneController", trial: RayTrial, result: Mapping[str, Any]
    ) -> str:
        """Whether a trial continues."""
        rung = self._rungs.get(result[MILESTONE])
        number = trial.config[NUMBER]
        if rung is None or number in rung:
            return TrialScheduler.CONTINUE
        before = [*rung.values()]
        rung[number] = comparable(result[INTERMEDIATE_SCORE])
        if before and rung[number] < np.percentile(before, self._cutoff):
            return TrialScheduler.STOP
        return TrialScheduler.CONTINUE
