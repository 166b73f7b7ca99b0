"""Pairs and trials of tested clips of different sources: all there are, or as many as are drawn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from echopair.lazy import np
from echopair.pipeline.evaluate.task import RESAMPLES
from echopair.pipeline.training.seeding import Stream, numpy_generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.pipeline.evaluate.task import Task

PAIRS_STEP, TRIALS_STEP = 0, 1  # of the generators
WEIGHTS_PER_BLOCK = 2**20


class Pairs(NamedTuple):
    """Pairs of clips of different sources.

    Args:
        first: (P,) indices of clips.
        second: (P,) indices of clips.
        same: (P,) whether they are of one class.
        weights: (P,) of each pair, so that classes count equally.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    same: NDArray[np.bool_]
    weights: NDArray[np.float32]


class ClipDraws:
    """Draws of the tested clips of classes that are in two sources at least, the same for every encoder.

    A clip is drawn from a class, and a partner of a class from the clips of other sources, of which each is as likely.

    Args:
        task: of clips with one label each.

    Attributes:
        clips: (T,) indices of the clips that may be drawn, by class and source.
        classes: numbers of their classes.
        alone: numbers of the other classes that are tested.
    """

    def __init__(self, task: Task) -> None:
        label, sources = task.label[task.tested], task.sources[task.tested]
        of_pairs = np.unique(np.stack([label, sources]), axis=1)[0]
        numbers, source_counts = np.unique(of_pairs, return_counts=True)
        self.classes, self.alone = numbers[source_counts > 1], numbers[source_counts == 1]
        order = np.lexsort((sources, label))
        order = order[np.isin(label[order], self.classes)]
        self.clips = task.tested[order]
        self._seed = task.seed
        self._label, self._sources = label[order], sources[order]
        self._sources_in_all = int(task.sources.max()) + 1
        self._key = self._label * self._sources_in_all + self._sources  # ascending
        self._count = np.bincount(self._label, minlength=len(task.classes))
        self._start = np.cumsum(self._count) - self._count

    def pairs(self, most: int) -> Pairs:
        """All pairs of clips of different sources; where these are more, so many drawn, half of them of one class."""
        clips = len(self.clips)
        if clips * (clips - 1) // 2 > most:
            generator = numpy_generator(self._seed, PAIRS_STEP, Stream.PAIRS)
            label = generator.integers(len(self.classes), size=most)
            shift = generator.integers(1, len(self.classes), size=most)
            shift[: most // 2] = 0
            first = self._any_of(self.classes[label], generator)
            second = self._partner(first, self.classes[(label + shift) % len(self.classes)], generator)
            weights = np.ones(most)
        else:
            first, second = np.triu_indices(clips, 1)
            apart = self._sources[first] != self._sources[second]
            first, second = first[apart], second[apart]
            weights = self._chance(first, second) + self._chance(second, first)
        same = self._label[first] == self._label[second]
        return Pairs(self.clips[first], self.clips[second], same, weights.astype(np.float32))

    def trials(self, trials: int, ways: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Queries (T,), and clips of other sources, one of each class (T, ways), that of the query's class first."""
        generator = numpy_generator(self._seed, TRIALS_STEP, Stream.PAIRS)
        label = generator.choice(self.classes, trials)
        query = self._any_of(label, generator)
        lots = np.where(self.classes == label[:, None], -1, generator.random((trials, len(self.classes))))
        chosen = self.classes[np.argsort(lots, axis=1)[:, :ways]]
        support = np.stack([self._partner(query, one, generator) for one in chosen.T], axis=1)
        return self.clips[query], self.clips[support]

    def _any_of(self, label: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
        """The place of a clip of each class."""
        drawn: NDArray[np.int64] = self._start[label] + generator.integers(self._count[label])
        return drawn

    def _partner(
        self, place: NDArray[np.int64], label: NDArray[np.int64], generator: np.random.Generator
    ) -> NDArray[np.int64]:
        """The place of a clip of each class that is not of the source of the clip at a place."""
        left, right = self._block(place, label)
        drawn = self._start[label] + generator.integers(self._count[label] - (right - left))
        return np.where(drawn >= left, drawn + right - left, drawn)

    def _chance(self, place: NDArray[np.int64], partner: NDArray[np.int64]) -> NDArray[np.float64]:
        """How likely a clip and its partner are drawn, if their classes are."""
        label = self._label[partner]
        left, right = self._block(place, label)
        chance: NDArray[np.float64] = 1 / (
            self._count[self._label[place]] * (self._count[label] - (right - left))
        )
        return chance

    def _block(self, place: NDArray[np.int64], label: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
        """First and behind the last place of the clips of a class that are of the source of a clip."""
        key = label * self._sources_in_all + self._sources[place]
        return np.searchsorted(self._key, key), np.searchsorted(self._key, key, side="right")


def resampled_weights(
    task: Task, first: NDArray[np.int64], second: NDArray[np.int64]
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """How often draws of sources hold pairs of clips: the product of the counts of their two sources.

    Args:
        task: its draws.
        first: (P,) indices of clips.
        second: (P,) indices of clips of other sources.

    Yields:
        Some of the draws, and weights (of these draws, P).
    """
    one, other = task.sources[first], task.sources[second]
    block = max(1, WEIGHTS_PER_BLOCK // len(first))
    for begin in range(0, RESAMPLES, block):
        counts = task.source_counts[begin : begin + block]
        yield slice(begin, begin + block), counts[:, one] * counts[:, other]
