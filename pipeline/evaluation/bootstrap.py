"""Scores of a probe and their 95 % intervals; what is resampled are sources, since their clips are alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from echopair.lazy import np
from echopair.pipeline.training.seeding import Stream, numpy_generator

if TYPE_CHECKING:
    from numpy.typing import NDArray


INTERVAL_PERCENT = (2.5, 97.5)


def accuracy_interval(
    correct: NDArray[np.bool_], folds: NDArray[np.int64], sources: NDArray[np.int64], samples: int, seed: int
) -> tuple[float, float]:
    """Interval of the mean over folds of the accuracy, by percentile bootstrap over sources.

    Args:
        correct: (clips,) whether each tested clip was told right.
        folds: (clips,) the fold in which it was tested.
        sources: (clips,) number of the source that it was cut from.
        samples: resamples.
        seed: of the resampling.
    """
    generator = numpy_generator(seed, 0, Stream.BOOTSTRAP)
    means = np.zeros(samples)
    names = np.unique(folds)
    for fold in names:
        here = folds == fold
        number = np.unique(sources[here], return_inverse=True)[1]
        weights = _source_weights(generator, int(number.max()) + 1, samples)  # (samples, sources)
        hits = np.bincount(number, weights=correct[here])
        clips = np.bincount(number)
        means += (weights @ hits) / (weights @ clips) / len(names)
    low, high = np.percentile(means, INTERVAL_PERCENT)
    return float(low), float(high)


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
) -> tuple[float, tuple[float, float]]:
    """Mean over classes of the average precision, and its interval by bootstrap over sources."""
    generator = numpy_generator(seed, 0, Stream.BOOTSTRAP)
    number = np.unique(sources, return_inverse=True)[1]
    weights = _source_weights(generator, int(number.max()) + 1, samples)[:, number].astype(np.float32)
    resampled = np.stack(
        [_weighted_average_precision(scores[:, n], targets[:, n], weights) for n in range(scores.shape[1])]
    )  # (classes, samples)
    # A resample may lack every clip of a class: that class says nothing then.
    counted = ~np.isnan(resampled)
    means = np.nansum(resampled, axis=0) / np.maximum(counted.sum(0), 1)
    low, high = np.percentile(means[counted.any(0)], INTERVAL_PERCENT)
    return float(np.nanmean(average_precision(scores, targets))), (float(low), float(high))


def _source_weights(generator: np.random.Generator, sources: int, samples: int) -> NDArray[np.int64]:
    return generator.multinomial(sources, np.full(sources, 1 / sources), size=samples)


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
