"""The nearest-neighbour probe: clips named by the embeddings next to theirs; nothing is fitted, so it is quick."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from echopair.pipeline.evaluation.bootstrap import score_of

# Clips that are compared with the memory at once, and their similarities to it: 64 MiB of float32 at most.
CLIPS_A_BLOCK = 1024
SIMILARITIES_A_BLOCK = 2**24


def nearest_neighbour_score(
    embeddings: NDArray[np.float32],
    targets: NDArray[np.int8],
    parts: Sequence[NDArray[np.int64]],
    several: bool,
    neighbours: int = 10,
    temperature: float = 0.07,
) -> float:
    """Accuracy, or mean average precision, of weighted votes of the nearest clips, averaged over the parts.

    The k nearest by cosine similarity s vote with exp(s / temperature) for their labels. The parts are scored in
    turn, each with all clips outside it as memory.

    Args:
        embeddings: (clips, D), finite.
        targets: (clips, classes) of 0 and 1.
        parts: indices of the clips of each part, disjoint, with clips outside each of them.
        several: whether a clip may have several labels; mean average precision then.
        neighbours: k, above 0; all there are where the memory holds fewer.
        temperature: of the weights, above 0; the authors' default.

    Source: Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination, CVPR 2018,
        section 3.4 (k = 200 of ImageNet's 1.3 million there).
    """
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    directions = embeddings / np.maximum(norms, np.finfo(np.float32).tiny)  # nought is like nothing
    everything = np.arange(len(embeddings))
    scores = []
    for part in parts:
        memory = np.setdiff1d(everything, part)
        votes = _votes(directions[part], directions[memory], targets[memory], neighbours, temperature)
        scores.append(score_of(votes, targets[part], several))
    return float(np.mean(scores))


def _votes(
    queries: NDArray[np.float32],
    memory: NDArray[np.float32],
    targets: NDArray[np.int8],
    neighbours: int,
    temperature: float,
) -> NDArray[np.float64]:
    """Weighted share of the neighbours that have each label: (queries, classes), 0 to 1."""
    neighbours = min(neighbours, len(memory))
    votes = np.empty((len(queries), targets.shape[1]))
    block = max(1, min(CLIPS_A_BLOCK, SIMILARITIES_A_BLOCK // len(memory)))
    for first in range(0, len(queries), block):
        similarity = queries[first : first + block] @ memory.T  # (block, memory)
        nearest = np.argpartition(similarity, -neighbours, axis=1)[:, -neighbours:]
        weights = np.exp(np.take_along_axis(similarity, nearest, axis=1) / temperature, dtype=np.float64)
        labels = targets[nearest].astype(np.float64)  # (block, neighbours, classes)
        votes[first : first + block] = np.einsum("qn,qnc->qc", weights, labels) / weights.sum(1)[:, None]
    return votes
