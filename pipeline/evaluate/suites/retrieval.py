"""The suite `retrieval`: each clip as a query among the clips of all other sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from echopair.lazy import np
from echopair.pipeline.errors import counted, listed
from echopair.pipeline.evaluate.ranking import TIE_DECIMALS, ranking_metric
from echopair.pipeline.evaluate.suites.base import Result, Subject, Suite, SuiteConfig
from echopair.pipeline.evaluate.task import Task
from echopair.pipeline.evaluation.labels import quoted
from echopair.pipeline.evaluation.nearest_neighbours import unit_vectors
from echopair.pipeline.progress import progress_bar

if TYPE_CHECKING:
    from numpy.typing import NDArray

CUTOFFS = (1, 5, 10)
SIMILARITIES_PER_BLOCK = 2**21  # some twenty arrays of so many numbers are in memory at once


class Retrieval(Suite):
    """Mean average precision, and recall among the first clips."""

    name = "retrieval"
    question = "Does a clip find the clips of its class?"
    method = (
        "Each tested clip is a query; all clips of other sources are ranked by cosine similarity, and those that share "
        "a label are relevant. Recall at k is the share of queries with a relevant clip among the first k. Ties are in "
        "random order (McSherry and Najork, ECIR 2008). Nothing is fitted."
    )
    metrics: ClassVar = {"map": "mean average precision"} | {f"recall_{k}": f"recall at {k}" for k in CUTOFFS}

    def lacks(self, task: Task, config: SuiteConfig) -> str:
        """See `Suite`."""
        return "" if relevant_counts(task)[0].any() else "clips of one class from two sources"

    def evaluate(self, task: Task, subject: Subject, config: SuiteConfig) -> Result:
        """See `Suite`."""
        relevant = relevant_counts(task)[0] > 0
        queries, lonely = task.tested[relevant], task.tested[~relevant]
        directions, labels = unit_vectors(subject.embeddings), task.targets.astype(np.float32)
        precision, found = np.empty(len(queries)), np.empty((len(CUTOFFS), len(queries)))
        influence = np.zeros(task.source_counts.shape[1])
        block = max(1, SIMILARITIES_PER_BLOCK // len(directions))
        with progress_bar(f"{self.name} {task.corpus}", len(queries), "queries") as advance:
            for first in range(0, len(queries), block):
                part = slice(first, first + block)
                clips = queries[part]
                others = task.sources[clips][:, None] != task.sources
                similarity = np.where(others, directions[clips] @ directions.T, -np.inf)
                ranked = rank_clips(similarity, (labels[clips] @ labels.T > 0) & others)
                precision[part] = average_precision(ranked)
                found[:, part] = [recall(ranked, k, others.sum(1)) for k in CUTOFFS]
                sources = task.sources[ranked.order]
                influence += np.bincount(sources.ravel(), influences(ranked).ravel(), len(influence))
                advance(len(clips))
        # Sources vary as queries and as what is found. The second part is linearised: it matters as much as the first,
        # and to rank all clips anew for each draw would take hours.
        mean = task.mean(queries, precision)
        resamples = mean.resamples + (task.source_counts - 1) @ (influence / len(queries))
        metrics = {"map": ranking_metric(task, mean.value, resamples, queries)}
        for k, of_k in zip(CUTOFFS, found, strict=True):
            metrics[f"recall_{k}"] = task.mean(queries, of_k)
        return Result(metrics, undefined=_undefined(task, lonely))

    def chance(self, task: Task, config: SuiteConfig) -> dict[str, float]:
        """The expectation of a random order."""
        relevant, others = relevant_counts(task)
        relevant, others = relevant[relevant > 0], others[relevant > 0]
        harmonic = np.cumsum(1 / np.arange(1, len(task.sources) + 1))[others - 1]
        share = (relevant - 1) / np.maximum(others - 1, 1)
        precision = (harmonic + share * (others - harmonic)) / others
        return {"map": float(precision.mean())} | {
            f"recall_{k}": float(1 - none_drawn(others, relevant, np.minimum(k, others)).mean())
            for k in CUTOFFS
        }


class RankedClips(NamedTuple):
    """The clips of each of Q queries in the order of their similarity, those of its own source last.

    Args:
        order: (Q, N) indices of the clips.
        relevant: (Q, N) whether each is relevant, in this order.
        before: (Q, N) relevant clips that are more similar than the ties of each place.
        tied: (Q, N) clips of equal similarity there.
        tied_relevant: (Q, N) how many of them are relevant.
        place: (Q, N) of a clip among its ties, from 0.
    """

    order: NDArray[np.int64]
    relevant: NDArray[np.bool_]
    before: NDArray[np.int64]
    tied: NDArray[np.int64]
    tied_relevant: NDArray[np.int64]
    place: NDArray[np.int64]

    @property
    def shares(self) -> NDArray[np.float64]:
        """(Q, N) chance of a relevant clip at each place."""
        shares: NDArray[np.float64] = self.tied_relevant / self.tied
        return shares

    @property
    def precision(self) -> NDArray[np.float64]:
        """(Q, N) expected precision up to each place if there is a relevant clip."""
        among = self.place * (self.tied_relevant - 1) / np.maximum(self.tied - 1, 1)
        precision: NDArray[np.float64] = (self.before + 1 + among) / np.arange(1, self.order.shape[1] + 1)
        return precision


def rank_clips(similarity: NDArray[np.floating], relevant: NDArray[np.bool_]) -> RankedClips:
    """Rank clips by similarity (Q, N) to queries; those that are equal to `TIE_DECIMALS` are ties."""
    rounded = np.round(similarity, TIE_DECIMALS)
    order = np.argsort(-rounded, axis=1)
    values, relevant = (np.take_along_axis(one, order, 1) for one in (rounded, relevant))
    places = np.arange(similarity.shape[1])
    new = np.ones(values.shape, dtype=bool)
    new[:, 1:] = values[:, 1:] != values[:, :-1]
    start = np.maximum.accumulate(np.where(new, places, 0), axis=1)
    last = np.roll(new, -1, axis=1)
    last[:, -1] = True
    end = np.minimum.accumulate(np.where(last, places, len(places))[:, ::-1], axis=1)[:, ::-1]
    seen = np.cumsum(relevant, axis=1)
    before: NDArray[np.int64] = np.take_along_axis(seen - relevant, start, 1)
    tied_relevant = np.take_along_axis(seen, end, 1) - before
    return RankedClips(order, relevant, before, end - start + 1, tied_relevant, places - start)


def average_precision(ranked: RankedClips) -> NDArray[np.float64]:
    """(Q,) expected over the orders of ties; each query has a relevant clip.

    Source: McSherry and Najork, Computing Information Retrieval Performance Measures Efficiently in the Presence of
        Tied Scores, ECIR 2008.
    """
    averages: NDArray[np.float64] = (ranked.shares * ranked.precision).sum(1) / ranked.relevant.sum(1)
    return averages


def recall(ranked: RankedClips, k: int, others: NDArray[np.int64]) -> NDArray[np.float64]:
    """(Q,) chance of a relevant clip among the first k, over the orders of ties.

    Args:
        ranked: of the queries.
        k: above 0.
        others: (Q,) clips of other sources, of which there may be fewer than k.
    """
    k_there = np.minimum(k, others)
    rows = np.arange(len(others)), k_there - 1
    drawn = ranked.place[rows] + 1
    missed = none_drawn(ranked.tied[rows], ranked.tied_relevant[rows], drawn)
    return np.where(ranked.before[rows] > 0, 1.0, 1 - missed)


def influences(ranked: RankedClips) -> NDArray[np.float64]:
    """(Q, N) derivative of the average precision with respect to a weight of each ranked clip, in their order.

    With weights, rank and number of relevant clips are sums of weights. Exact without ties; among ties, that of one of
    their orders.

    Source: Jaeckel, The infinitesimal jackknife, Bell Laboratories memorandum, 1972.
    """
    ranks = np.arange(1, ranked.order.shape[1] + 1)
    gain = ranked.shares / ranks
    precision, total = ranked.precision, ranked.relevant.sum(1, keepdims=True)
    average = average_precision(ranked)[:, None]
    # A relevant clip counts itself and raises the precision at all places behind it, whose ranks any clip makes larger.
    raised = np.where(ranked.relevant, precision + _from_here(gain) - average, 0)
    changes: NDArray[np.float64] = (raised - _from_here(gain * precision)) / total
    return changes


def none_drawn(
    clips: NDArray[np.int64], relevant: NDArray[np.int64], drawn: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(Q,) chance that no relevant clip is among those drawn; `drawn` is 0 to `clips`, and small."""
    chance = np.ones(len(clips))
    for n in range(int(drawn.max())):
        left = np.maximum(clips - relevant - n, 0) / np.maximum(clips - n, 1)
        chance = np.where(n < drawn, chance * left, chance)
    return chance


def relevant_counts(task: Task) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(T,) clips of other sources that share a label with each tested clip, and (T,) clips of other sources."""
    labels = task.targets.astype(np.float32)
    block = max(1, SIMILARITIES_PER_BLOCK // len(labels))
    relevant = np.empty(len(task.tested), np.int64)
    for first in range(0, len(relevant), block):
        clips = task.tested[first : first + block]
        others = task.sources[clips][:, None] != task.sources
        relevant[first : first + block] = ((labels[clips] @ labels.T > 0) & others).sum(1)
    return relevant, len(labels) - np.bincount(task.sources)[task.sources[task.tested]]


def _from_here(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(Q, N) sums from each place to the last."""
    return np.cumsum(values[:, ::-1], axis=1)[:, ::-1]


def _undefined(task: Task, lonely: NDArray[np.int64]) -> tuple[str, ...]:
    if not len(lonely):
        return ()
    names = [task.classes[n] for n in np.flatnonzero(task.targets[lonely].any(0))]
    return (
        f"{counted(len(lonely), 'tested clip')} of {listed(quoted(names))}: no clip of another source shares a label, "
        "so they are no queries.",
    )
