"""Repeated draws from training clips: sources of each class in a drawn order, and metrics that are means over draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from echopair.lazy import np
from echopair.pipeline.evaluate.task import RESAMPLES, Metric, Task, mean_of_defined
from echopair.pipeline.training.seeding import Stream, numpy_generator

if TYPE_CHECKING:
    from numpy.typing import NDArray


def shuffled_sources(
    task: Task, clips: NDArray[np.int64], generator: np.random.Generator
) -> dict[int, list[NDArray[np.int64]]]:
    """The sources of each class in a drawn order; of a source with several classes, the clips of the class alone.

    Args:
        task: of clips with one label each.
        clips: (T,) indices to draw from.
        generator: of the draw.

    Returns:
        By number of the class, of those that `clips` has, the indices of the clips of each of its sources.
    """
    label, sources = task.label[clips], task.sources[clips]
    found = {}
    for one in np.unique(label).tolist():
        of_class = clips[label == one]
        numbers = generator.permutation(np.unique(sources[label == one]))
        found[one] = [of_class[task.sources[of_class] == number] for number in numbers]
    return found


def sources_of_classes(task: Task, clips: NDArray[np.int64]) -> list[int]:
    """For each class, how many sources have a clip of it."""
    pairs = np.unique(np.stack([task.label[clips], task.sources[clips]]), axis=1)
    counts: list[int] = np.bincount(pairs[0], minlength=len(task.classes)).tolist()
    return counts


def mean_over_draws(task: Task, values: NDArray[np.float64]) -> Metric:
    """The mean over the folds of a value of each tested clip and draw.

    Its resamples draw sources and, independently, draws with replacement, both the same for every encoder: the
    interval holds the variation between test sources and between draws.

    Args:
        task: its tested clips.
        values: (tested clips, draws) from 0 to 1, fold after fold; column d is draw d of every fold.

    Source: Owen, The pigeonhole bootstrap, Annals of Applied Statistics 2007: of two crossed factors it
        overestimates the variance a little, and never underestimates it for many draws.
    """
    draws = values.shape[1]
    # Step 1, since `Task.source_counts` is drawn at step 0.
    generator = numpy_generator(task.seed, 1, Stream.BOOTSTRAP)
    shares = generator.multinomial(draws, np.full(draws, 1 / draws), size=RESAMPLES) / draws  # (R, draws)
    sources, size = task.sources[task.tested], task.source_counts.shape[1]
    means, resampled = [], []
    for fold in range(len(task.folds)):
        tested = task.tested_fold == fold
        totals = np.zeros((size, draws))
        np.add.at(totals, sources[tested], values[tested])
        drawn = task.source_counts @ np.bincount(sources[tested], minlength=size)  # (R,) clips
        sums = ((task.source_counts @ totals) * shares).sum(1)
        means.append(float(values[tested].mean()))
        resampled.append(np.where(drawn > 0, sums / np.maximum(drawn, 1), np.nan))
    return task.metric(float(np.mean(means)), mean_of_defined(np.stack(resampled)), task.tested)


def by_draw(correct: Sequence[NDArray[np.bool_]], folds: int) -> NDArray[np.float64]:
    """(tested clips, trainings, draws) of 0 and 1, from (test clips, trainings) of each fold, draw after draw."""
    draws = [np.concatenate(correct[begin : begin + folds]) for begin in range(0, len(correct), folds)]
    return np.stack(draws, axis=2).astype(np.float64)
