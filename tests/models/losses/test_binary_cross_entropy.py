import math

import pytest
import torch

from echopair.models.losses.binary_cross_entropy import binary_cross_entropy, constant_answers


def test_is_the_mean_log_probability_of_the_right_answers() -> None:
    logits = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    answers = logits.sin() > 0
    terms = [
        -math.log(1 / (1 + math.exp(-logit if answer else logit)))
        for logit, answer in zip(logits.flatten().tolist(), answers.flatten().tolist(), strict=True)
    ]
    assert binary_cross_entropy(logits, answers).item() == pytest.approx(sum(terms) / len(terms), rel=1e-9)
    assert binary_cross_entropy(torch.zeros(2, 4, 3), answers).item() == pytest.approx(math.log(2))
    assert binary_cross_entropy(1e4 * logits.bfloat16(), ~answers).isfinite()
    assert torch.autograd.gradcheck(lambda x: binary_cross_entropy(x, answers), logits.requires_grad_())


def test_constant_answers_are_the_more_frequent_ones() -> None:
    answers = torch.tensor([[True, True], [True, False], [True, True], [False, True]])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert constant_answers(answers) == pytest.approx((entropy, 0.75))
    assert constant_answers(torch.ones(2, 4, 3, dtype=torch.bool)) == (0, 1)
