"""Which rows to label next: those that a linear classifier, fitted on the labels so far, is least sure of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from echopair.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.pipeline.search.excerpt import Excerpt

# Of 0.01, 0.1 and 1 the one with the fewest labels needed (tests/benchmarks/label_savings.py).
C = 0.1


class Suggestion(NamedTuple):
    """A row that is worth a label.

    Args:
        row: of the table.
        label: that the probe gives it; empty without a probe.
        probability: of that label, 0 to 1.
    """

    row: int
    label: str
    probability: float


def suggest(
    directions: NDArray[np.float32],
    labels: Sequence[tuple[str, ...]],
    excerpts: Sequence[Excerpt],
    count: int,
) -> list[Suggestion]:
    """The rows without a label of which one would help most; none if all have one.

    Until two classes are labelled, they are spread over the table: of each cluster of k-means the row that is nearest
    to its centre. Then they are those with the smallest margin between the two most probable labels (with several
    labels a row, between a label's probability and one half), without those that overlap another in one recording.

    Args:
        directions: (rows, D) embeddings, standardised and of norm 1.
        labels: of each row, none or several.
        excerpts: what each row is of.
        count: at most so many rows.

    Source: margin sampling, Scheffer, Decomain and Wrobel, Active Hidden Markov Models, IDA 2001.
    """
    labelled = [row for row, own in enumerate(labels) if own]
    free = [row for row, own in enumerate(labels) if not own]
    if not free:
        return []
    if len({labels[row] for row in labelled}) < 2:
        return [Suggestion(free[one], "", 0.0) for one in spread(directions[free], count)]
    classes, scores, margins = probe_scores(directions, labelled, [labels[row] for row in labelled], free)
    order = np.argsort(margins, kind="stable")
    chosen = _apart(order.tolist(), [excerpts[row] for row in free], count)
    return [Suggestion(free[one], classes[scores[one].argmax()], float(scores[one].max())) for one in chosen]


def spread(directions: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The rows (count,) nearest to the centres of as many clusters; all rows if there are no more."""
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.metrics import pairwise_distances_argmin

    if len(directions) <= count:
        return np.arange(len(directions))
    clusters = MiniBatchKMeans(count, n_init=3, random_state=0).fit(directions)
    return np.unique(pairwise_distances_argmin(clusters.cluster_centers_, directions))


def probe_scores(
    directions: NDArray[np.float32],
    labelled: Sequence[int],
    labels: Sequence[tuple[str, ...]],
    rows: Sequence[int],
) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
    """The classes, their probabilities (rows, classes) by a probe, and its margin (rows,) on each row, 0 to 1.

    Args:
        directions: (all rows, D).
        labelled: rows to learn from, of two classes at least.
        labels: of these.
        rows: to score.
    """
    from threadpoolctl import threadpool_limits

    from echopair.pipeline.evaluation.labels import label_targets
    from echopair.pipeline.evaluation.linear_classifier import LinearClassifier

    classes, targets = label_targets(labels)
    multilabel = any(len(one) > 1 for one in labels)
    with threadpool_limits(1):  # see fit_fold: a second thread makes small products slower
        scores = LinearClassifier(directions[labelled], targets, multilabel).fit(C).scores(directions[rows])
    if multilabel:
        return classes, scores, np.abs(2 * scores - 1).min(axis=1)
    ordered = np.sort(scores, axis=1)
    return classes, scores, ordered[:, -1] - ordered[:, -2]


def _apart(order: Iterable[int], excerpts: Sequence[Excerpt], count: int) -> list[int]:
    """The first of these that do not overlap each other."""
    chosen: list[int] = []
    for one in order:
        if not any(excerpts[one].overlaps(excerpts[other]) for other in chosen):
            chosen.append(one)
            if len(chosen) == count:
                break
    return chosen
