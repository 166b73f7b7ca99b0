"""Where the values of a parameter stand on an axis, and which of them are written at it."""

import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echopair.pipeline.corpus_report.statistics import nice_step
from echopair.tuning.report.parameters import Parameter, is_number
from echopair.tuning.results import value_text
from echopair.tuning.trials import Trial


class Scale:
    """The axis of a parameter: 0 is the lowest value searched, 1 the highest.

    A range is linear or logarithmic; finitely many values stand equally far apart, numbers in rising order.

    Args:
        parameter: what was searched.
        trials: whose values are to be placed; values that were not to be searched are added at the ends.
    """

    def __init__(self, parameter: Parameter, trials: Iterable[Trial]) -> None:
        self.parameter = parameter
        tried = [trial.values[parameter.key] for trial in trials if parameter.key in trial.values]
        known = [*(parameter.values or ()), *tried]
        self.numeric = all(is_number(value) for value in known)
        self.finite = parameter.values is not None or not self.numeric
        self.values = self._distinct(known) if self.finite else []
        ends = [end for end in (parameter.low, parameter.high) if end is not None]
        numbers = [float(value) for value in (ends if len(ends) == 2 else tried)] if not self.finite else []
        self.low, self.high = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
        self.log = parameter.log and self.numeric and all(value > 0 for value in [*known, *ends])
        self.whole = self.numeric and all(float(value).is_integer() for value in [*known, *ends])
        self._places = {self._identity(value): place for place, value in enumerate(self.values)}

    def position(self, value: Any) -> float:
        """Place of a value: 0 to 1 inside what was searched, beyond it outside."""
        if self.finite:
            last = len(self.values) - 1
            return self.index(value) / last if last else 0.5
        low, high, at = (math.log(v) if self.log else v for v in (self.low, self.high, float(value)))
        return (at - low) / (high - low) if high > low else 0.5 + at - low

    def index(self, value: Any) -> int:
        """Place of one of finitely many values: 0, 1, ..."""
        return self._places[self._identity(value)]

    @property
    def log_note(self) -> str:
        """What a name at the axis needs to be followed by."""
        return " (log)" if self.log and not self.finite else ""

    def positions(self, trials: Iterable[Trial]) -> NDArray[np.float64]:
        """(N,) places of the values of trials."""
        return np.array([self.position(trial.values[self.parameter.key]) for trial in trials], np.float64)

    def ticks(self, at_most: int) -> list[tuple[float, str]]:
        """Places and texts of values that an axis has room to name."""
        if self.finite:
            chosen = self.values[:: -(-len(self.values) // at_most)]
        elif self.high <= self.low:
            chosen = [self.low]
        else:
            chosen = (_log_ticks if self.log else _ticks)(self.low, self.high, at_most, whole=self.whole)
        return [(self.position(value), value_text(value)) for value in chosen]

    def _identity(self, value: Any) -> Any:
        return float(value) if self.numeric else json.dumps(value, sort_keys=True, default=str)

    def _distinct(self, values: Iterable[Any]) -> list[Any]:
        distinct: dict[Any, Any] = {}
        for value in values:
            distinct.setdefault(self._identity(value), value)
        return sorted(distinct.values()) if self.numeric else list(distinct.values())


def _ticks(low: float, high: float, at_most: int, *, whole: bool) -> list[float]:
    step = nice_step(high - low, at_most - 1)
    step = max(1.0, round(step)) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]


def _log_ticks(low: float, high: float, at_most: int, *, whole: bool) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = []
    for digits, every in (((1, 2, 5), 1), ((1, 3), 1), *(((1,), n) for n in range(1, len(powers) + 1))):
        candidates = (digit * 10.0**power for power in powers[::every] for digit in digits)
        ticks = [tick for tick in candidates if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if len(ticks) <= at_most:
            break
    return ticks if len(ticks) > 2 else _ticks(low, high, at_most, whole=whole)
