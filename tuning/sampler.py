"""Which values a sweep tries: every combination, points spread evenly, or points proposed by optuna from the scores.

The values of trial n depend on the space, the config, the seed and n alone and, for `optuna`, on the other trials: a
sweep that was killed proposes what it would have proposed.
"""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field

from echopair.lazy import np
from echopair.pipeline.errors import UserError
from echopair.tuning.distributions import Choices, Distribution, Grid
from echopair.tuning.trials import Status, Trial

if TYPE_CHECKING:
    import optuna

MOST_REPEATS = 1000  # draws in a row without a new point, before the rest of a small space is drawn directly
MOST_TRIALS = 10_000


class GridSearchConfig(BaseModel, frozen=True, extra="forbid"):
    """Every combination of the values of all keys; a range needs `points`."""

    name: Literal["grid"] = "grid"


class _NumberOfTrials(BaseModel, frozen=True, extra="forbid"):
    trials: int = Field(
        16,
        ge=1,
        le=MOST_TRIALS,
        description="trials; as many for each combination of the values of grid distributions",
    )


class RandomSearchConfig(_NumberOfTrials, frozen=True, extra="forbid"):
    """Points that cover the space evenly, however many: a scrambled Sobol' sequence.

    Source: Bergstra and Bengio, Random Search for Hyper-Parameter Optimization, JMLR 2012, which compares such
    sequences with grids and independent draws.
    """

    name: Literal["random"] = "random"


class OptunaSearchConfig(_NumberOfTrials, frozen=True, extra="forbid"):
    """Points where the scores so far promise most: optuna's multivariate tree-structured Parzen estimator.

    Source: Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011; for several keys at once
    Falkner et al., BOHB, ICML 2018.
    """

    name: Literal["optuna"] = "optuna"
    startup_trials: int = Field(
        8, ge=1, description="points as `random` proposes them, until so many have a score"
    )


SearchConfig = Annotated[
    GridSearchConfig | RandomSearchConfig | OptunaSearchConfig, Field(discriminator="name")
]


def build_sampler(space: Mapping[str, Distribution], config: SearchConfig, seed: int) -> "Sampler":
    """The sampler that a config names.

    Args:
        space: distributions by dotted key; their order changes nothing.

    Raises:
        UserError: in a grid search, a range without `points` or too many combinations.
    """
    match config:
        case GridSearchConfig():
            return _grid_sampler(space, seed)
        case OptunaSearchConfig():
            return OptunaSampler(space, config, seed)
        case RandomSearchConfig():
            return Sampler(space, config.trials, seed)


class Sampler:
    """Evenly spread points of the space, each with every combination of the values of its grid distributions.

    All combinations of the first point come first, then those of the second: even the first trials compare the grid's
    values, at the same point of the other keys.

    Args:
        trials: points, unless the space has fewer.

    Attributes:
        total: how many trials there are: fewer than `trials` points where the space has no more different ones.
    """

    def __init__(self, space: Mapping[str, Distribution], trials: int, seed: int) -> None:
        grid = {key: one.values for key, one in sorted(space.items()) if isinstance(one, Grid)}
        self._combinations = [
            dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())
        ]
        self.space = {key: one for key, one in sorted(space.items()) if key not in grid}
        self.seed = seed
        self._number_of_points = min(trials, math.prod(one.size for one in self.space.values()))
        self.total = int(self._number_of_points) * len(self._combinations)

    def propose(self, number: int, others: Sequence[Trial] = ()) -> dict[str, Any]:
        """The values of a trial, by dotted key.

        Args:
            number: of the trial, from 0 to total - 1.
            others: the sweep's other trials, in any order, ended or not; `optuna` learns from them.

        Raises:
            ValueError: there is no such trial.
        """
        if not 0 <= number < self.total:
            raise ValueError(f"there is no trial {number}: the sweep has {self.total}")
        point, combination = divmod(number, len(self._combinations))
        values = {**self._point(point, others), **self._combinations[combination]}
        return dict(sorted(values.items()))

    def _point(self, number: int, others: Sequence[Trial]) -> dict[str, Any]:
        """Point `number`, the same for all combinations of grid values."""
        del others  # the sequence does not depend on the scores
        return dict(self.points[number])

    @cached_property
    def points(self) -> list[dict[str, Any]]:
        """Different points, evenly spread: a scrambled Sobol' sequence without its repeats."""
        # Of scipy: optuna's QMCSampler is experimental, and draws the first point independently.
        from scipy.stats import qmc

        sequence = qmc.Sobol(len(self.space), scramble=True, rng=np.random.default_rng(self.seed))
        found: dict[str, dict[str, Any]] = {}
        repeats = 0
        while len(found) < self._number_of_points and repeats < MOST_REPEATS:
            quantiles = zip(self.space, sequence.random(1)[0], strict=True)
            point = {key: self.space[key].at(float(quantile)) for key, quantile in quantiles}
            repeats = repeats + 1 if _as_json(point) in found else 0
            found.setdefault(_as_json(point), point)
        if len(found) < self._number_of_points:
            # What is left of a small space are rare values, such as the high numbers of several logarithmic ranges.
            whole = itertools.product(*(one.every_value() for one in self.space.values()))
            rest = [dict(zip(self.space, values, strict=True)) for values in whole]
            np.random.default_rng([self.seed, 1]).shuffle(rest)
            for point in rest:
                found.setdefault(_as_json(point), point)
        return list(found.values())[: int(self._number_of_points)]


