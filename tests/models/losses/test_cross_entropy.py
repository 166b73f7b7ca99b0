import math

import pytest
import torch

from echopair.models.losses.cross_entropy import cross_entropy

LABELS = torch.tensor([[1, 0, 0], [0, 1, 1], [0, 0, 0], [0, 0, 1]], dtype=torch.bool)


def noise() -> torch.Tensor:
    return torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_is_the_equation_with_a_share_for_each_label() -> None:
    total, terms = 0.0, 0
    for view in noise().tolist():
        for row, wanted in zip(view, LABELS.tolist(), strict=True):
            if any(wanted):
                partition = sum(math.exp(one) for one in row)
                probabilities = [math.exp(one) / partition for one in row]
                total -= sum(
                    math.log(p) for p, is_wanted in zip(probabilities, wanted, strict=True) if is_wanted
                ) / sum(wanted)
                terms += 1
    assert cross_entropy(noise(), LABELS).item() == pytest.approx(total / terms, rel=1e-9)


def test_one_label_is_torchs_cross_entropy_and_equal_logits_are_chance() -> None:
    labels = torch.eye(3, dtype=torch.bool)[[0, 2, 1, 1]]
    expected = torch.nn.functional.cross_entropy(noise().flatten(0, 1), torch.tensor([0, 2, 1, 1] * 2))
    torch.testing.assert_close(cross_entropy(noise(), labels), expected)
    assert cross_entropy(torch.zeros(2, 4, 3), labels).item() == pytest.approx(math.log(3))


def test_it_is_finite_for_extreme_logits_and_without_labels_and_its_gradient_is_right() -> None:
    assert cross_entropy(noise().float() * 1e4, LABELS).isfinite()
    assert cross_entropy(noise().bfloat16(), LABELS).dtype == torch.float32
    assert cross_entropy(noise(), torch.zeros_like(LABELS)) == 0
    assert torch.autograd.gradcheck(lambda x: cross_entropy(x, LABELS), noise().requires_grad_())
