import math

import pytest
import torch
from lightly.loss import NTXentLoss

from echopair.models.losses.key_contrast import (
    EXCLUDED,
    key_contrast,
    key_similarities,
    mix_hard_negatives,
)
from echopair.models.losses.normalise import l2_normalise
from tests.models.losses.extremes import assert_finite

NONE = torch.zeros(4, 6, dtype=torch.bool)


def vectors(rows: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def loss(
    queries: torch.Tensor, keys: torch.Tensor, queue: torch.Tensor, excluded: torch.Tensor, temperature: float
) -> torch.Tensor:
    return key_contrast(key_similarities(queries, keys, queue, excluded), temperature)


def reference(
    queries: torch.Tensor, keys: torch.Tensor, queue: torch.Tensor, excluded: torch.Tensor, temperature: float
) -> float:
    """Equation 1 of He et al. 2020, term by term, without the negatives that are excluded."""

    def exponential(one: torch.Tensor, other: torch.Tensor) -> float:
        return math.exp(float(torch.dot(one, other) / (one.norm() * other.norm())) / temperature)

    total = 0.0
    for n, (query, key) in enumerate(zip(queries, keys, strict=True)):
        positive = exponential(query, key)
        negatives = [exponential(query, k) for k, out in zip(queue, excluded[n], strict=True) if not out]
        total -= math.log(positive / (positive + sum(negatives)))
    return total / len(queries)


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_is_the_papers_equation(temperature: float) -> None:
    excluded = NONE.clone()
    excluded[1, 2] = excluded[3, :4] = True
    arguments = (vectors(4, 0), vectors(4, 1), vectors(6, 2), excluded, temperature)
    assert loss(*arguments).item() == pytest.approx(reference(*arguments), rel=1e-9)


def test_is_that_of_lightly_with_its_memory_bank() -> None:
    theirs = NTXentLoss(temperature=0.2, memory_bank_size=(6, 5))
    queries, keys = vectors(4, 0).float().requires_grad_(), vectors(4, 1).float()
    theirs(queries, keys)  # the first call fills the bank
    queue = theirs.memory_bank.bank.clone()
    queue = queue.T if queue.shape[0] == 5 else queue
    torch.testing.assert_close(loss(queries, keys, queue, NONE, 0.2), theirs(queries, keys))


def test_gradient_is_that_of_the_value() -> None:
    queries = vectors(4, 0).requires_grad_()
    assert torch.autograd.gradcheck(lambda q: loss(q, vectors(4, 1), vectors(6, 2), NONE, 0.2), queries)


def test_equal_similarities_give_the_logarithm_of_their_number() -> None:
    one = torch.ones(4, 5)
    assert loss(one, one, torch.ones(6, 5), NONE, 0.1).item() == pytest.approx(math.log(7))


def test_is_finite_whatever_the_vectors() -> None:
    def mixed(one: torch.Tensor, other: torch.Tensor, temperature: float) -> torch.Tensor:
        similarities = key_similarities(one, other, other, torch.eye(4, dtype=torch.bool))
        more = mix_hard_negatives(one, other, similarities[:, 1:], 2, 3, 3, torch.Generator())
        return key_contrast(torch.cat([similarities, more], dim=1), temperature)

    assert_finite(mixed)


def test_mixed_negatives_are_those_of_the_paper() -> None:
    """Mixtures of the hardest, with the draws of the same generator in the same order."""
    queries, queue = l2_normalise(vectors(2, 0)), l2_normalise(vectors(6, 1))
    similarities = queries @ queue.T
    similarities[0, similarities[0].argmax()] = EXCLUDED
    found = mix_hard_negatives(queries, queue, similarities, 3, 4, 5, torch.Generator().manual_seed(7))

    generator = torch.Generator().manual_seed(7)
    draws = [torch.rand((2, number), generator=generator) for number in (4, 4, 4, 5, 5)]
    share, one, other, query_share, with_query = draws
    for n, query in enumerate(queries):
        hardest = sorted(
            (k for k in range(6) if similarities[n, k] > EXCLUDED), key=lambda k: -similarities[n, k]
        )[:3]
        expected = []
        for s in range(4):
            first, second = (queue[hardest[int(3 * draw[n, s])]] for draw in (one, other))
            mixture = share[n, s] * first + (1 - share[n, s]) * second
            expected.append(float(torch.dot(query, mixture / mixture.norm())))
        for s in range(5):
            negative = queue[hardest[int(3 * with_query[n, s])]]
            mixture = query_share[n, s] / 2 * query + (1 - query_share[n, s] / 2) * negative
            expected.append(float(torch.dot(query, mixture / mixture.norm())))
        assert found[n].tolist() == pytest.approx(expected, rel=1e-6)


def test_mixing_with_the_query_makes_negatives_harder_and_no_gradient_of_their_own() -> None:
    queries = l2_normalise(vectors(4, 0)).requires_grad_()
    queue = l2_normalise(vectors(6, 1))
    hardest = (queries @ queue.T).detach()
    found = mix_hard_negatives(queries, queue, hardest, 1, 0, 50, torch.Generator())
    assert (found >= hardest.amax(1, keepdim=True) - 1e-9).all()
    # With constant mixtures, the gradient at a unit query is the mixture without its part along the query.
    (gradient,) = torch.autograd.grad(found[0, 0], queries)
    assert gradient[0].norm().item() == pytest.approx(math.sqrt(1 - found[0, 0].item() ** 2), rel=1e-6)


def test_only_negatives_are_mixed_when_few_are_left() -> None:
    queries, queue = torch.eye(5)[:2], torch.eye(5)[2:]
    similarities = torch.tensor([[0.0, EXCLUDED, EXCLUDED], [EXCLUDED, 0.0, 0.0]])
    found = mix_hard_negatives(queries, queue, similarities, 3, 200, 200, torch.Generator())
    assert found[:, :200].abs().max() == 0  # orthogonal to each query, as all negatives are
    assert found[:, 200:].max() < math.sqrt(0.5)
    none = mix_hard_negatives(queries, queue, torch.full((2, 3), EXCLUDED), 3, 2, 2, torch.Generator())
    assert (none == EXCLUDED).all()
