"""Which trials continue: all, those with the best scores so far, or a population that copies its best."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field

from echopair.models.methods import MethodConfig
from echopair.pipeline.errors import UserError
from echopair.pipeline.training.schedule import check_schedulable
from echopair.tuning.distributions import Distribution
from echopair.tuning.trials import Trial

if TYPE_CHECKING:
    from ray.tune.schedulers import TrialScheduler

SMALLEST_POPULATION = 4  # with fewer, a quarter is not one member beside another one to learn from
WORST_SCORE = 0.0

# Keys of what a trial reports: the score at a milestone, and the optimiser steps done by then.
MILESTONE, INTERMEDIATE_SCORE, STEP = "milestone", "intermediate_score", "step"
# Keys of the config of Ray's trial. In what a trial reports, ORIGIN is the milestone that it continues from or 0.
NUMBER, VALUES, ORIGIN = "trial", "values", "origin"


class FifoConfig(BaseModel, frozen=True, extra="forbid"):
    """Every trial trains to its end."""

    name: Literal["fifo"] = "fifo"


class AshaConfig(BaseModel, frozen=True, extra="forbid"):
    """Trials with worse scores than most are stopped early: asynchronous successive halving (Li et al. 2020).

    Of the reduction factors that its forerunner Hyperband advises (Li et al. 2018), 3 and 4, the smaller one: trainings
    have few milestones.
    """

    name: Literal["asha"] = "asha"
    reduction_factor: float = Field(
        3,
        gt=1,
        le=1000,
        description="at each rung one trial in so many continues; each rung is so many times later",
    )
    first_milestone: int = Field(
        1, ge=1, le=1000, description="the first rung: no trial is stopped before this milestone"
    )


class PbtConfig(BaseModel, frozen=True, extra="forbid"):
    """The trials are one population, whose worst continue from copies of its best with other values: population-based
    training (Jaderberg et al. 2017), with the paper's factors and the shares of Ray Tune."""

    name: Literal["pbt"] = "pbt"
    interval: int = Field(2, ge=1, le=1000, description="milestones from one exploitation to the next")
    quantile_fraction: float = Field(
        0.25,
        gt=0,
        le=0.5,
        description="share of the worst that are replaced, and of the best that are copied",
    )
    resample_probability: float = Field(
        0.25,
        ge=0,
        le=1,
        description="of drawing a new value from its distribution instead of changing it a little",
    )
    perturbation_factors: tuple[Annotated[float, Field(gt=0, le=1000)], ...] = Field(
        (1.2, 0.8),
        min_length=1,
        description="one of them multiplies a value; above 1 it moves a listed value to the next one, else back",
    )


SchedulerConfig = Annotated[FifoConfig | AshaConfig | PbtConfig, Field(discriminator="name")]


def check_scheduler(
    config: SchedulerConfig,
    milestones: int,
    trials: int,
    space: Mapping[str, Distribution],
    objective: MethodConfig,
) -> None:
    """Refuse a scheduler that could never decide anything, or a space that it cannot work with.

    Args:
        objective: config of the method, which says which of its keys may change during a training.

    Raises:
        UserError: names the key to change.
    """
    match config:
        case FifoConfig():
            return
        case AshaConfig():
            _check_milestones("first_milestone", config.first_milestone, milestones)
        case PbtConfig():
            _check_milestones("interval", config.interval, milestones)
            if trials < SMALLEST_POPULATION:
                raise UserError(
                    f"sweep.scheduler.name=pbt needs a population of at least {SMALLEST_POPULATION}, and the sweep has "
                    f"{trials} trials; raise sweep.search.trials, or set sweep.scheduler.name=asha"
                )
            for key, distribution in space.items():
                _check_changeable(key, distribution, objective)


def build_scheduler(
    config: SchedulerConfig,
    space: Mapping[str, Distribution],
    milestones: int,
    trials: int,
    seed: int,
    history: Sequence[Trial] = (),
) -> "TrialScheduler":
    """The scheduler that a config names, with what trials reported before.

    Args:
        trials: of the whole sweep, those of the history included.
    """
    match config:
        case FifoConfig():
            from ray.tune.schedulers import FIFOScheduler

            return FIFOScheduler()
        case AshaConfig():
            from echopair.tuning.asha import Asha

            return Asha(config, milestones, history)
        case PbtConfig():
            from echopair.tuning.population import Population, PopulationScheduler

            return PopulationScheduler(Population(config, space, milestones, trials, seed, history))


def comparable(score: float) -> float:
    """A score that has a rank: NaN is the worst."""
    return WORST_SCORE if math.isnan(score) else score


def _check_milestones(key: str, first: int, milestones: int) -> None:
    if first >= milestones:
        raise UserError(
            f"sweep.scheduler.{key}={first}: the scheduler first decides at milestone {first}, and with "
            f"sweep.milestones={milestones} a trial is finished by then; set sweep.milestones={first + 1} or more"
            + (f", or lower sweep.scheduler.{key}" if first > 1 else "")
        )


def _check_changeable(key: str, distribution: Distribution, objective: MethodConfig) -> None:
    try:
        check_schedulable(key, objective)
    except ValueError as error:
        raise UserError(
            f"sweep.space.{key}: with sweep.scheduler.name=pbt trials change their values as they train, and {error}; "
            "take the key out of the space, or set sweep.scheduler.name=asha"
        ) from error
    if any(isinstance(value, Mapping) for value in distribution.ends()):
        raise UserError(
            f"sweep.space.{key}: with sweep.scheduler.name=pbt a value is one number or word, and not a mapping; sweep "
            f"the keys below {key}, or set sweep.scheduler.name=asha"
        )
