"""The swept parameters as the report sees them: what was searched of each, and how it is called."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from echopair.tuning.distributions import Choices, Distribution, Grid, Integers, LogUniform, Uniform
from echopair.tuning.results import short_keys
from echopair.tuning.trials import Trial

VALUES_OF_A_GRID = 12  # of a range; more of them are looked at as a range again
LOG_FROM_RATIO = 10.0  # listed numbers that span so much are compared by factors


@dataclass(frozen=True)
class Parameter:
    """One swept parameter and what was searched of it.

    Args:
        key: dotted, of RunConfig, such as `objective.temperature`.
        log: whether factors matter rather than differences.
        values: those searched, in order, where they are finitely many; None for a range.
        low: lower end of a range; None for finite values.
        high: upper end of a range; None for finite values.
    """

    key: str
    log: bool = False
    values: tuple[Any, ...] | None = None
    low: float | None = None
    high: float | None = None

    @property
    def is_seed(self) -> bool:
        """Whether its values are all alike but for chance."""
        return self.key.rsplit(".", 1)[-1] == "seed"


def parameter_of(key: str, domain: Distribution) -> Parameter:
    """What the report needs to know of a key of the space."""
    match domain:
        case Uniform() | LogUniform() | Integers():
            return Parameter(key, log=domain.is_log, low=float(domain.low), high=float(domain.high))
        case Choices() | Grid():
            return Parameter(key, log=_spans_factors(domain.values), values=domain.values)


def as_tried(parameter: Parameter, trials: Sequence[Trial]) -> Parameter:
    """A range of which a grid search tried a few values, each several times, as those values."""
    tried = [trial.values[parameter.key] for trial in trials if parameter.key in trial.values]
    if parameter.values is not None or not tried or not all(is_number(value) for value in tried):
        return parameter
    counted = Counter(tried)
    if len(counted) > VALUES_OF_A_GRID or min(counted.values()) < 2:
        return parameter
    return replace(parameter, values=tuple(sorted(counted)), low=None, high=None)


def labels(parameters: Sequence[Parameter]) -> dict[str, str]:
    """What people call the parameters, by key: "temperature", or "tilt magnitude" beside another magnitude."""
    keys = [parameter.key for parameter in parameters]
    return dict(zip(keys, short_keys(keys), strict=True))


def is_number(value: Any) -> bool:
    """Whether a value can stand on an axis."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _spans_factors(values: Sequence[Any]) -> bool:
    return all(is_number(value) and value > 0 for value in values) and max(values) >= LOG_FROM_RATIO * min(
        values
    )
