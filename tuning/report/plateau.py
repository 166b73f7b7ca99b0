"""The plateau of a parameter: around the best trial, the values with which trials did about as well."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from echopair.tuning.report.outcomes import best_first, finished, score_of, with_values
from echopair.tuning.report.parameters import Parameter
from echopair.tuning.report.scale import Scale
from echopair.tuning.trials import Trial

WITHIN_SCORE = 0.01
# Other parameters differ between trials, so a single low score among high ones does not end a plateau of a range.
BRIDGED_SHARE = 1 / 8
ROUNDING = 1e-9  # 0.71 - 0.70 is a hair more than 0.01


@dataclass(frozen=True)
class Plateau:
    """Values around the best with which trials came within a margin of the best score.

    Args:
        values: with which they did, rising where they are numbers, each once; the best trial's is among them.
        best_value: of the best trial.
        best_score: of the best trial, 0 to 1.
        trials: that came within the margin with one of the values.
        trials_there: all finished ones from the lowest to the highest of the values.
        share: of what was searched that lies from the lowest to the highest, 0 to 1.
        numeric: whether the values are numbers.
        log: whether the width is a factor.
    """

    values: tuple[Any, ...]
    best_value: Any
    best_score: float
    trials: int
    trials_there: int
    share: float
    numeric: bool
    log: bool

    @property
    def low(self) -> float | None:
        """The lowest of the values; None unless they are numbers."""
        return float(self.values[0]) if self.numeric else None

    @property
    def high(self) -> float | None:
        """The highest of the values; None unless they are numbers."""
        return float(self.values[-1]) if self.numeric else None

    @property
    def width(self) -> float | None:
        """From the lowest to the highest: their factor if log, else their difference; None unless numbers."""
        if self.low is None or self.high is None:
            return None
        return self.high / self.low if self.log else self.high - self.low


def plateau(trials: Sequence[Trial], parameter: Parameter, within: float = WITHIN_SCORE) -> Plateau | None:
    """The plateau as far as trials show it: nothing is estimated between them.

    It reaches from the best trial over all trials within the margin, until it would step over a lower one:
    over any value of finitely many that no trial came near the best with; in a range, over an eighth of what
    was searched with lower trials in it. Values that are no numbers have no order: all near ones belong.

    Args:
        trials: of which the finished ones count.
        parameter: whose values are looked at; whatever others were swept lie as they lay.
        within: margin of the score, 0 to 1; 0.01 is one point.

    Returns:
        None if no trial finished, and for a seed, which has no good values.
    """
    done = with_values(finished(trials), [parameter])
    if parameter.is_seed or not done:
        return None
    scale = Scale(parameter, done)
    best = best_first(done)[0]
    near = [trial for trial in done if score_of(best) - score_of(trial) <= within + ROUNDING]
    tried = set(scale.positions(done))
    reached = set(scale.positions(near))
    if scale.numeric:
        bridged = 0.0 if scale.finite else BRIDGED_SHARE
        low, high = _stretch(tried - reached, reached, scale.position(best.values[parameter.key]), bridged)
        reached = {place for place in reached if low <= place <= high}
        there = [trial for trial in done if low <= scale.position(trial.values[parameter.key]) <= high]
    else:
        there = [trial for trial in done if scale.position(trial.values[parameter.key]) in reached]
    inside = {scale.position(trial.values[parameter.key]): trial.values[parameter.key] for trial in there}
    places = sorted(reached)
    return Plateau(
        values=tuple(inside[place] for place in places),
        best_value=best.values[parameter.key],
        best_score=score_of(best),
        trials=sum(trial in near for trial in there),
        trials_there=len(there),
        share=len(places) / len(scale.values) if scale.finite else min(1.0, places[-1] - places[0]),
        numeric=scale.numeric,
        log=scale.log,
    )


def _stretch(lower: set[float], near: set[float], best: float, bridged: float) -> tuple[float, float]:
    """The ends of the plateau around `best`: places of near trials, with no wide gap that holds lower ones."""
    ends = []
    for side in (-1, 1):
        end = best
        for place in sorted((place for place in near if side * (place - best) > 0), key=lambda p: side * p):
            stepped_over = any(side * end < side * other < side * place for other in lower)
            if stepped_over and abs(place - end) > bridged + ROUNDING:
                break
            end = place
        ends.append(end)
    return ends[0], ends[1]
