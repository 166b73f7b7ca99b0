import math
from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from echopair.augment.spectrogram.compander import CompanderConfig, CompanderParameters
from tests.augment.invalid import assert_invalid


def test_distances_from_the_mean_are_multiplied() -> None:
    log_mel = torch.tensor([[[-6.0, 0.0], [2.0, 8.0]]]).repeat(3, 1, 1)
    parameters = CompanderParameters(torch.tensor([0.5, 1.0, 2.0]))
    companded = CompanderConfig().build(1.0).apply(log_mel, parameters)
    assert companded.flatten(1).tolist() == [[-2.5, 0.5, 1.5, 4.5], [-6, 0, 2, 8], [-13, -1, 3, 15]]


def test_views_are_those_of_a_loop_over_examples_and_keep_their_mean(log_mel: Tensor) -> None:
    view, parameters = CompanderConfig().build(2.0)(log_mel, Generator().manual_seed(0))
    assert parameters is not None
    for changed, example, exponent in zip(view, log_mel, parameters.exponent.tolist(), strict=True):
        expected = example.mean() + exponent * (example - example.mean())
        torch.testing.assert_close(changed, expected, atol=1e-4, rtol=1e-5)
        assert changed.mean().item() == pytest.approx(example.mean().item(), abs=1e-3)


def test_exponents_fill_the_range_and_compress_as_often_as_they_expand(
    make_log_mel: Callable[..., Tensor],
) -> None:
    log_mel = make_log_mel(batch=4000, bands=1, frames=1)
    exponent = CompanderConfig(max_exponent=1.5).build(2.0).draw(log_mel, Generator().manual_seed(0)).exponent
    assert 1 / 2.25 - 1e-6 <= exponent.min() < 1 / 2.23
    assert 2.23 < exponent.max() <= 2.25 + 1e-6
    assert exponent.log().mean().item() == pytest.approx(0, abs=0.03)


def test_the_range_ends_at_an_exponent_of_4() -> None:
    assert CompanderConfig(max_exponent=2.0).build(1.5).max_exponent == pytest.approx(2**1.5)
    assert CompanderConfig(max_exponent=2.0).build(4.0).max_exponent == 4


def test_an_exponent_of_1_changes_nothing(log_mel: Tensor) -> None:
    assert torch.equal(CompanderConfig(max_exponent=1.0).build(1.0)(log_mel, Generator())[0], log_mel)


def test_invalid_exponents_are_refused_by_name() -> None:
    assert_invalid(
        CompanderConfig,
        ("max_exponent", 0.9),
        ("max_exponent", 4.1),
        ("max_exponent", math.nan),
    )
