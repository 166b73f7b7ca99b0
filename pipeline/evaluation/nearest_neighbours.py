"""The nearest-neighbour probe: clips named by the embeddings next to theirs; nothing is fitted, so it is quick."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from echopair.lazy import np
from echopair.pipeline.embed import EmbedConfig
from echopair.pipeline.embed_windows import embed_clips
from echopair.pipeline.evaluation.bootstrap import score_of
from echopair.pipeline.evaluation.validation import FOLDS_SEED, ValidationTask, check_finite, validation_task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.models.audio_encoder import AudioEncoder
    from echopair.pipeline.evaluation.probe import ProbeConfig
    from echopair.pipeline.store import ClipStore


# Clips that are compared with the memory at once, and their similarities to it: 64 MiB of float32 at most.
CLIPS_PER_BLOCK = 1024
SIMILARITIES_PER_BLOCK = 2**24
# Clips of a corpus that an intermediate score embeds at most, so that it takes seconds in the middle of a training.
INTERMEDIATE_CLIPS = 600


def nearest_neighbour_score(
    embeddings: NDArray[np.float32],
    targets: NDArray[np.int8],
    folds: Sequence[NDArray[np.int64]],
    multilabel: bool,
    neighbours: int = 10,
    temperature: float = 0.07,
) -> float:
    """Accuracy, or mean average precision, of weighted votes of the nearest clips, averaged over the folds.

    The k nearest by cosine similarity s vote with exp(s / temperature) for their labels. The folds are scored in
    turn, each with all clips outside it as memory.

    Args:
        embeddings: (clips, D), finite.
        targets: (clips, classes) of 0 and 1.
        folds: indices of the clips of each fold, disjoint, with clips outside each of them.
        multilabel: whether a clip may have several labels; mean average precision then.
        neighbours: k, above 0; all there are where the memory holds fewer.
        temperature: of the weights, above 0; the authors' default.

    Source: Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination, CVPR 2018,
        section 3.4 (k = 200 of ImageNet's 1.3 million there).
    """
    directions = unit_vectors(embeddings)
    everything = np.arange(len(embeddings))
    scores = []
    for fold in folds:
        memory = np.setdiff1d(everything, fold)
        votes = votes_of_neighbours(
            directions[fold], directions[memory], targets[memory], neighbours, temperature
        )
        scores.append(score_of(votes, targets[fold], multilabel))
    return float(np.mean(scores))


def unit_vectors(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, D) of length 1; a vector of zeros stays one, and has similarity 0 to all."""
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    directions: NDArray[np.float32] = embeddings / np.maximum(norms, np.finfo(np.float32).tiny)
    return directions


def votes_of_neighbours(
    queries: NDArray[np.float32],
    memory: NDArray[np.float32],
    targets: NDArray[np.int8],
    neighbours: int,
    temperature: float,
) -> NDArray[np.float64]:
    """Weighted share of the neighbours that have each label: (queries, classes), 0 to 1.

    Args:
        queries: (queries, D) of length 1.
        memory: (M, D) of length 1.
        targets: (M, classes) of 0 and 1.
        neighbours: k; see `nearest_neighbour_score`.
        temperature: of the weights.
    """
    neighbours = min(neighbours, len(memory))
    votes = np.empty((len(queries), targets.shape[1]))
    block = max(1, min(CLIPS_PER_BLOCK, SIMILARITIES_PER_BLOCK // len(memory)))
    for first in range(0, len(queries), block):
        similarity = queries[first : first + block] @ memory.T  # (block, memory)
        nearest = np.argpartition(similarity, -neighbours, axis=1)[:, -neighbours:]
        weights = np.exp(np.take_along_axis(similarity, nearest, axis=1) / temperature, dtype=np.float64)
        labels = targets[nearest].astype(np.float64)  # (block, neighbours, classes)
        votes[first : first + block] = np.einsum("qn,qnc->qc", weights, labels) / weights.sum(1)[:, None]
    return votes


class NeighbourProbe:
    """The nearest-neighbour probe of validation clips, for intermediate scores of an encoder that is being trained.

    Args:
        corpora: by name, a store and the indices of its validation clips, as from `validation_sets`.
        config: number of folds.
        embed_config: where and how to embed.

    Attributes:
        clips: of each corpus, the clips that are embedded: a fixed draw of at most `INTERMEDIATE_CLIPS` of those given,
            with the classes' shares of all.

    Raises:
        UserError: clips without labels, of one class, or of too few sources to hold any out.
    """

    def __init__(
        self,
        corpora: Mapping[str, tuple[ClipStore, NDArray[np.int64]]],
        config: ProbeConfig,
        embed_config: EmbedConfig,
    ) -> None:
        self._embed_config = embed_config
        self._tasks = {
            corpus: (store, _limited(validation_task(corpus, store, clips, config)))
            for corpus, (store, clips) in corpora.items()
        }
        self.clips = {corpus: task.clips for corpus, (_, task) in self._tasks.items()}

    def score(self, encoder: AudioEncoder) -> float:
        """Mean over the corpora of the accuracy, or mean average precision, of the nearest clips' votes.

        Clips are embedded as `embed` does, by a copy: the mode, the statistics, the device and the gradients of an
        encoder that is being trained stay as they are, and nothing is drawn or printed.

        Args:
            encoder: in any mode, on any device.

        Raises:
            Diverged: an embedding is NaN or infinite.
        """
        from echopair.models.audio_encoder import AudioEncoder

        settings = self._embed_config
        copied = AudioEncoder(
            encoder.config,
            copy.deepcopy(encoder.encoder),
            device=settings.device,
            precision=settings.precision,
        )
        scores = []
        for corpus, (store, task) in self._tasks.items():
            embeddings = embed_clips(store, task.clips, copied, settings.batch_crops)
            check_finite(corpus, embeddings)
            scores.append(nearest_neighbour_score(embeddings, task.targets, task.folds, task.multilabel))
        return float(np.mean(scores))


def _limited(task: ValidationTask) -> ValidationTask:
    """At most `INTERMEDIATE_CLIPS` of the clips, half of them scored if others are only learned from."""
    scored = np.unique(np.concatenate(task.folds))
    learned = np.setdiff1d(np.arange(len(task.clips)), scored)
    wanted = INTERMEDIATE_CLIPS - min(len(learned), INTERMEDIATE_CLIPS // 2)
    chosen = np.sort(
        np.concatenate(
            [
                _representative(scored, task.strata, wanted),
                _representative(learned, task.strata, INTERMEDIATE_CLIPS - min(len(scored), wanted)),
            ]
        )
    )
    folds = [np.flatnonzero(np.isin(chosen, fold)) for fold in task.folds]
    return task._replace(
        clips=task.clips[chosen],
        strata=task.strata[chosen],
        targets=task.targets[chosen],
        folds=[fold for fold in folds if len(fold)],
    )


def _representative(rows: NDArray[np.int64], strata: NDArray[np.str_], wanted: int) -> NDArray[np.int64]:
    """At most so many of the rows, drawn with each stratum's share of all."""
    shuffled = np.random.default_rng(FOLDS_SEED).permutation(rows)
    place = np.empty(len(rows))
    for stratum in np.unique(strata[rows]):
        members = np.flatnonzero(strata[shuffled] == stratum)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return shuffled[np.argsort(place, kind="stable")[:wanted]]
