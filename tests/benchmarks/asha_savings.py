"""What stopping poor trials early would have saved and lost in a sweep that was trained to its end.

    python -m tests.benchmarks.asha_savings SWEEP_FOLDER [--orders 1000] [--at-once 2]

The folder is that of a sweep with `sweep.scheduler.name=fifo` in which every trial finished. Its scores are given to
the real scheduler in many random orders of the trials, as many at once as were asked for and all equally fast: a
training is a function of its config, so these are the decisions that a sweep in that order would have taken.
"""

import argparse
import heapq
from pathlib import Path
from statistics import fmean

import numpy as np
from ray.tune.experiment import Trial as RayTrial
from ray.tune.schedulers import TrialScheduler

from echopair.tuning.asha import Asha
from echopair.tuning.schedulers import INTERMEDIATE_SCORE, MILESTONE, NUMBER, AshaConfig
from echopair.tuning.state import SweepState
from echopair.tuning.trials import Status, Trial


def main() -> None:
    """Replay and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sweep_folder", type=Path)
    parser.add_argument("--orders", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=2)
    arguments = parser.parse_args()
    trials = SweepState.open(arguments.sweep_folder.absolute()).trials
    if any(trial.status != Status.FINISHED for trial in trials):
        parser.error(f"{arguments.sweep_folder} has trials that did not finish")
    milestones = max(one.milestone for trial in trials for one in trial.intermediate_scores)
    best = max(trial.score or 0.0 for trial in trials)
    for factor in (2.0, 3.0, 4.0):
        outcomes = [
            replay(
                AshaConfig(reduction_factor=factor),
                milestones,
                [trials[n] for n in np.random.default_rng(order).permutation(len(trials))],
                arguments.at_once,
            )
            for order in range(arguments.orders)
        ]
        shares = [share for share, _ in outcomes]
        lost = [100 * (best - score) for _, score in outcomes]
        print(
            f"reduction_factor={factor:g}: {fmean(shares):.0%} of the compute ({np.quantile(shares, 0.05):.0%} to "
            f"{np.quantile(shares, 0.95):.0%}), {fmean(lost):.2f} points lost, at most 1 point in "
            f"{fmean(one <= 1 for one in lost):.0%} of {arguments.orders} orders"
        )


def replay(config: AshaConfig, milestones: int, trials: list[Trial], at_once: int) -> tuple[float, float]:
    """Share of the whole compute that was spent, and the best score among the trials that finished."""
    asha = Asha(config, milestones)
    waiting = list(enumerate(trials))
    running: list[
        tuple[int, int, int, Trial, RayTrial]
    ] = []  # time, order, milestone, trial, as Ray knows it
    spent, best, now = 0, 0.0, 0
    while waiting or running:
        while waiting and len(running) < at_once:
            order, trial = waiting.pop(0)
            known = RayTrial("", config={NUMBER: trial.number}, stub=True)
            heapq.heappush(running, (now + 1, order, 1, trial, known))
        now, order, milestone, trial, known = heapq.heappop(running)
        spent += 1
        result = {MILESTONE: milestone, INTERMEDIATE_SCORE: trial.intermediate_scores[milestone - 1].score}
        if milestone == milestones:
            best = max(best, trial.score or 0.0)
        elif asha.on_trial_result(None, known, result) == TrialScheduler.CONTINUE:  # type: ignore[arg-type]
            heapq.heappush(running, (now + 1, order, milestone + 1, trial, known))
    return spent / (milestones * len(trials)), best


if __name__ == "__main__":
    main()
