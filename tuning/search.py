"""Which values a sweep tries: every combination, points spread evenly, or points proposed from the scores so far.

Randomness is counted here as everywhere: the values of trial n are a function of the space, the search, the seed, n
and, for `optuna`, of the trials that it is told of. A sweep that was killed proposes what it would have proposed.
"""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, Field

from echopair.pipeline.errors import UserError
from echopair.tuning.domains import Choices, Domain, Grid, Integers, LogUniform, Uniform
from echopair.tuning.trials import Status, Trial

if TYPE_CHECKING:
    import optuna

PATIENCE = (
    1000  # draws in a row that bring nothing new, until the rest of a small space is drawn in another way
)
TPE_ATTEMPTS = 8  # to propose what was not proposed before
MOST_TRIALS = 10_000  # a range has ten times as many values and more


class GridSearchConfig(BaseModel, frozen=True, extra="forbid"):
    """Every combination of the values of all keys; a range needs `points`."""

    name: Literal["grid"] = "grid"


class RandomSearchConfig(BaseModel, frozen=True, extra="forbid"):
    """Points that fill the space evenly, however many: a scrambled Sobol' sequence.

    Source: Bergstra and Bengio, Random Search for Hyper-Parameter Optimization, JMLR 2012, which compares such
    sequences with grids and independent draws.
    """

    name: Literal["random"] = "random"
    trials: int = Field(
        16,
        ge=1,
        le=MOST_TRIALS,
        description="trials; as many for each combination of the values of grid domains",
    )


class OptunaSearchConfig(BaseModel, frozen=True, extra="forbid"):
    """Points where the scores so far promise most: optuna's multivariate tree-structured Parzen estimator.

    Source: Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011; for several keys at once
    Falkner et al., BOHB, ICML 2018.
    """

    name: Literal["optuna"] = "optuna"
    trials: int = Field(
        16,
        ge=1,
        le=MOST_TRIALS,
        description="trials; as many for each combination of the values of grid domains",
    )
    startup_trials: int = Field(
        8, ge=1, description="points as `random` proposes them, until so many have a score"
    )


SearchConfig = Annotated[
    GridSearchConfig | RandomSearchConfig | OptunaSearchConfig, Field(discriminator="name")
]


class Proposals(ABC):
    """The values of the trials of a sweep.

    Args:
        total: how many trials there are.
        note: what a person should know of that number; empty if it is the one that was asked for.
    """

    total: int
    note: str = ""

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
        return self._propose(number, others)

    @abstractmethod
    def _propose(self, number: int, others: Sequence[Trial]) -> dict[str, Any]: ...


def build_proposals(space: Mapping[str, Domain], config: SearchConfig, seed: int) -> Proposals:
    """The proposals that a config names.

    Args:
        space: domains by dotted key; their order changes nothing.
        config: the search.
        seed: of the sweep.

    Raises:
        UserError: a range without `points` in a grid search; optuna is not installed.
    """
    space = dict(sorted(space.items()))
    match config:
        case GridSearchConfig():
            return GridProposals(space, seed)
        case RandomSearchConfig():
            return RandomProposals(space, config.trials, seed)
        case OptunaSearchConfig():
            return OptunaProposals(space, config, seed)


class GridProposals(Proposals):
    """Every combination once, in an order in which even the first ones spread over the whole grid.

    So a scheduler that stops poor trials early soon has good ones to compare with, and a sweep that is ended before
    its time has looked everywhere.
    """

    def __init__(self, space: Mapping[str, Domain], seed: int) -> None:
        listed: dict[str, Domain] = {}
        for key, domain in space.items():
            try:
                listed[key] = Choices(values=tuple(domain.grid_values()))
            except UserError as error:
                raise UserError(f"sweep.space.{key}: {error}") from error
        self._points = Points(listed, seed)
        self.total = self._points.size or 0
        if self.total > MOST_TRIALS:
            raise UserError(
                f"sweep.search.name=grid: the space has {self.total:,} combinations, more than the {MOST_TRIALS:,} "
                "that a sweep may have; give fewer points or values, or set sweep.search.name=random"
            )

    def _propose(self, number: int, others: Sequence[Trial]) -> dict[str, Any]:
        del others  # a grid is what it is, whatever came of it
        return self._points[number]


