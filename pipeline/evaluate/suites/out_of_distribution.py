"""The suite `out_of_distribution`: whether clips of a class that was left out are far from those of the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from pydantic import Field

from echopair.lazy import np
from echopair.pipeline.errors import listed
from echopair.pipeline.evaluate.ranking import area, false_rate_at, rank, ranking_metric, rates
from echopair.pipeline.evaluate.suites.base import Result, Subject, Suite, SuiteConfig
from echopair.pipeline.evaluate.task import Metric, Task, mean_of_defined
from echopair.pipeline.evaluation.labels import quoted
from echopair.pipeline.evaluation.nearest_neighbours import unit_vectors
from echopair.pipeline.progress import progress_bar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.pipeline.evaluation.folds import Fold

TRUE_RATE = 0.95
SIMILARITIES_PER_BLOCK = 2**24
# Of the mean variance, added to each: dimensions that never vary in training have none.
LEAST_VARIANCE = 1e-6


class OutOfDistributionConfig(SuiteConfig):
    """What is left out at a time, and how far a clip is from the others."""

    turns: int = Field(
        12,
        ge=2,
        le=100,
        description="classes are left out one by one; where they are more, in so many groups",
    )
    neighbours: int = Field(
        5, ge=1, le=1000, description="a clip is as far as its nearest neighbour of this rank"
    )


class OutOfDistribution(Suite):
    """Area under the ROC curve and false rate of distances to clips of the other classes."""

    name = "out_of_distribution"
    question = "Are sounds of an unknown class recognised as unknown?"
    method = (
        "Each class is left out in turn. In each fold, the training clips of the other classes are the reference, and "
        "test clips of the class left out should be farther from it than those of the others: by the k-th nearest "
        "neighbour (Sun et al., ICML 2022), or by the Mahalanobis distance to the nearest class mean (Lee et al., "
        "NeurIPS 2018; Ledoit-Wolf shrinkage). False rate: share of unknown clips "
        "taken for known where 95 % of the known are."
    )
    metrics: ClassVar = {
        "auroc": "area under ROC, neighbours",
        "false_rate": "false rate, neighbours",
        "auroc_mahalanobis": "area under ROC, Mahalanobis",
        "false_rate_mahalanobis": "false rate, Mahalanobis",
    }
    lower_is_better = frozenset({"false_rate", "false_rate_mahalanobis"})
    config = OutOfDistributionConfig

    def lacks(self, task: Task, config: OutOfDistributionConfig) -> str:
        """See `Suite`."""
        if task.multilabel:
            return "clips with one label each"
        turns = [turn for fold in task.folds for turn in turns_of(task, fold, config.turns)]
        needed = "a fold with training and test clips of one class, and test clips of another"
        return "" if any(turn is not None for turn in turns) else needed

    def evaluate(self, task: Task, subject: Subject, config: OutOfDistributionConfig) -> Result:
        """See `Suite`."""
        directions, groups = unit_vectors(subject.embeddings), class_groups(task, config.turns)
        shape = len(groups), len(task.folds), 1 + len(task.source_counts)
        found = {key: np.full(shape, np.nan) for key in self.metrics}
        undefined = []
        with progress_bar(f"{self.name} {task.corpus}", len(task.folds) * len(groups), "turns") as advance:
            for place, fold in enumerate(task.folds):
                undefined += _never_learned(task, fold)
                turns = turns_of(task, fold, config.turns)
                similarity = neighbour_similarities(directions, fold, turns, config.neighbours)
                for number, (turn, near) in enumerate(zip(turns, similarity, strict=True)):
                    advance()
                    if turn is None:
                        names = listed(quoted(task.classes[n] for n in groups[number]))
                        undefined.append(f"{fold.name} lacks test clips of {names}, or of the other classes.")
                        continue
                    auroc, false_rate = _figures(task, turn, near)
                    found["auroc"][number, place], found["false_rate"][number, place] = auroc, false_rate
                    distances = mahalanobis_distances(
                        subject.embeddings[turn.reference],
                        task.label[turn.reference],
                        subject.embeddings[turn.tested],
                    )
                    if distances is None:
                        undefined.append(
                            f"The training clips of {fold.name} do not differ within classes, so there is no "
                            "Mahalanobis distance."
                        )
                        continue
                    auroc, false_rate = _figures(task, turn, -distances)
                    found["auroc_mahalanobis"][number, place] = auroc
                    found["false_rate_mahalanobis"][number, place] = false_rate
        metrics = {key: _mean(task, one) for key, one in found.items() if np.isfinite(one[:, :, 0]).any()}
        left_out = [", ".join(task.classes[n] for n in group) for group in groups]
        by_group = mean_of_defined(found["auroc"][:, :, 0].T)
        details = {
            "auroc_of": {
                name: value
                for name, value in zip(left_out, by_group.tolist(), strict=True)
                if np.isfinite(value)
            }
        }
        return Result(metrics, details, tuple(dict.fromkeys(undefined)))

    def chance(self, task: Task, config: OutOfDistributionConfig) -> dict[str, float]:
        """Of equal distances."""
        return {key: TRUE_RATE if key in self.lower_is_better else 0.5 for key in self.metrics}


class Turn(NamedTuple):
    """A group of classes left out in a fold.

    Args:
        reference: indices of the training clips of the other classes.
        tested: indices of the test clips of the group, and of classes of the reference.
        known: (T,) whether each of `tested` is of a class of the reference.
    """

    reference: NDArray[np.int64]
    tested: NDArray[np.int64]
    known: NDArray[np.bool_]


def class_groups(task: Task, turns: int) -> list[NDArray[np.int64]]:
    """Numbers of classes left out together: every n-th, since classes with names that are alike may sound alike."""
    classes = np.arange(len(task.classes))
    return [classes[n::turns] for n in range(min(turns, len(classes)))]


def turns_of(task: Task, fold: Fold, turns: int) -> list[Turn | None]:
    """A turn for each group of classes; None where a fold lacks test clips of it, or of the others."""
    train, test = task.label[fold.train], task.label[fold.test]
    made: list[Turn | None] = []
    for group in class_groups(task, turns):
        reference = ~np.isin(train, group)
        known, unknown = np.isin(test, train[reference]), np.isin(test, group)
        tested = known | unknown
        both = known.any() and unknown.any()
        made.append(Turn(fold.train[reference], fold.test[tested], known[tested]) if both else None)
    return made


def neighbour_similarities(
    directions: NDArray[np.float32], fold: Fold, turns: Sequence[Turn | None], neighbours: int
) -> list[NDArray[np.float32]]:
    """(T,) cosine similarity of the tested clips of each turn to their k-th nearest of its reference; empty of None.

    Of unit vectors it falls as the distance rises, so that both rank clips alike.

    Source: Sun et al., Out-of-Distribution Detection with Deep Nearest Neighbors, ICML 2022, section 3.
    """
    found = [np.empty(0 if turn is None else len(turn.tested), np.float32) for turn in turns]
    block = max(1, SIMILARITIES_PER_BLOCK // len(fold.train))
    for first in range(0, len(fold.test), block):
        clips = fold.test[first : first + block]
        similarity = directions[clips] @ directions[fold.train].T
        for near, turn in zip(found, turns, strict=True):
            if turn is None:
                continue
            of_turn = np.isin(clips, turn.tested)
            others = similarity[np.ix_(of_turn, np.isin(fold.train, turn.reference))]
            kth = others.shape[1] - min(neighbours, others.shape[1])
            near[np.isin(turn.tested, clips)] = np.partition(others, kth, axis=1)[:, kth]
    return found


def mahalanobis_distances(
    reference: NDArray[np.float32], label: NDArray[np.int64], tested: NDArray[np.float32]
) -> NDArray[np.float64] | None:
    """Distance of clips to the nearest class mean, by a covariance that all classes share.

    Args:
        reference: (N, D) embeddings.
        label: (N,) number of the class of each.
        tested: (T, D) embeddings.

    Returns:
        (T,); None where no clip differs from the mean of its class.

    Source: Lee et al., A Simple Unified Framework for Detecting Out-of-Distribution Samples, NeurIPS 2018, equations 1
        and 2; covariance with the shrinkage of Ledoit and Wolf, Journal of Multivariate Analysis 2004, since there may
        be fewer clips than dimensions.
    """
    from scipy.linalg import cholesky, solve_triangular
    from scipy.spatial.distance import cdist
    from sklearn.covariance import ledoit_wolf

    values, numbers = reference.astype(np.float64), np.unique(label, return_inverse=True)[1]
    means = np.stack([values[numbers == one].mean(0) for one in range(numbers.max() + 1)])
    residuals = values - means[numbers]
    if np.abs(residuals).max() <= 1e-6 * np.abs(values).max():
        return None
    covariance, _ = ledoit_wolf(residuals, assume_centered=True)
    covariance[np.diag_indices_from(covariance)] += LEAST_VARIANCE * np.trace(covariance) / len(covariance)
    factor = cholesky(covariance, lower=True)
    whitened = (solve_triangular(factor, one.T, lower=True).T for one in (tested.astype(np.float64), means))
    distances: NDArray[np.float64] = cdist(*whitened).min(1)
    return distances


def _figures(
    task: Task, turn: Turn, nearness: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(1 + R,) area under the ROC curve and false rate, of the clips as they are and of the draws of sources."""
    counts = task.source_counts[:, task.sources[turn.tested]]
    weights = np.concatenate([np.ones((1, len(turn.tested)), np.float32), counts])
    ranking = rank(nearness, turn.known)
    curves = rates(ranking, weights[:, ranking.order])
    return area(curves), false_rate_at(curves, TRUE_RATE)


def _mean(task: Task, found: NDArray[np.float64]) -> Metric:
    """Mean over the groups of the mean over folds, of those that are defined: (groups, folds, 1 + R)."""
    means = mean_of_defined(np.stack([mean_of_defined(of_group) for of_group in found]))
    return ranking_metric(task, float(means[0]), means[1:], task.tested)


def _never_learned(task: Task, fold: Fold) -> list[str]:
    missing = np.setdiff1d(task.label[fold.test], task.label[fold.train])
    if not len(missing):
        return []
    names = listed(quoted(task.classes[n] for n in missing))
    return [
        f"{fold.name} has no training clip of {names}, so its test clips count only where they are left out."
    ]
