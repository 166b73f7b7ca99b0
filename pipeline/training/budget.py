"""A budget of steps, epochs or minutes, as steps."""

import copy
import time
from collections.abc import Callable, Iterator

import torch

from echopair.models.processes import from_first
from echopair.pipeline.progress import console
from echopair.pipeline.training.crops import CropBatch
from echopair.pipeline.training.learner import Learner, PretrainConfig

CALIBRATION_WARM_UP_STEPS = 2
CALIBRATION_SECONDS = 12.0
CALIBRATION_SHARE = 0.05
# What calibration cannot foresee: logging, checkpoints, a machine that slows down a little.
BUDGET_USED = 0.95


def steps_of_budget(
    config: PretrainConfig,
    steps_per_epoch: int,
    batches: Iterator[CropBatch],
    started: float,
    train_step: Callable[[Learner, CropBatch], object],
    learner: Learner,
) -> int:
    """How many steps a budget is; minutes are measured on a copy of the learner, once per run.

    Several processes measure together, by the clock of the first one.

    Args:
        config: the budget.
        steps_per_epoch: in a pass over all segments.
        batches: the batches of steps 0, 1, ... as the training gets them, so that waiting for them counts.
        started: `time.monotonic()` of the beginning, since what came before the steps counts as well.
        train_step: trains a learner on a batch.
        learner: left as it is.
    """
    if config.steps is not None:
        return config.steps
    if config.epochs is not None:
        return max(1, round(config.epochs * steps_per_epoch))
    assert config.minutes is not None
    budget_seconds = config.minutes * 60
    calibration_seconds = min(CALIBRATION_SECONDS, CALIBRATION_SHARE * budget_seconds)
    throwaway = copy.deepcopy(learner)
    with console.status(f"pretrain: measuring how many steps {config.minutes:g} minutes are"):
        for _ in range(CALIBRATION_WARM_UP_STEPS):
            train_step(throwaway, next(batches))
        _wait_for_device()
        first, step = time.monotonic(), 0
        while step == 0 or from_first(time.monotonic() - first < calibration_seconds):
            train_step(throwaway, next(batches))
            step += 1
            _wait_for_device()
        seconds_per_step = (time.monotonic() - first) / step
    left = budget_seconds - (time.monotonic() - started)
    steps = max(1, int(BUDGET_USED * left / seconds_per_step))
    console.print(
        f"pretrain: {config.minutes:g} minutes: {steps} steps of {seconds_per_step:.2f} s on this machine"
    )
    return steps


def _wait_for_device() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
