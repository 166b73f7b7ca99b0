import math

import pytest
import torch

from echopair.models.representation_health import describe_collapse, representation_health


def seeded(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def reference(projections: torch.Tensor) -> tuple[float, float, float]:
    """Retrieval, alignment and uniformity, projection by projection."""
    views, pairs, _ = projections.shape
    z = {
        (view, pair): projections[view, pair] / projections[view, pair].norm()
        for view in range(views)
        for pair in range(pairs)
    }
    squares = {(i, j): float((z[i] - z[j]).square().sum()) for i in z for j in z if i != j}
    nearest = {i: min((square, j) for (one, j), square in squares.items() if one == i)[1] for i in z}
    aligned = [square for (i, j), square in squares.items() if i[1] == j[1]]
    potentials = [math.exp(-2 * square) for square in squares.values()]
    return (
        sum(j[1] == i[1] for i, j in nearest.items()) / len(z),
        sum(aligned) / len(aligned),
        math.log(sum(potentials) / len(potentials)),
    )


@pytest.mark.parametrize("views", [2, 3])
def test_figures_of_projections_are_as_defined(views: int) -> None:
    projections = seeded(1, 12, 8) + 0.7 * seeded(views, 12, 8)
    health = representation_health(projections, projections)
    top1, alignment, uniformity = reference(projections)
    assert 0.2 < top1 < 1
    assert health["retrieval_top1"] == pytest.approx(top1)
    assert health["alignment"] == pytest.approx(alignment, rel=1e-5)
    assert health["uniformity"] == pytest.approx(uniformity, rel=1e-5)


@pytest.mark.parametrize("views", [2, 3])
def test_perfect_pairs(views: int) -> None:
    same = seeded(64, 32).expand(views, 64, 32)
    health = representation_health(same, same)
    assert health["retrieval_top1"] == 1
    assert health["alignment"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("views", [2, 4])
def test_unrelated_pairs_are_at_chance(views: int) -> None:
    health = representation_health(seeded(views, 128, 32), seeded(views, 128, 32))
    assert health["retrieval_top1_chance_level"] == (views - 1) / (128 * views - 1)
    assert health["retrieval_top1"] == pytest.approx(health["retrieval_top1_chance_level"], abs=0.02)
    assert health["alignment"] == pytest.approx(2, abs=0.1)  # orthogonal unit vectors


def test_any_view_of_the_clip_counts_as_found() -> None:
    """Two views of each clip lie together, the third nearest to those of the next clip."""
    axes = torch.eye(12)
    lost = axes[6:] + 0.1 * axes[:6].roll(-1, 0)
    projections = torch.stack([axes[:6], lost, axes[:6]])
    assert representation_health(projections, projections)["retrieval_top1"] == pytest.approx(2 / 3)


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


def test_collapse_is_described_by_its_figures() -> None:
    assert describe_collapse({"uniformity": -2.0, "effective_rank": 20.0}) is None
    for uniformity, rank in ((-0.01, 20.0), (-2.0, 1.2)):
        described = describe_collapse({"uniformity": uniformity, "effective_rank": rank})
        assert described == f"effective rank {rank:.1f}, uniformity {uniformity:.2f}"
