import math

import pytest
import torch

from echopair.models.losses.instance_discrimination import (
    bank_similarities,
    instance_nce,
    instance_softmax,
)
from echopair.models.losses.normalise import l2_normalise
from tests.models.losses.extremes import assert_finite

SEGMENTS = torch.tensor([3, 0, 6, 2])


def vectors(rows: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def exponential(one: torch.Tensor, other: torch.Tensor, temperature: float) -> float:
    return math.exp(float(torch.dot(one, other) / (one.norm() * other.norm())) / temperature)


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_softmax_is_equations_2_and_3(temperature: float) -> None:
    projections, bank = vectors(4, 0), vectors(7, 1)
    expected = 0.0
    for f, i in zip(projections, SEGMENTS.tolist(), strict=True):
        every = [exponential(f, v, temperature) for v in bank]
        expected -= math.log(every[i] / sum(every)) / 4
    found = instance_softmax(bank_similarities(projections, bank), SEGMENTS, temperature)
    assert found.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_nce_is_equations_6_to_8(temperature: float) -> None:
    projections, bank, drawn = vectors(4, 0), vectors(7, 1), [5, 1, 1, 0, 6]
    size, noises = len(bank), len(drawn)
    # Equation 8, over the batch.
    z = size * sum(exponential(f, bank[j], temperature) for f in projections for j in drawn) / (4 * noises)

    def posterior(f: torch.Tensor, v: torch.Tensor) -> float:
        p = exponential(f, v, temperature) / z
        return p / (p + noises / size)

    expected = 0.0
    for f, i in zip(projections, SEGMENTS.tolist(), strict=True):
        expected -= math.log(posterior(f, bank[i])) / 4
        expected -= sum(math.log(1 - posterior(f, bank[j])) for j in drawn) / 4
    own = (l2_normalise(projections) * l2_normalise(bank[SEGMENTS])).sum(1)
    found = instance_nce(own, bank_similarities(projections, bank[drawn]), temperature)
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_softmax_has_the_gradient_of_its_value() -> None:
    projections = vectors(4, 0).requires_grad_()
    bank = vectors(7, 1)
    assert torch.autograd.gradcheck(
        lambda f: instance_softmax(bank_similarities(f, bank), SEGMENTS, 0.2), projections
    )


def test_equal_similarities_have_closed_forms() -> None:
    assert instance_softmax(torch.ones(4, 7), SEGMENTS, 0.1).item() == pytest.approx(math.log(7))
    expected = math.log(1 + 5) + 5 * math.log(1 + 1 / 5)
    assert instance_nce(torch.ones(4), torch.ones(4, 5), 0.1).item() == pytest.approx(expected)


def test_nce_has_the_softmax_s_gradient_where_the_whole_bank_is_the_noise_many_times() -> None:
    """With much noise, the gradient of the estimate is that of the likelihood (Gutmann and Hyvarinen 2010)."""
    projections, bank = vectors(1, 0).requires_grad_(), vectors(7, 1)
    similarities = bank_similarities(projections, bank)
    exact = instance_softmax(similarities, torch.tensor([3]), 0.5)
    estimate = instance_nce(similarities[:, 3], similarities.repeat(1, 2000), 0.5)
    gradients = [torch.autograd.grad(one, projections, retain_graph=True)[0] for one in (exact, estimate)]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)


def test_both_are_finite_whatever_the_vectors() -> None:
    numbers = torch.arange(4)
    assert_finite(lambda one, other, t: instance_softmax(bank_similarities(one, other), numbers, t))
    assert_finite(
        lambda one, other, t: instance_nce(
            bank_similarities(one, other).diagonal(), bank_similarities(one, other), t
        )
    )