def _grid_sampler(space: Mapping[str, Distribution], seed: int) -> Sampler:
    """Every combination once; even the first ones spread over the grid, and ASHA soon has good ones to compare with."""
    listed: dict[str, Distribution] = {}
    for key, distribution in space.items():
        try:
            listed[key] = Choices(values=tuple(distribution.grid_values()))
        except UserError as error:
            raise UserError(f"sweep.space.{key}: {error}") from error
    combinations = math.prod(one.size for one in listed.values())
    if combinations > MOST_TRIALS:
        raise UserError(
            f"sweep.search.name=grid: the space has {combinations:,} combinations, more than the {MOST_TRIALS:,} "
            "that a sweep may have; give fewer points or values, or set sweep.search.name=random"
        )
    return Sampler(listed, int(combinations), seed)


class OptunaSampler(Sampler):
    """Points that optuna proposes from the scores so far, each trial being one observation of its point."""

    def __init__(self, space: Mapping[str, Distribution], config: OptunaSearchConfig, seed: int) -> None:
        super().__init__(space, config.trials, seed)
        self._startup_points = config.startup_trials

    def _point(self, number: int, others: Sequence[Trial]) -> dict[str, Any]:
        point_of = {trial.number: trial.number // len(self._combinations) for trial in others}
        tried = set()
        for trial in others:
            values = {key: trial.values[key] for key in self.space}
            if point_of[trial.number] == number:  # begun, with another combination of grid values
                return values
            tried.add(_as_json(values))
        observed = {point_of[trial.number] for trial in others if trial.status.ended and _outcome(trial)}
        if len(observed) >= self._startup_points:
            values = self._ask(study_of(others, self.space), number)
            if _as_json(values) not in tried:
                return values
        from_here = [*self.points[number:], *self.points[:number]]
        return next(dict(point) for point in from_here if _as_json(point) not in tried)

    def _ask(self, study: "optuna.Study", number: int) -> dict[str, Any]:
        """Values that optuna proposes for a point."""
        import optuna

        seed = int(np.random.SeedSequence([self.seed, number, 0]).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(
            multivariate=True, constant_liar=True, n_startup_trials=0, seed=seed
        )
        asked = study.ask({key: distribution.to_optuna() for key, distribution in self.space.items()})
        return {key: distribution.value(asked.params[key]) for key, distribution in self.space.items()}


def study_of(trials: Sequence[Trial], space: Mapping[str, Distribution]) -> "optuna.Study":
    """An optuna study in memory of the trials that there is something to learn from, by their numbers.

    Trials rank by score. Below all that finished come those that the scheduler stopped, by how far they came and then
    by their last intermediate score; below them those that diverged. Those not yet ended count as bad, so that the
    next ones go elsewhere (the constant liar).

    Args:
        trials: each with a value of every key, within its distribution.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    distributions = {key: distribution.to_optuna() for key, distribution in space.items()}
    for trial in sorted(trials, key=lambda trial: trial.number):  # whichever ended first
        if outcome := _outcome(trial):
            params = {key: distribution.parameter(trial.values[key]) for key, distribution in space.items()}
            study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, **outcome))
    return study


def _outcome(trial: Trial) -> dict[str, Any] | None:
    """State and value of a trial as optuna has them; None if there is nothing to learn from it."""
    from optuna.trial import TrialState

    match trial:
        case Trial(status=Status.FINISHED, score=float(score)):
            return {"state": TrialState.COMPLETE, "value": score}
        case Trial(status=Status.STOPPED, intermediate_scores=known) if known:
            scores = {one.milestone: one.score for one in known}
            return {"state": TrialState.PRUNED, "intermediate_values": scores}
        case Trial(status=Status.DIVERGED):
            return {"state": TrialState.PRUNED}  # without an intermediate score, and so the last of all
        case Trial(status=Status.WAITING | Status.RUNNING):
            return {"state": TrialState.RUNNING}
    return None


def _as_json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)
