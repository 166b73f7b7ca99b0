import math

import pytest
import torch
import torch.nn.functional as F

from models.objectives import NTXentConfig, build_objective
from models.objectives.nt_xent import chance_level, nt_xent


def reference(projections: torch.Tensor, temperature: float) -> float:
    """Equation 1 of Chen et al. 2020, term by term."""
    _, pairs, _ = projections.shape
    z = [projections[view, pair] for pair in range(pairs) for view in range(2)]

    def similarity(i: int, j: int) -> float:
        return float(torch.dot(z[i], z[j]) / (z[i].norm() * z[j].norm()))

    total = 0.0
    for i in range(2 * pairs):
        j = i + 1 if i % 2 == 0 else i - 1
        others = sum(math.exp(similarity(i, k) / temperature) for k in range(2 * pairs) if k != i)
        total -= math.log(math.exp(similarity(i, j) / temperature) / others)
    return total / (2 * pairs)


@pytest.mark.parametrize("pairs", [2, 5, 16])
@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
def test_is_equation_1(pairs: int, temperature: float) -> None:
    projections = torch.randn(
        2, pairs, 8, generator=torch.Generator().manual_seed(pairs), dtype=torch.float64
    )
    assert nt_xent(projections, temperature).item() == pytest.approx(
        reference(projections, temperature), rel=1e-5
    )


def test_equal_projections_give_the_chance_level() -> None:
    assert nt_xent(torch.ones(2, 7, 4), 0.2).item() == pytest.approx(chance_level(7), rel=1e-6)


def test_orthogonal_pairs_have_a_closed_form() -> None:
    views = torch.eye(4).expand(2, 4, 4)
    expected = -math.log(math.exp(5) / (math.exp(5) + 6))  # similarity 1 to the positive, 0 to six negatives
    assert nt_xent(views, 0.2).item() == pytest.approx(expected, rel=1e-5)


def test_views_and_clips_may_change_places() -> None:
    projections = torch.randn(2, 6, 8)
    loss = nt_xent(projections, 0.3)
    torch.testing.assert_close(nt_xent(projections.flip(0), 0.3), loss)
    torch.testing.assert_close(nt_xent(projections[:, torch.randperm(6)], 0.3), loss)


def test_length_of_a_projection_says_nothing() -> None:
    projections = torch.randn(2, 6, 8)
    torch.testing.assert_close(nt_xent(projections * 100, 0.2), nt_xent(projections, 0.2))


def test_bfloat16_projections_are_compared_in_float32() -> None:
    projections = torch.randn(2, 64, 32).bfloat16()
    assert nt_xent(projections, 0.05).dtype == torch.float32
    torch.testing.assert_close(nt_xent(projections, 0.05), nt_xent(projections.float(), 0.05))


def test_descent_lowers_it_below_chance() -> None:
    projections = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0), requires_grad=True)
    objective = build_objective(NTXentConfig(temperature=0.2))
    before = objective(projections).item()
    for _ in range(20):
        (gradient,) = torch.autograd.grad(objective(projections), projections)
        projections = (projections - 2 * gradient).detach().requires_grad_()
    assert objective(projections).item() < min(before, chance_level(8)) - 0.5
    assert F.cosine_similarity(projections[0], projections[1]).min() > 0.5


@pytest.mark.parametrize(
    ("shape", "temperature", "message"),
    [((2, 1, 4), 0.2, "at least two pairs"), ((3, 4, 4), 0.2, "two views"), ((2, 4, 4), 0.0, "above 0")],
)
def test_what_it_cannot_compare_is_refused(
    shape: tuple[int, int, int], temperature: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        nt_xent(torch.randn(shape), temperature)