class RandomProposals(Proposals):
    """Points of the space, each with every combination of the values of its grid domains.

    Trial n has point n // C and combination n % C of C: all combinations of the first point come first, then those of
    the second. So even the first trials compare the grid's values, and always at the same point of the other keys.
    """

    def __init__(self, space: Mapping[str, Domain], trials: int, seed: int) -> None:
        self._grid = {key: domain.grid_values() for key, domain in space.items() if isinstance(domain, Grid)}
        self._combinations = math.prod(len(values) for values in self._grid.values())
        self._points = Points(
            {key: domain for key, domain in space.items() if not isinstance(domain, Grid)}, seed
        )
        points = trials if self._points.size is None else min(trials, self._points.size)
        self.total = points * self._combinations
        notes = []
        if points < trials and self._points.domains:
            notes.append(f"{points} trials instead of {trials}, for the space has no more different points")
        if self._combinations > 1:
            notes.append(f"{self._combinations} combinations of grid values for each: {self.total} trials")
        self.note = "; ".join(notes)

    def _propose(self, number: int, others: Sequence[Trial]) -> dict[str, Any]:
        point, combination = divmod(number, self._combinations)
        values = {**self._point(point, others), **_combination(self._grid, combination)}
        return dict(sorted(values.items()))

    def _point(self, number: int, others: Sequence[Trial]) -> dict[str, Any]:
        """Point `number`, the same for all combinations of grid values."""
        del others  # the sequence is what it is, whatever came of its points
        return self._points[number]


