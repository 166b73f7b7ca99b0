import math
from collections import defaultdict

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from echopair.pipeline.evaluation import nearest_neighbours
from echopair.pipeline.evaluation.nearest_neighbours import nearest_neighbour_score


def slow_votes(
    query: NDArray[np.float32],
    memory: NDArray[np.float32],
    labels: list[set[int]],
    neighbours: int,
    temperature: float,
) -> dict[int, float]:
    """Section 3.4 of Wu et al., a neighbour at a time; a weight is spread over all labels that a clip has."""
    similarities = [
        float(np.dot(query, other) / np.linalg.norm(query) / np.linalg.norm(other)) for other in memory
    ]
    nearest = sorted(range(len(memory)), key=lambda n: -similarities[n])[:neighbours]
    weights = {n: math.exp(similarities[n] / temperature) for n in nearest}
    votes: dict[int, float] = defaultdict(float)
    for n in nearest:
        for label in labels[n]:
            votes[label] += weights[n] / sum(weights.values())
    return votes


def slow_score(
    embeddings: NDArray[np.float32],
    targets: NDArray[np.int8],
    parts: list[NDArray[np.int64]],
    multilabel: bool,
    neighbours: int,
    temperature: float,
) -> float:
    scores = []
    for part in parts:
        memory = [clip for clip in range(len(embeddings)) if clip not in part]
        labels = [set(np.flatnonzero(targets[clip]).tolist()) for clip in memory]
        votes = [
            slow_votes(embeddings[clip], embeddings[memory], labels, neighbours, temperature) for clip in part
        ]
        if multilabel:
            of_class = [
                average_precision_score(targets[part, label], [vote[label] for vote in votes])
                for label in range(targets.shape[1])
                if targets[part, label].any()
            ]
            scores.append(np.mean(of_class))
        else:
            right = [
                targets[clip, max(vote, key=lambda label: vote[label])]
                for clip, vote in zip(part, votes, strict=True)
            ]
            scores.append(np.mean(right))
    return float(np.mean(scores))


def blobs(clips: int, classes: int, multilabel: bool) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    generator = np.random.default_rng(0)
    targets = np.eye(classes, dtype=np.int8)[generator.integers(0, classes, clips)]
    if multilabel:
        targets |= (generator.random(targets.shape) < 0.2).astype(np.int8)
    embeddings = targets @ generator.normal(size=(classes, 12)) + 1.5 * generator.normal(size=(clips, 12))
    return embeddings.astype(np.float32), targets


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize(("neighbours", "temperature"), [(1, 0.07), (10, 0.07), (10, 1.0), (500, 0.3)])
def test_is_the_probe_of_the_paper(multilabel: bool, neighbours: int, temperature: float) -> None:
    embeddings, targets = blobs(90, 4, multilabel)
    parts = np.array_split(np.random.default_rng(1).permutation(90), 4)
    score = nearest_neighbour_score(embeddings, targets, parts, multilabel, neighbours, temperature)
    assert score == pytest.approx(slow_score(embeddings, targets, parts, multilabel, neighbours, temperature))
    assert 0.3 < score < 0.95  # neither chance nor certainty, so that a mistake shows


def test_the_nearest_clip_alone_names_a_clip() -> None:
    angles = np.array([0.0, 0.1, 1.0, 1.2])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    targets = np.eye(2, dtype=np.int8)[[0, 0, 1, 0]]
    parts = [np.array([n]) for n in range(4)]
    # 0 and 1 name each other rightly; 2 and 3 are nearest to each other and of two classes.
    assert nearest_neighbour_score(embeddings, targets, parts, multilabel=False, neighbours=1) == 0.5


def test_identical_points_take_the_commonest_label() -> None:
    targets = np.eye(3, dtype=np.int8)[[0] * 6 + [1] * 3 + [2]]
    parts = [np.array([0, 6, 9])]
    score = nearest_neighbour_score(np.ones((10, 5), np.float32), targets, parts, multilabel=False)
    assert score == pytest.approx(1 / 3)


def test_a_nearer_clip_outvotes_more_that_are_farther_unless_the_temperature_is_high() -> None:
    angles = np.array([0.0, 0.1, 0.9, 1.0])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    targets = np.eye(2, dtype=np.int8)[[0, 0, 1, 1]]
    arguments = (embeddings, targets, [np.array([0])], False, 3)
    assert nearest_neighbour_score(*arguments, temperature=0.07) == 1
    assert nearest_neighbour_score(*arguments, temperature=10) == 0


def test_clips_of_one_part_never_vote_for_each_other() -> None:
    """Each clip is next to clips of its own part and class, and of no other class's clips but in other parts."""
    generator = np.random.default_rng(0)
    part_of, label = np.arange(80) % 4, np.arange(80) // 4 % 2
    place = np.eye(4)[(part_of + 2 * label) % 4]  # a class stands where the other stands in another part
    embeddings = (place + 0.01 * generator.normal(size=place.shape)).astype(np.float32)
    targets = np.eye(2, dtype=np.int8)[label]
    apart = [np.flatnonzero(part_of == part) for part in range(4)]
    assert nearest_neighbour_score(embeddings, targets, apart, multilabel=False) == 0
    mixed = np.array_split(generator.permutation(80), 4)
    assert nearest_neighbour_score(embeddings, targets, mixed, multilabel=False) > 0.3


def test_the_length_of_an_embedding_says_nothing() -> None:
    embeddings, targets = blobs(60, 3, multilabel=False)
    parts = np.array_split(np.arange(60), 3)
    longer = embeddings * np.random.default_rng(0).uniform(0.1, 100, size=(60, 1)).astype(np.float32)
    score = nearest_neighbour_score(embeddings, targets, parts, multilabel=False)
    assert nearest_neighbour_score(longer, targets, parts, multilabel=False) == pytest.approx(score)
    longer[0] = 0
    assert 0 <= nearest_neighbour_score(longer, targets, parts, multilabel=False) <= 1


@pytest.mark.parametrize("multilabel", [False, True])
def test_blocks_change_nothing(multilabel: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, targets = blobs(100, 3, multilabel)
    parts = [np.arange(40), np.arange(40, 100)]
    score = nearest_neighbour_score(embeddings, targets, parts, multilabel)
    monkeypatch.setattr(nearest_neighbours, "SIMILARITIES_PER_BLOCK", 7 * 40)
    assert nearest_neighbour_score(embeddings, targets, parts, multilabel) == pytest.approx(score)
