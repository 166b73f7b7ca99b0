"""How encoders compare: the first metric of each suite, and which differences are within their interval."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from echopair.pipeline.evaluate.suites import SUITES
from echopair.pipeline.evaluate.suites.base import Result, shown
from echopair.pipeline.evaluation.base import ResultTable

if TYPE_CHECKING:
    from echopair.pipeline.evaluate.run import Evaluated
    from echopair.pipeline.evaluation.bootstrap import Interval

NOT_DIFFERENT = "≈"


class Difference(NamedTuple):
    """How much better an encoder is than another, by the first metric of a suite.

    Args:
        corpus: evaluated on.
        suite: name of the suite.
        one: name of the encoder that the difference is of.
        other: name of the one that it is compared with.
        gain: above 0 where `one` is better, in shares.
        interval: 95 %, paired over sources; None of too few sources.
    """

    corpus: str
    suite: str
    one: str
    other: str
    gain: float
    interval: Interval | None

    @property
    def clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)


def difference(done: Evaluated, corpus: str, suite: str, one: str, other: str) -> Difference | None:
    """The difference of two encoders; None where the suite was not asked of both."""
    results = done.results[corpus].get(suite, {})
    key = next(iter(SUITES[suite].metrics))
    if not all(name in results and key in results[name].metrics for name in (one, other)):
        return None
    gain, interval = done.tasks[corpus].difference(results[one].metrics[key], results[other].metrics[key])
    if key in SUITES[suite].lower_is_better:
        gain, interval = -gain, None if interval is None else (-interval[1], -interval[0])
    return Difference(corpus, suite, one, other, gain, interval)


def overview(done: Evaluated, corpus: str) -> ResultTable:
    """A row for each suite, a column for each encoder; ≈ marks what is not clearly different from the best one."""
    names = [encoder.name for encoder in done.encoders]
    rows = []
    for suite, results in done.results[corpus].items():
        best = best_of(suite, results)
        cells = [
            _cell(done, corpus, suite, name, best) if name in results and best is not None else ""
            for name in names
        ]
        arrow = " (less is better)" if _first_metric(suite) in SUITES[suite].lower_is_better else ""
        rows.append(
            [
                f"{suite.replace('_', ' ')}: {SUITES[suite].heading(_first_metric(suite), done.tasks[corpus])}{arrow}",
                *cells,
            ]
        )
    return ResultTable(f"{corpus}: the first figure of each suite", ["suite", *names], rows)


def best_of(suite: str, results: Mapping[str, Result]) -> str | None:
    """The encoder with the best first metric."""
    key = _first_metric(suite)
    values = {name: one.metrics[key].value for name, one in results.items() if key in one.metrics}
    if not values:
        return None
    return (min if key in SUITES[suite].lower_is_better else max)(values, key=lambda name: values[name])


def mean_ranks(done: Evaluated, suite: str) -> dict[str, float]:
    """Mean over the corpora of the rank of each encoder by a suite, 1 the best; equal scores share their mean rank."""
    from scipy.stats import rankdata

    names = [encoder.name for encoder in done.encoders]
    ranks: dict[str, list[float]] = {name: [] for name in names}
    key = _first_metric(suite)
    for results in done.results.values():
        of_suite = results.get(suite, {})
        if all(name in of_suite and key in of_suite[name].metrics for name in names):
            values = [of_suite[name].metrics[key].value for name in names]
            signed = values if key in SUITES[suite].lower_is_better else [-value for value in values]
            for name, rank in zip(names, rankdata(signed).tolist(), strict=True):
                ranks[name].append(rank)
    return {name: fmean(of_name) for name, of_name in ranks.items() if of_name}


def _cell(done: Evaluated, corpus: str, suite: str, name: str, best: str) -> str:
    result = done.results[corpus][suite][name]
    key = _first_metric(suite)
    if key not in result.metrics:
        return ""
    text = shown(result.metrics[key])
    if name == best:
        return text
    found = difference(done, corpus, suite, name, best)
    return text if found is not None and found.clear else f"{text} {NOT_DIFFERENT}"


def _first_metric(suite: str) -> str:
    return next(iter(SUITES[suite].metrics))
