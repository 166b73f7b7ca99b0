"""Folds of our own: whole sources, with about equal shares of each class."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from echopair.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def rarest_labels(labels: Sequence[tuple[str, ...]]) -> NDArray[np.str_]:
    """The one label of each clip by which it is put in a fold: of several the rarest, so that it is spread too."""
    counts = Counter(label for clip in labels for label in clip)
    return np.array([min(clip, key=lambda name: (counts[name], name)) if clip else "" for clip in labels])


class SourceFolds:
    """Draws folds of clips, no source in two of them.

    Args:
        labels: of each clip.
        sources: of each clip, as from `sources_of`.
        seed: of the draw.
    """

    def __init__(self, labels: Sequence[tuple[str, ...]], sources: Sequence[str], seed: int) -> None:
        self._label = rarest_labels(labels)
        self._source = np.array(sources)
        self._seed = seed

    def of(self, clips: NDArray[np.int64], number: int) -> list[NDArray[np.int64]]:
        """Disjoint folds of some clips with about equal shares of each class.

        Args:
            clips: indices.
            number: of folds, fewer where half of the classes have fewer sources.

        Returns:
            Indices of the clips of each fold; none where each class has one source.
        """
        from sklearn.model_selection import StratifiedGroupKFold

        labels, sources = self._label[clips], self._source[clips]
        sources_of_class: dict[str, set[str]] = {}
        for label, source in zip(labels.tolist(), sources.tolist(), strict=True):
            sources_of_class.setdefault(label, set()).add(source)
        # No more folds than the median class can fill; with one source a class nothing can be held out.
        counts = [len(of_class) for of_class in sources_of_class.values()]
        if max(counts) < 2:
            return []
        folds = max(2, min(number, int(np.median(counts))))
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=self._seed)
        with warnings.catch_warnings():
            # A class of fewer clips than folds is no surprise: they are as many as the median class can fill.
            warnings.filterwarnings("ignore", message="The least populated class")
            return [clips[test] for _, test in splitter.split(clips, labels, sources) if len(test)]
