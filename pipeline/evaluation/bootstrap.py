"""Scores of a probe and their 95 % intervals; sources are what varies, since their clips are alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from echopair.lazy import np
from echopair.pipeline.training.seeding import Stream, numpy_generator

if TYPE_CHECKING:
    from numpy.typing import NDArray


# Of two sources hardly more is known than that they differ.
FEWEST_SOURCES = 3

Interval = tuple[float, float]


def accuracy_interval(
    correct: NDArray[np.bool_], folds: NDArray[np.int64], sources: NDArray[np.int64]
) -> Interval | None:
    """95 % interval of the mean over folds of the accuracy.

    Sources are what varies, whichever fold they are in, so that folds of one source have an interval as well. The
    variance is that of a ratio estimator, linearised (Cochran, Sampling Techniques, 1977, section 6.3).

    Args:
        correct: (clips,) whether each tested clip was told right.
        folds: (clips,) the fold in which it was tested.
        sources: (clips,) number of the source that it was cut from.

    Returns:
        See `score_interval`.
    """
    fold = np.unique(folds, return_inverse=True)[1]
    clips_of_fold = np.bincount(fold)
    weights = 1 / (len(clips_of_fold) * clips_of_fold[fold])  # (clips,), 1 in all
    score = float(weights @ correct)
    shares = _shares(sources, weights)
    residuals = _shares(sources, weights * correct) - score * shares  # (sources,)
    variance = len(shares) / max(1, len(shares) - 1) * float(residuals @ residuals)
    return score_interval(score, variance, len(correct), shares)


def score_interval(score: float, variance: float, clips: int, shares: NDArray[np.float64]) -> Interval | None:
    """95 % interval of a score between 0 and 1 of clips that come from few sources.

    The binomial interval of Clopper and Pearson for as many independent clips as give this variance, fewer where
    there are few sources to estimate it from. Its coverage is simulated in `tests/benchmarks/interval_coverage.py`.

    Args:
        score: 0 to 1.
        variance: of the score, estimated from its differences between the sources.
        clips: tested; no more of them are independent.
        shares: (sources,) of each source in the score, 1 in all.

    Returns:
        Lower and upper end; None of fewer than `FEWEST_SOURCES` sources.

    Source: Korn and Graubard, Confidence intervals for proportions with small expected number of positive counts
        estimated from survey data, Survey Methodology 1998.
    """
    from scipy.stats import beta, norm, t

    if len(shares) < FEWEST_SOURCES:
        return None
    sources = 1 / float(shares @ shares)  # as many equal ones would matter as much (Kish)
    # One more, half right, as Agresti and Coull add clips: near 0 and 1 few sources show too little variance.
    variance += ((0.5 - score) / len(shares)) ** 2
    spread = score * (1 - score)
    # Where all is right, or all wrong, the sources show no difference: each may count as a single clip.
    independent = min(clips, spread / max(variance, 1e-12)) if spread > 1e-9 else sources
    independent *= float(norm.ppf(0.975) / t.ppf(0.975, sources - 1)) ** 2
    right, wrong = score * independent, (1 - score) * independent
    low = float(beta.ppf(0.025, right, wrong + 1)) if score > 0 else 0.0
    high = float(beta.ppf(0.975, right + 1, wrong)) if score < 1 else 1.0
    return low, high


def _shares(sources: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.bincount(np.unique(sources, return_inverse=True)[1], weights=weights).astype(np.float64)


def average_precision(scores: NDArray[np.float64], targets: NDArray[np.int8]) -> NDArray[np.float64]:
    """Average precision of each class, (classes,); NaN for a class without a tested clip.

    Args:
        scores: (clips, classes), higher is likelier.
        targets: (clips, classes) of 0 and 1.
    """
    weights = np.ones((1, len(scores)), dtype=np.float32)
    return np.array(
        [_weighted_average_precision(scores[:, n], targets[:, n], weights)[0] for n in range(scores.shape[1])]
    )


def score_of(scores: NDArray[np.float64], targets: NDArray[np.int8], multilabel: bool) -> float:
    """Accuracy of the highest score, or the mean over the classes that occur of their average precision.

    Args:
        scores: (clips, classes), higher is likelier.
        targets: (clips, classes) of 0 and 1.
        multilabel: whether a clip may have several labels.
    """
    if multilabel:
        return float(np.nanmean(average_precision(scores, targets)))
    return float((scores.argmax(1) == targets.argmax(1)).mean())


def average_precision_interval(
    scores: NDArray[np.float64],
    targets: NDArray[np.int8],
    sources: NDArray[np.int64],
    samples: int,
    seed: int,
) -> tuple[float, Interval | None]:
    """Mean over classes of the average precision, and its interval; the variance by bootstrap over sources."""
    score = float(np.nanmean(average_precision(scores, targets)))
    shares = _shares(sources, np.full(len(sources), 1 / len(sources)))
    if len(shares) < FEWEST_SOURCES:
        return score, None
    generator = numpy_generator(seed, 0, Stream.BOOTSTRAP)
    number = np.unique(sources, return_inverse=True)[1]
    drawn = generator.multinomial(len(shares), np.full(len(shares), 1 / len(shares)), size=samples)
    means = mean_average_precision(scores, targets, drawn[:, number].astype(np.float32))
    # Resampling n of n sources shows (n - 1) / n of the variance.
    variance = len(shares) / (len(shares) - 1) * float(np.nanvar(means))
    return score, score_interval(score, variance, len(scores), shares)


def mean_average_precision(
    scores: NDArray[np.float64], targets: NDArray[np.int8], weights: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Mean over classes of the average precision under many weights of the clips.

    Args:
        scores: (clips, classes), higher is likelier.
        targets: (clips, classes) of 0 and 1.
        weights: (W, clips), such as how often a resample holds each clip.

    Returns:
        (W,); weights may leave no clip of a class, which says nothing then; NaN where they leave none of any.
    """
    of_classes = np.stack(
        [_weighted_average_precision(scores[:, n], targets[:, n], weights) for n in range(scores.shape[1])]
    )  # (classes, W)
    counted = ~np.isnan(of_classes)
    means: NDArray[np.float64] = np.nansum(of_classes, axis=0) / np.where(
        counted.any(0), counted.sum(0), np.nan
    )
    return means


def _weighted_average_precision(
    scores: NDArray[np.float64], targets: NDArray[np.int8], weights: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Sum over thresholds of precision times the gain in recall; weights (samples, clips) -> (samples,)."""
    order = np.argsort(-scores, kind="stable")
    weights = weights[:, order]
    positives = weights * targets[order]
    true = np.cumsum(positives, axis=1, dtype=np.float64)
    seen = np.cumsum(weights, axis=1, dtype=np.float64)
    # Clips of equal score share one threshold: the last of them.
    ends = np.append(np.diff(scores[order]) != 0, True)
    true, seen = true[:, ends], seen[:, ends]
    gain = np.diff(true, axis=1, prepend=0)
    with np.errstate(invalid="ignore"):
        precision = np.where(seen > 0, true / np.maximum(seen, 1e-12), 0)
        areas: NDArray[np.float64] = (precision * gain).sum(1) / true[:, -1]
    return areas
