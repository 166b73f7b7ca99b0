"""How well scores rank positives before negatives, under many weights at once, ties included."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from echopair.lazy import np
from echopair.pipeline.evaluate.task import Metric, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

# float32 products of equal vectors differ by some 1e-7 between the places of a matrix; these are ties.
TIE_DECIMALS = 6


class Ranking(NamedTuple):
    """Examples in the order of their scores, the highest first.

    Args:
        order: (n,) indices of the examples.
        positive: (n,) whether each is positive, in this order.
        ends: (T,) places of the last example of each score.
    """

    order: NDArray[np.int64]
    positive: NDArray[np.bool_]
    ends: NDArray[np.int64]


class Rates(NamedTuple):
    """ROC curves, with straight lines between thresholds: examples of equal score are in random order.

    Args:
        false: (W, 1 + T) share of the negatives above each threshold, from 0 to 1.
        true: (W, 1 + T) share of the positives; both NaN where the weights leave no positive or no negative.
    """

    false: NDArray[np.float64]
    true: NDArray[np.float64]


def rank(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> Ranking:
    """Sort examples once; scores (n,) that are equal to `TIE_DECIMALS` are ties."""
    rounded = np.round(scores, TIE_DECIMALS)
    order = np.argsort(-rounded, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(rounded[order]) != 0, True))
    return Ranking(order, positive[order], ends)


def coarsened(ranking: Ranking, thresholds: int) -> Ranking:
    """A ranking with no more than so many thresholds, at equal numbers of examples."""
    wanted = np.linspace(0, len(ranking.order) - 1, thresholds)
    return ranking._replace(ends=np.unique(ranking.ends[np.searchsorted(ranking.ends, wanted)]))


def rates(ranking: Ranking, weights: NDArray[np.floating]) -> Rates:
    """ROC curves under weights (W, n), at least 0, of the examples in the order of the ranking."""
    starts = np.append(0, ranking.ends[:-1] + 1)
    seen, true = (
        np.cumsum(np.add.reduceat(one, starts, axis=1), axis=1, dtype=np.float64)
        for one in (weights, weights * ranking.positive)
    )
    true, false = (np.pad(one, ((0, 0), (1, 0))) for one in (true, seen - true))
    defined = (true[:, -1:] > 0) & (false[:, -1:] > 1e-9 * seen[:, -1:])
    with np.errstate(invalid="ignore", divide="ignore"):
        return Rates(*(np.where(defined, one / one[:, -1:], np.nan) for one in (false, true)))


def area(curves: Rates) -> NDArray[np.float64]:
    """(W,) areas under the curves: the chance that a positive scores above a negative, half of the ties counted."""
    heights = (curves.true[:, 1:] + curves.true[:, :-1]) / 2
    areas: NDArray[np.float64] = (np.diff(curves.false, axis=1) * heights).sum(1)
    return areas


def equal_error_rate(curves: Rates) -> NDArray[np.float64]:
    """(W,) the share of negatives above, where it equals the share of positives below."""
    return _false_where(curves, curves.false + curves.true - 1, 0.0)


def false_rate_at(curves: Rates, true_rate: float) -> NDArray[np.float64]:
    """(W,) the smallest share of negatives above, where this share of the positives, above 0, is above."""
    return _false_where(curves, curves.true, true_rate)


def _false_where(curves: Rates, rising: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """The false rate where a quantity that rises along the curve first reaches a level."""
    defined = ~np.isnan(rising[:, -1])
    rows = np.arange(len(rising))
    # Sums of weights are equal to a level up to rounding.
    after = np.where(defined, np.maximum((rising >= level - 1e-9).argmax(1), 1), 1)
    low, high = rising[rows, after - 1], rising[rows, after]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.clip((level - low) / (high - low), 0, 1)
    start, end = curves.false[rows, after - 1], curves.false[rows, after]
    return np.where(defined, start + share * (end - start), np.nan)


def ranking_metric(
    task: Task, value: float, resamples: NDArray[np.float64], clips: NDArray[np.int64]
) -> Metric:
    """A metric between 0 and 1 that is no mean of right and wrong clips: its interval is that of its variance alone.

    The interval of a proportion would be too wide: it takes the variance to be at least that of as many coin tosses as
    there are clips.

    Args: see `Task.metric`.
    """
    metric = task.metric(value, resamples, clips, proportion=False)
    if metric.interval is None:
        return metric
    low, high = metric.interval
    return metric._replace(interval=(max(0.0, low), min(1.0, high)))
