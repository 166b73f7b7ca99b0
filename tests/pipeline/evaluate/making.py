"""Tasks and subjects for the tests of suites, from labels and embeddings."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from echopair.pipeline.evaluate.suites.base import Subject
from echopair.pipeline.evaluate.task import Task
from echopair.pipeline.evaluation.labels import ListedRecordings
from echopair.pipeline.evaluation.probe import ProbeConfig


class Clips(ListedRecordings):
    """Annotations of clips that have no sound."""

    def __init__(
        self,
        labels: Sequence[Sequence[str]],
        sources: Sequence[str] | None = None,
        folds: Sequence[str] | None = None,
    ) -> None:
        super().__init__([])
        self._labels = [tuple(one) for one in labels]
        self._columns: dict[str, list[str | None]] = {
            "path": [f"{n}.wav" for n in range(len(labels))],
            "group": list(sources) if sources else [None] * len(labels),
            "fold": list(folds) if folds else [None] * len(labels),
        }

    def labels(self) -> list[tuple[str, ...]]:
        return self._labels

    def column(self, name: str) -> list[str | None]:
        return self._columns.get(name, [None] * len(self._labels))


def make_task(
    labels: Sequence[str] | Sequence[Sequence[str]],
    sources: Sequence[str] | None = None,
    folds: Sequence[str] | None = None,
    config: ProbeConfig | None = None,
) -> Task:
    """A task of clips with these labels; without sources each clip is one, without folds five are drawn."""
    several = [(one,) if isinstance(one, str) else tuple(one) for one in labels]
    return Task.of("birds", Clips(several, sources, folds), config or ProbeConfig(), seed=0)


def make_subject(embeddings: NDArray[np.floating[Any]]) -> Subject:
    """A subject that suites use the embeddings of, and nothing else."""
    values = np.asarray(embeddings, dtype=np.float32)
    return Subject(cast(Any, None), cast(Any, None), values, "key")


def clusters(
    label: NDArray[np.int64], dimensions: int = 16, spread: float = 1.0, seed: int = 0
) -> NDArray[np.float32]:
    """Embeddings (N, D) around a centre for each class."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(int(label.max()) + 1, dimensions))
    return (centres[label] + spread * generator.normal(size=(len(label), dimensions))).astype(np.float32)
