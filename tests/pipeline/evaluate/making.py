"""Tasks and subjects for the tests of suites, from labels and embeddings."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from echopair.pipeline.evaluate.suites.base import Subject
from echopair.pipeline.evaluate.task import Task
from echopair.pipeline.evaluation.labels import ListedRecordings
from echopair.pipeline.evaluation.probe import ProbeConfig

# A module with the interface of HEAR 2021: the energy of six bands of equal width at 8 kHz, times numbers of a file.
HEAR_MODULE = """
import torch

class Model(torch.nn.Module):
    sample_rate = 8000
    scene_embedding_size = 6
    timestamp_embedding_size = 6

    def __init__(self, bands):
        super().__init__()
        self.bands = torch.nn.Parameter(bands)

def load_model(path=None):
    model = Model(torch.load(path)["bands"] if path else torch.ones(6))
    return model

def get_scene_embeddings(audio, model):
    spectrum = torch.fft.rfft(audio, 2048).abs()[:, :1020]
    return (spectrum.square().view(len(audio), 6, -1).mean(2) + 1e-9).log() * model.bands
"""


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
