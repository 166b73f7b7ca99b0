import math

import pytest
import torch

from models.representation_health import representation_health


def seeded(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_perfect_pairs() -> None:
    first = seeded(64, 32)
    health = representation_health(torch.stack([first, first]), torch.stack([first, first]))
    assert health["retrieval_top1"] == 1
    assert health["alignment"] == pytest.approx(0, abs=1e-6)


def test_unrelated_pairs_are_at_chance() -> None:
    health = representation_health(seeded(2, 128, 32), seeded(2, 128, 32))
    assert health["retrieval_top1"] < 0.1
    assert health["alignment"] == pytest.approx(2, abs=0.1)  # orthogonal unit vectors


def test_collapse_to_one_point() -> None:
    point = seeded(8).expand(2, 64, 8) + 1e-5 * seeded(2, 64, 8)
    health = representation_health(point, point)
    assert health["uniformity"] == pytest.approx(0, abs=1e-3)
    assert health["embedding_spread"] < 0.01


def test_collapse_to_one_direction_is_rank_one() -> None:
    line = seeded(2, 64, 1) * seeded(1, 1, 16)
    assert representation_health(line, seeded(2, 64, 16))["effective_rank"] == pytest.approx(1, abs=0.01)


def test_rank_of_equal_directions_is_their_number() -> None:
    embeddings = torch.zeros(2, 32, 16)
    embeddings[:, :, :4] = seeded(2, 32, 4)
    basis, _ = torch.linalg.qr(embeddings.flatten(0, 1)[:, :4] - embeddings.flatten(0, 1)[:, :4].mean(0))
    embeddings[:, :, :4] = basis.unflatten(0, (2, 32))
    assert representation_health(embeddings, seeded(2, 32, 8))["effective_rank"] == pytest.approx(4, abs=0.01)


def test_spread_over_the_sphere_is_one() -> None:
    assert representation_health(seeded(2, 512, 64), seeded(2, 512, 64))["embedding_spread"] == pytest.approx(
        1, abs=0.05
    )


def test_uniformity_of_two_opposite_points() -> None:
    projections = torch.tensor([[[1.0, 0], [-1, 0]], [[1, 0], [-1, 0]]])
    # Of the 12 ordered pairs 4 are at distance 0 and 8 at squared distance 4.
    expected = math.log((4 + 8 * math.exp(-8)) / 12)
    assert representation_health(projections, projections)["uniformity"] == pytest.approx(expected, abs=1e-5)