class OptunaProposals(RandomProposals):
    """Points from the scores of the trials so far, each with every combination of grid values as in the base class.

    Each trial is one observation of its point, whatever its grid values. Trials rank by score. Below all that
    finished come those that the scheduler stopped, by how far they came and then by their last reading, for a reading
    early in a training is no score; below them those that diverged. Failed trials say nothing of their values.
    Those not yet ended count as bad, so that the next ones go elsewhere (the constant liar).
    """

    def __init__(self, space: Mapping[str, Domain], config: OptunaSearchConfig, seed: int) -> None:
        _require_optuna()
        super().__init__(space, config.trials, seed)
        self._seed = seed
        self._startup_points = config.startup_trials

    def _point(self, number: int, others: Sequence[Trial]) -> dict[str, Any]:
        known = [
            _Known(trial.number // self._combinations, values, trial)
            for trial in sorted(others, key=lambda trial: trial.number)  # not by when they ended
            if (values := self._values_of(trial)) is not None
        ]
        for other in known:
            if other.point == number:  # begun, with another combination of grid values
                return dict(other.values)
        tried = {_identity(other.values) for other in known}
        if len({other.point for other in known if _is_observation(other.trial)}) >= self._startup_points:
            study = self._study(known)
            for attempt in range(TPE_ATTEMPTS):
                values = self._ask(study, number, attempt)
                if _identity(values) not in tried:
                    return values
        return self._points.first_from(number, tried)

    def _values_of(self, trial: Trial) -> dict[str, Any] | None:
        """Values of the keys that are not of a grid domain; None for those of another space."""
        for key, domain in self._domains.items():
            if key not in trial.values or not domain.contains(trial.values[key]):
                return None
        return {key: trial.values[key] for key in self._domains}

    @property
    def _domains(self) -> Mapping[str, Domain]:
        return self._points.domains

    def _study(self, known: Sequence["_Known"]) -> "optuna.Study":
        """A new study of the trials so far: nothing but they can matter."""
        import optuna

        study = optuna.create_study(direction="maximize")
        distributions = {key: _distribution(domain) for key, domain in self._domains.items()}
        for other in known:
            if (outcome := _outcome(other.trial)) is not None:
                parameters = {
                    key: _parameter(self._domains[key], value) for key, value in other.values.items()
                }
                study.add_trial(
                    optuna.trial.create_trial(params=parameters, distributions=distributions, **outcome)
                )
        return study

    def _ask(self, study: "optuna.Study", number: int, attempt: int) -> dict[str, Any]:
        """Values that optuna proposes; a repeated attempt knows of those before and goes elsewhere."""
        import optuna

        counted = np.random.SeedSequence([self._seed, number, attempt])
        study.sampler = optuna.samplers.TPESampler(
            multivariate=True, constant_liar=True, n_startup_trials=0, seed=int(counted.generate_state(1)[0])
        )
        asked = study.ask({key: _distribution(domain) for key, domain in self._domains.items()})
        return {key: _value(domain, asked.params[key]) for key, domain in self._domains.items()}


class Points:
    """Different points of a space, evenly spread: a scrambled Sobol' sequence without what comes again.

    Args:
        domains: by dotted key.
        seed: of the scrambling.
    """

    def __init__(self, domains: Mapping[str, Domain], seed: int) -> None:
        self.domains = domains
        listed = {key: domain.every_value() for key, domain in domains.items()}
        self._listed = {key: values for key, values in listed.items() if values is not None}
        self._seed = seed
        self._drawn: list[dict[str, Any]] = []
        self._drawing = self._draw()

    @property
    def size(self) -> int | None:
        """How many different points there are; None for too many to count."""
        if len(self._listed) < len(self.domains):
            return None
        return math.prod(len(values) for values in self._listed.values())

    def __getitem__(self, number: int) -> dict[str, Any]:
        """Point `number` from 0 to size - 1: a function of the domains, the seed and the number."""
        while len(self._drawn) <= number:
            self._drawn.append(next(self._drawing))
        return dict(self._drawn[number])

    def first_from(self, number: int, without: set[str]) -> dict[str, Any]:
        """Point `number`, or the next one of which the identity is not in `without`; from the start after the last."""
        numbers = range(number, number + len(without) + 1)
        points = (self[place if self.size is None else place % self.size] for place in numbers)
        return next(point for point in points if _identity(point) not in without)

    def _draw(self) -> Iterator[dict[str, Any]]:
        from scipy.stats import qmc

        sequence = qmc.Sobol(len(self.domains), scramble=True, rng=np.random.default_rng(self._seed))
        seen: set[str] = set()
        repeats = 0
        while repeats < PATIENCE or self.size is None:
            shares = dict(zip(self.domains, sequence.random(1)[0], strict=True))
            point = {key: domain.at(float(shares[key])) for key, domain in self.domains.items()}
            repeats += 1
            if _identity(point) not in seen:
                seen.add(_identity(point))
                repeats = 0
                yield point
        # What is left of a small space, such as the rare high numbers of several logarithmic ranges.
        generator = np.random.default_rng([self._seed, 1])
        while True:
            point = {
                key: values[int(generator.integers(len(values)))] for key, values in self._listed.items()
            }
            if _identity(point) not in seen:
                seen.add(_identity(point))
                yield point


class _Known(NamedTuple):
    """What a trial tells of the keys that are not of a grid domain."""

    point: int
    values: dict[str, Any]
    trial: Trial


def _combination(values: Mapping[str, Sequence[Any]], number: int) -> dict[str, Any]:
    """Combination `number` of all: its digits, each to the base of a key's values, the last key's first."""
    chosen = {}
    for key, choices in reversed(list(values.items())):
        number, place = divmod(number, len(choices))
        chosen[key] = choices[place]
    return dict(reversed(chosen.items()))


def _identity(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)


def _is_observation(trial: Trial) -> bool:
    return trial.status.ended and _outcome(trial) is not None


def _outcome(trial: Trial) -> dict[str, Any] | None:
    """State and value of a trial as optuna has them; None if it tells nothing."""
    from optuna.trial import TrialState

    match trial:
        case Trial(status=Status.FINISHED, score=float(score)):
            return {"state": TrialState.COMPLETE, "value": score}
        case Trial(status=Status.STOPPED, readings=readings) if readings:
            scores = {reading.milestone: reading.score for reading in readings}
            return {"state": TrialState.PRUNED, "intermediate_values": scores}
        case Trial(status=Status.DIVERGED):
            return {"state": TrialState.PRUNED}  # without a reading, and so the last of all
        case Trial(status=Status.WAITING | Status.RUNNING):
            return {"state": TrialState.RUNNING}
    return None


def _distribution(domain: Domain) -> "optuna.distributions.BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match domain:
        case LogUniform() | Uniform():
            return FloatDistribution(domain.low, domain.high, log=domain.is_log)
        case Integers():
            return IntDistribution(domain.low, domain.high, log=domain.log)
        case Choices() | Grid():
            return CategoricalDistribution(range(len(domain.values)))


def _parameter(domain: Domain, value: Any) -> Any:
    """A value as optuna has it: of a list its place, for optuna knows no mappings."""
    return domain.place(value) if isinstance(domain, Choices) else value


def _value(domain: Domain, parameter: Any) -> Any:
    """The value of a parameter: what `_parameter` undoes, rounded as all that is proposed."""
    match domain:
        case LogUniform() | Uniform():
            return domain.rounded(parameter)
        case Integers():
            return parameter
        case Choices() | Grid():
            return domain.values[parameter]


def _require_optuna() -> None:
    try:
        import optuna
    except ImportError as error:
        raise UserError(
            "sweep.search.name=optuna needs a package that is not installed: pip install 'echopair[optuna]'; "
            "sweep.search.name=random needs none"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
