"""The classifier that a probe leaves to be used: numbers in a safetensors file, which executes nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ValidationError

from echopair.lazy import np
from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluation.folds import Fold

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLASSIFIER_FILE = "classifier.safetensors"
METADATA_KEY = "echopair"


class ClassifierInfo(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """What the metadata of the file says, as JSON.

    Args:
        corpus: whose labels were learned.
        classes: (K,) their names.
        multilabel: whether a clip may have several labels.
        C: inverse regularisation strength.
        clips: number of clips that were learned from.
        encoder_sha256: of the encoder's files, whose embeddings alone it can classify.
        clip_seconds: median length of the clips.
    """

    corpus: str
    classes: tuple[str, ...]
    multilabel: bool
    C: float
    clips: int
    encoder_sha256: str = ""
    clip_seconds: float = 0.0


@dataclass(frozen=True)
class TrainedClassifier:
    """Logistic regression on embeddings.

    Args:
        info: classes, and where they come from.
        weights: (D, K) float64.
        intercepts: (K,) float64.
    """

    info: ClassifierInfo
    weights: NDArray[np.float64]
    intercepts: NDArray[np.float64]

    def probabilities(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, K) probability of each class for embeddings (N, D); without `multilabel` they sum to 1."""
        from echopair.pipeline.evaluation.linear_classifier import log_probabilities

        logits = embeddings.astype(np.float64) @ self.weights + self.intercepts
        return np.exp(log_probabilities(logits, self.info.multilabel)).astype(np.float32)

    def described(self, encoder_sha256: str, clip_seconds: float) -> Self:
        """The same, with what is known of the encoder and the clips that were learned from; see `ClassifierInfo`."""
        update = {"encoder_sha256": encoder_sha256, "clip_seconds": clip_seconds}
        return replace(self, info=self.info.model_copy(update=update))

    def save(self, file: Path) -> None:
        """Write the file, which `load` reads."""
        from safetensors.numpy import save_file

        tensors = {"weights": self.weights, "intercepts": self.intercepts}
        save_file(tensors, file, {METADATA_KEY: self.info.model_dump_json()})

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read what `save` wrote; nothing in it is executed.

        Raises:
            UserError: there is no such file, or it holds something else.
        """
        from safetensors import SafetensorError, safe_open

        if not file.is_file():
            raise UserError(
                f"{file}: there is no such file; a run writes classifier-CORPUS.safetensors into its folder, and "
                "`echopair explore` saves one beside a table"
            )
        try:
            with safe_open(file, framework="numpy") as tensors:
                info = ClassifierInfo.model_validate(json.loads((tensors.metadata() or {})[METADATA_KEY]))
                weights, intercepts = tensors.get_tensor("weights"), tensors.get_tensor("intercepts")
        except (SafetensorError, ValidationError, ValueError, KeyError, OSError) as error:
            raise UserError(f"{file} is no classifier that a run of echopair wrote: {error}") from error
        if weights.ndim != 2 or not weights.shape[1] == len(intercepts) == len(info.classes):
            raise UserError(f"{file}: {weights.shape} weights do not fit {len(info.classes)} classes")
        return cls(info, weights, intercepts)


def train_classifier(
    corpus: str,
    classes: Sequence[str],
    features: NDArray[np.float32],
    targets: NDArray[np.int8],
    folds: Sequence[Fold],
    c_values: Sequence[float],
    multilabel: bool,
) -> TrainedClassifier:
    """Fit the classifier that a probe leaves: on all clips that any fold learned from.

    After a cross-validation these are all clips; where one split was tested alone its clips are left out, so that
    the score is that of this classifier.

    Args:
        corpus: its name.
        classes: (K,) names; those without a clip to learn from are left out.
        features: (clips, D).
        targets: (clips, K) of 0 and 1.
        folds: of the probe.
        c_values: what each fold chose for C; the most frequent is taken, the smaller of two.
        multilabel: whether a clip may have several labels.
    """
    from threadpoolctl import threadpool_limits

    from echopair.pipeline.evaluation.linear_classifier import LinearClassifier

    learned = np.unique(np.concatenate([fold.train for fold in folds]))
    counts = Counter(c_values)
    c = min(counts, key=lambda value: (-counts[value], value))
    with threadpool_limits(1):  # see fit_fold
        classifier = LinearClassifier(features[learned], targets[learned], multilabel).fit(c)
    weights, intercepts, columns = classifier.head()
    info = ClassifierInfo(
        corpus=corpus,
        classes=tuple(classes[column] for column in columns),
        multilabel=multilabel,
        C=c,
        clips=len(learned),
    )
    return TrainedClassifier(info, weights, intercepts)
