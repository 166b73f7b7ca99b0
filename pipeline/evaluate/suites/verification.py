"""The suite `verification`: whether two clips are of one class, and which of a few clips is of the class of another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from echopair.lazy import np
from echopair.pipeline.errors import listed
from echopair.pipeline.evaluate.clip_draws import ClipDraws, Pairs, resampled_weights
from echopair.pipeline.evaluate.ranking import (
    TIE_DECIMALS,
    Ranking,
    area,
    coarsened,
    equal_error_rate,
    rank,
    ranking_metric,
    rates,
)
from echopair.pipeline.evaluate.suites.base import Result, Subject, Suite, SuiteConfig
from echopair.pipeline.evaluate.task import RESAMPLES, Metric, Task
from echopair.pipeline.evaluation.labels import quoted
from echopair.pipeline.evaluation.nearest_neighbours import unit_vectors
from echopair.pipeline.progress import progress_bar

if TYPE_CHECKING:
    from numpy.typing import NDArray

WAYS = (5, 20)
ROC_PLACES = 101
# Of resamples, whose curves are straight between them: an error of some 0.0002 at most.
RESAMPLED_THRESHOLDS = 1024
VALUES_PER_BLOCK = 2**22


class VerificationConfig(SuiteConfig):
    """How much is drawn where there is more."""

    max_pairs: int = Field(
        2_000_000, ge=1000, le=20_000_000, description="where there are more, so many are drawn"
    )
    trials: int = Field(20_000, ge=100, le=1_000_000, description="of one-shot classification")


class Verification(Suite):
    """Equal error rate of pairs, and accuracy of one-shot classification."""

    name = "verification"
    question = "Does similarity tell whether two clips are of one class?"
    method = (
        "Pairs of tested clips of different sources are taken for one class where their cosine similarity is above a "
        "threshold; at the equal error rate, it errs as often on pairs of one class as on others. One-shot: a clip "
        "gets the class of the most similar of a few clips, one of each class, from other sources (Koch et al., 2015). "
        "All classes count equally, and nothing is fitted."
    )
    metrics: ClassVar = {"equal_error_rate": "equal error rate", "auroc": "area under ROC"} | {
        f"one_shot_{ways}": f"one-shot accuracy, {ways} classes" for ways in WAYS
    }
    lower_is_better = frozenset({"equal_error_rate"})
    config = VerificationConfig

    def lacks(self, task: Task, config: VerificationConfig) -> str:
        """See `Suite`."""
        if task.multilabel:
            return "clips with one label each"
        return "" if len(ClipDraws(task).classes) > 1 else "tested clips of two classes, each of two sources"

    def evaluate(self, task: Task, subject: Subject, config: VerificationConfig) -> Result:
        """See `Suite`."""
        draws, directions = ClipDraws(task), unit_vectors(subject.embeddings)
        pairs = draws.pairs(config.max_pairs)
        similarity = _similarities(directions, pairs.first, pairs.second[:, None])[:, 0]
        ranking = rank(similarity, pairs.same)
        metrics = _pair_metrics(task, pairs, ranking, f"{self.name} {task.corpus}")
        details = {"pairs": len(similarity), "roc": _curve(pairs, ranking)}
        for key, ways in _ways(draws).items():
            query, support = draws.trials(config.trials, ways)
            metrics[key] = _one_shot(task, query, support, _similarities(directions, query, support))
        if not len(draws.alone):
            return Result(metrics, details)
        names = listed(quoted(task.classes[n] for n in draws.alone))
        return Result(
            metrics, details, (f"All tested clips of {names} are of one source, so they are in no pair.",)
        )

    def chance(self, task: Task, config: VerificationConfig) -> dict[str, float]:
        """Of equal similarities."""
        return {"equal_error_rate": 0.5, "auroc": 0.5} | {
            key: 1 / ways for key, ways in _ways(ClipDraws(task)).items()
        }

    def heading(self, key: str, task: Task) -> str:
        """See `Suite`; a corpus may have fewer classes."""
        ways = _ways(ClipDraws(task)).get(key)
        return self.metrics[key] if ways is None else f"one-shot accuracy, {ways} classes"

    def figure(
        self, task: Task, results: Mapping[str, Result], config: VerificationConfig, file: Path
    ) -> None:
        """Draw the ROC curves; see `Suite`."""
        from echopair.pipeline.evaluate.figures import roc_figure

        roc_figure({name: one.details["roc"] for name, one in results.items()}, file)


def _ways(draws: ClipDraws) -> dict[str, int]:
    """Numbers of classes of trials by the key of their metric; of few classes, all, once."""
    ways = {f"one_shot_{one}": min(one, len(draws.classes)) for one in WAYS}
    return {key: one for n, (key, one) in enumerate(ways.items()) if one not in list(ways.values())[:n]}


def _similarities(
    directions: NDArray[np.float32], query: NDArray[np.int64], other: NDArray[np.int64]
) -> NDArray[np.float32]:
    """(T, n) of each query (T,) to each of its others (T, n)."""
    found = np.empty(other.shape, np.float32)
    block = max(1, VALUES_PER_BLOCK // (directions.shape[1] * other.shape[1]))
    for first in range(0, len(query), block):
        part = slice(first, first + block)
        found[part] = np.einsum("td,tnd->tn", directions[query[part]], directions[other[part]])
    return found


def _pair_metrics(task: Task, pairs: Pairs, ranking: Ranking, title: str) -> dict[str, Metric]:
    weights = pairs.weights[ranking.order]
    first, second = pairs.first[ranking.order], pairs.second[ranking.order]
    figures = {"equal_error_rate": equal_error_rate, "auroc": area}
    whole = rates(ranking, weights[None])
    resamples = {key: np.empty(RESAMPLES) for key in figures}
    coarse = coarsened(ranking, RESAMPLED_THRESHOLDS)
    with progress_bar(title, RESAMPLES, "resamples") as advance:
        for draws, counts in resampled_weights(task, first, second):
            drawn = rates(coarse, counts * weights)
            for key, figure in figures.items():
                resamples[key][draws] = figure(drawn)
            advance(len(counts))
    return {
        key: ranking_metric(task, float(figure(whole)[0]), resamples[key], task.tested)
        for key, figure in figures.items()
    }


def _curve(pairs: Pairs, ranking: Ranking) -> list[float]:
    """True rates at the false rates of `ROC_PLACES`."""
    curve = rates(ranking, pairs.weights[ranking.order][None])
    rates_there: list[float] = np.interp(
        np.linspace(0, 1, ROC_PLACES), curve.false[0], curve.true[0]
    ).tolist()
    return rates_there


def _one_shot(
    task: Task, query: NDArray[np.int64], support: NDArray[np.int64], similarity: NDArray[np.float32]
) -> Metric:
    """Accuracy of trials; the first clip of each support is of the query's class.

    Sources vary as that of the query and of this clip. Each other clip matters little, and is kept as it was drawn.
    """
    rounded = np.round(similarity, TIE_DECIMALS)
    best = rounded == rounded.max(1, keepdims=True)
    right = best[:, 0] / best.sum(1)  # of ties one is guessed
    resamples = np.empty(RESAMPLES)
    for draws, counts in resampled_weights(task, query, support[:, 0]):
        total = counts.sum(1, dtype=np.float64)
        resamples[draws] = np.where(total > 0, counts @ right / np.maximum(total, 1), np.nan)
    return ranking_metric(task, float(right.mean()), resamples, query)
