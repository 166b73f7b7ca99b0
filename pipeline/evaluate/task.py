"""A labelled corpus as suites see it: its targets, its folds, and its sources, which are what varies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Self

from echopair.lazy import np
from echopair.pipeline.evaluation.bootstrap import FEWEST_SOURCES, Interval, score_interval
from echopair.pipeline.evaluation.folds import Fold, make_folds
from echopair.pipeline.evaluation.labels import label_targets, sources_of
from echopair.pipeline.training.seeding import Stream, numpy_generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.pipeline.evaluation.labels import Annotations
    from echopair.pipeline.evaluation.probe import ProbeConfig

RESAMPLES = 1000


class Metric(NamedTuple):
    """A figure of an encoder on a corpus, and what it would be with other sources.

    Args:
        value: finite.
        interval: 95 %; None where there are too few sources.
        resamples: (R,) the same figure where the sources are drawn with replacement; draw r is the same for every
            encoder, so that two encoders are compared by their differences. NaN where a draw has none.
    """

    value: float
    interval: Interval | None
    resamples: NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """A labelled corpus.

    Args:
        corpus: its name.
        paths: (N,) of the clips, below the corpus's root.
        classes: in alphabetical order.
        targets: (N, classes) of 0 and 1.
        multilabel: whether a clip may have several labels.
        sources: (N,) number of the source of each clip, 0 to S - 1.
        protocol: what is tested, in words.
        folds: what is learned from, chosen on and tested.
        seed: of draws.
    """

    corpus: str
    paths: list[str | None]
    classes: list[str]
    targets: NDArray[np.int8]
    multilabel: bool
    sources: NDArray[np.int64]
    protocol: str
    folds: list[Fold]
    seed: int

    @classmethod
    def of(cls, corpus: str, clips: Annotations, config: ProbeConfig, seed: int) -> Self:
        """The task of a corpus whose labels were checked (`check_labels`).

        Raises:
            UserError: folds that no probe can use.
        """
        labels = clips.labels()
        classes, targets = label_targets(labels)
        protocol, folds = make_folds(corpus, clips, config, seed)
        names = sources_of(clips.column("group"), clips.column("sound"))
        return cls(
            corpus,
            clips.column("path"),
            classes,
            targets,
            any(len(one) > 1 for one in labels),
            np.unique(names, return_inverse=True)[1],
            protocol,
            folds,
            seed,
        )

    @property
    def score_name(self) -> str:
        """What a score of classes is: of clips with several labels, their mean average precision."""
        return "mean average precision" if self.multilabel else "accuracy"

    @property
    def label(self) -> NDArray[np.int64]:
        """(N,) number of the class of each clip; of clips with one label."""
        labels: NDArray[np.int64] = self.targets.argmax(1)
        return labels

    @property
    def tested(self) -> NDArray[np.int64]:
        """Indices of the clips that are tested, fold after fold."""
        return np.concatenate([fold.test for fold in self.folds])

    @property
    def tested_fold(self) -> NDArray[np.int64]:
        """Number of the fold of each of `tested`."""
        return np.concatenate([np.full(len(fold.test), n) for n, fold in enumerate(self.folds)])

    @cached_property
    def source_counts(self) -> NDArray[np.float32]:
        """(R, S) how often each source is drawn, S times with replacement."""
        sources = int(self.sources.max()) + 1
        generator = numpy_generator(self.seed, 0, Stream.BOOTSTRAP)
        return generator.multinomial(sources, np.full(sources, 1 / sources), size=RESAMPLES).astype(
            np.float32
        )

    def mean(
        self, clips: NDArray[np.int64], values: NDArray[np.float64], groups: NDArray[np.int64] | None = None
    ) -> Metric:
        """The mean of a value of each clip, or the mean over groups of their means.

        Args:
            clips: (T,) indices; a clip may occur more than once.
            values: (T,) finite, 0 to 1.
            groups: (T,) number of the group of each value, such as the fold in which the clip was tested.
        """
        numbers = (
            np.zeros(len(clips), np.int64) if groups is None else np.unique(groups, return_inverse=True)[1]
        )
        group_count = int(numbers.max()) + 1
        sources = self.sources[clips]
        size = self.source_counts.shape[1]
        resampled = np.full((group_count, RESAMPLES), np.nan)
        means = np.empty(group_count)
        for group in range(group_count):
            of_group = numbers == group
            totals = np.bincount(sources[of_group], values[of_group], size)
            counts = np.bincount(sources[of_group], minlength=size)
            means[group] = totals.sum() / counts.sum()
            drawn = self.source_counts @ counts
            there = drawn > 0
            resampled[group, there] = (self.source_counts @ totals)[there] / drawn[there]
        return self.metric(float(means.mean()), mean_of_defined(resampled), clips)

    def metric(
        self,
        value: float,
        resamples: NDArray[np.float64],
        clips: NDArray[np.int64],
        *,
        proportion: bool = True,
    ) -> Metric:
        """A metric with the interval that its resamples give.

        Args:
            value: of all clips.
            resamples: (R,) under `source_counts`.
            clips: that it is of.
            proportion: whether it is between 0 and 1.
        """
        return Metric(value, self._interval(value, resamples, clips, proportion), resamples)

    def difference(self, one: Metric, other: Metric) -> tuple[float, Interval | None]:
        """How much larger the first is, and the 95 % interval of that: a bootstrap over sources, paired.

        Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 10 (paired data).
        """
        value = one.value - other.value
        differences = one.resamples - other.resamples
        return value, self._interval(value, differences, self.tested, proportion=False)

    def _interval(
        self, value: float, resamples: NDArray[np.float64], clips: NDArray[np.int64], proportion: bool
    ) -> Interval | None:
        from scipy.stats import t

        shares = np.unique(self.sources[clips], return_counts=True)[1] / len(clips)
        defined = resamples[np.isfinite(resamples)]
        if len(shares) < FEWEST_SOURCES or len(defined) < 2:
            return None
        # Resampling n of n sources shows (n - 1) / n of the variance.
        variance = len(shares) / (len(shares) - 1) * float(defined.var())
        if proportion:
            return score_interval(value, variance, len(clips), shares)
        reach = float(t.ppf(0.975, len(shares) - 1)) * variance**0.5
        return value - reach, value + reach


def mean_of_defined(resampled: NDArray[np.float64]) -> NDArray[np.float64]:
    """(groups, R) -> (R,): the mean over the groups that a draw has; NaN where it has none."""
    defined = ~np.isnan(resampled)
    counts = defined.sum(0)
    totals = np.where(defined, resampled, 0).sum(0)
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)
