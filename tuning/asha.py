"""Asynchronous successive halving on Ray Tune, of sweeps that are killed and go on."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ray.tune.experiment import Trial as RayTrial
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

from echopair.tuning.schedulers import MILESTONE, READING, AshaConfig, comparable
from echopair.tuning.trials import Trial

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController


class Asha(AsyncHyperBandScheduler):
    """Stops a trial whose reading at a rung is below what a share 1 / `reduction_factor` of those before it reached.

    Rungs lie at `first_milestone` times the powers of `reduction_factor`. A trial is judged once at each, at the first
    milestone that reaches it, by the readings of all that came there earlier, those that were stopped included. This
    is the stopping form of Li et al. 2020 (A system for massively parallel hyperparameter tuning, algorithm 2, which
    pauses trials instead).

    Ray's own also stops whoever comes to the last milestone, before it has its score; lets a trial that is read as NaN
    go on; adds what a trial reports at its end to rungs that it never came to; draws from numpy's global generator.

    Args:
        config: reduction factor and first rung.
        readings: the last milestone, at which nobody is stopped.
        history: trials of earlier processes, whose readings stand on the rungs as if they had been heard here.
    """

    def __init__(self, config: AshaConfig, readings: int, history: Sequence[Trial] = ()) -> None:
        super().__init__(
            time_attr=MILESTONE,
            metric=READING,
            mode="max",
            max_t=readings,
            grace_period=config.first_milestone,
            reduction_factor=config.reduction_factor,
            # True would also judge a trial anew that reports again what it reported before.
            stop_last_trials=False,
        )
        self._readings = readings
        (self._rungs,) = self._brackets
        for trial in history:
            named = RayTrial("", trial_id=f"{trial.number:05d}", stub=True)
            for reading in trial.readings:
                if reading.milestone < readings:
                    self._rungs.on_result(named, reading.milestone, comparable(reading.score))

    def on_trial_add(self, tune_controller: "TuneController", trial: RayTrial) -> None:
        """Let a trial in, again if it crashed."""
        self._trial_info[trial.trial_id] = self._rungs

    def on_trial_result(
        self, tune_controller: "TuneController", trial: RayTrial, result: Mapping[str, Any]
    ) -> str:
        """Whether a trial goes on."""
        if result[MILESTONE] >= self._readings:
            return TrialScheduler.CONTINUE
        heard = {**result, READING: comparable(result[READING])}
        return super().on_trial_result(tune_controller, trial, heard)

    def on_trial_complete(
        self, tune_controller: "TuneController", trial: RayTrial, result: Mapping[str, Any]
    ) -> None:
        """Nothing: its rungs heard of it, and what it reports at its end is no reading of theirs."""
