import itertools

import pytest
import torch
from lightly.loss import NegativeCosineSimilarity

from echopair.models.losses.prediction_similarity import prediction_similarity, similarity_to_other_clips
from tests.models.losses.extremes import assert_finite


def vectors(views: int, seed: int) -> torch.Tensor:
    return torch.randn(views, 5, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("views", [2, 3])
def test_is_the_mean_over_ordered_pairs_of_views(views: int) -> None:
    predictions, targets = vectors(views, 0), vectors(views, 1)
    own, other = [], []
    for u, v in itertools.permutations(range(views), 2):
        for n, m in itertools.product(range(5), repeat=2):
            p, t = predictions[u, n], targets[v, m]
            (own if n == m else other).append(float(torch.dot(p, t) / (p.norm() * t.norm())))
    assert prediction_similarity(predictions, targets).item() == pytest.approx(sum(own) / len(own), rel=1e-9)
    found = similarity_to_other_clips(predictions, targets).item()
    assert found == pytest.approx(sum(other) / len(other), rel=1e-9)


def test_is_equation_2_of_byol_and_equation_2_of_simsiam() -> None:
    (p1, p2), (z1, z2) = predictions, targets = vectors(2, 0), vectors(2, 1)

    def byol(p: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        distance = p / p.norm(dim=1, keepdim=True) - z / z.norm(dim=1, keepdim=True)
        return distance.square().sum(1).mean()

    similarity = prediction_similarity(predictions, targets)
    torch.testing.assert_close(2 - 2 * similarity, (byol(p1, z2) + byol(p2, z1)) / 2)
    lightly = NegativeCosineSimilarity()
    torch.testing.assert_close(-similarity, (lightly(p1, z2) + lightly(p2, z1)) / 2)


def test_gradient_is_that_of_the_value() -> None:
    predictions = vectors(3, 0).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: prediction_similarity(p, vectors(3, 1)), predictions)


def test_is_1_for_equal_and_minus_1_for_opposite_ones() -> None:
    same = torch.randn(5, 6).expand(3, 5, 6)
    assert prediction_similarity(same, 7 * same).item() == pytest.approx(1)
    assert prediction_similarity(same, -same).item() == pytest.approx(-1)


def test_is_finite_whatever_the_vectors() -> None:
    assert_finite(lambda one, other, _: prediction_similarity(one.expand(2, 4, 8), other.expand(2, 4, 8)))
