import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from echopair.models.losses.nt_xent import chance_level, nt_xent


def reference(projections: torch.Tensor, temperature: float) -> float:
    """Equation 2 of Khosla et al. 2020, term by term; with two views, equation 1 of Chen et al. 2020."""
    views, pairs, _ = projections.shape
    z = {(view, pair): projections[view, pair] for view in range(views) for pair in range(pairs)}

    def similarity(i: tuple[int, int], j: tuple[int, int]) -> float:
        return float(torch.dot(z[i], z[j]) / (z[i].norm() * z[j].norm()))

    total = 0.0
    for i in z:
        others = sum(math.exp(similarity(i, a) / temperature) for a in z if a != i)
        positives = [p for p in z if p != i and p[1] == i[1]]
        terms = [math.log(math.exp(similarity(i, p) / temperature) / others) for p in positives]
        total -= sum(terms) / len(positives)
    return total / len(z)


@pytest.mark.parametrize(
    ("views", "pairs", "temperature"), [(2, 2, 0.07), (2, 16, 0.2), (3, 5, 0.07), (4, 5, 1.0)]
)
def test_is_the_papers_equation(views: int, pairs: int, temperature: float) -> None:
    projections = torch.randn(
        views, pairs, 8, generator=torch.Generator().manual_seed(pairs), dtype=torch.float64
    )
    assert nt_xent(projections, temperature).item() == pytest.approx(
        reference(projections, temperature), rel=1e-5
    )


@pytest.mark.parametrize("pairs", [2, 33])
def test_two_views_are_cross_entropy_to_the_last_bit(pairs: int) -> None:
    projections = torch.randn(2, pairs, 128, requires_grad=True)
    z = F.normalize(projections.flatten(0, 1), dim=1)
    logits = (z @ z.T / 0.2).fill_diagonal_(-math.inf)
    expected = F.cross_entropy(logits, torch.arange(2 * pairs).roll(pairs))
    loss = nt_xent(projections, 0.2)
    assert torch.equal(loss, expected)
    assert torch.equal(*(torch.autograd.grad(one, projections)[0] for one in (loss, expected)))


@pytest.mark.parametrize("views", [2, 8])
def test_equal_projections_give_the_chance_level(views: int) -> None:
    loss = nt_xent(torch.ones(views, 7, 4), 0.2).item()
    assert loss == pytest.approx(chance_level(7, views), rel=1e-6)
    assert loss == pytest.approx(math.log(7 * views - 1), rel=1e-6)


def test_chance_level_is_that_of_two_views_by_default() -> None:
    assert chance_level(7) == chance_level(7, 2) == math.log(13)


@pytest.mark.parametrize("views", [2, 8])
def test_orthogonal_clips_have_a_closed_form(views: int) -> None:
    projections = torch.eye(4).expand(views, 4, 4)
    # Similarity 1 to V - 1 positives, 0 to 3 V negatives.
    expected = -math.log(math.exp(5) / ((views - 1) * math.exp(5) + 3 * views))
    assert nt_xent(projections, 0.2).item() == pytest.approx(expected, rel=1e-5)


def test_the_least_loss_is_that_of_positives_sharing_a_softmax() -> None:
    projections = torch.eye(4).expand(3, 4, 4)
    assert nt_xent(projections, 0.02).item() == pytest.approx(math.log(2), rel=1e-5)


@pytest.mark.parametrize("views", [2, 3])
def test_views_and_clips_may_change_places(views: int) -> None:
    projections = torch.randn(views, 6, 8)
    loss = nt_xent(projections, 0.3)
    for order in itertools.permutations(range(views)):
        torch.testing.assert_close(nt_xent(projections[list(order)], 0.3), loss)
    torch.testing.assert_close(nt_xent(projections[:, torch.randperm(6)], 0.3), loss)


def test_the_norm_of_a_projection_changes_nothing() -> None:
    projections = torch.randn(3, 6, 8)
    torch.testing.assert_close(nt_xent(projections * 100, 0.2), nt_xent(projections, 0.2))


def test_bfloat16_projections_are_compared_in_float32_also_under_autocast() -> None:
    projections = torch.randn(2, 64, 32).bfloat16()
    expected = nt_xent(projections.float(), 0.05)
    assert torch.equal(nt_xent(projections, 0.05), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(nt_xent(projections, 0.05), expected)


@pytest.mark.parametrize("views", [2, 4])
def test_descent_lowers_it_below_chance(views: int) -> None:
    projections = torch.randn(views, 8, 16, generator=torch.Generator().manual_seed(0), requires_grad=True)
    before = nt_xent(projections, 0.2).item()
    for _ in range(20):
        (gradient,) = torch.autograd.grad(nt_xent(projections, 0.2), projections)
        projections = (projections - views * gradient).detach().requires_grad_()
    assert nt_xent(projections, 0.2).item() < min(before, chance_level(8, views)) - 0.5
    for one, other in itertools.combinations(projections, 2):
        assert F.cosine_similarity(one, other).min() > 0.5


@pytest.mark.parametrize(
    ("shape", "temperature", "message"),
    [
        ((2, 1, 4), 0.2, "at least two pairs"),
        ((1, 4, 4), 0.2, "at least two views"),
        ((2, 4, 4), 0.0, "above 0"),
    ],
)
def test_what_it_cannot_compare_is_refused(
    shape: tuple[int, int, int], temperature: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        nt_xent(torch.randn(shape), temperature)
