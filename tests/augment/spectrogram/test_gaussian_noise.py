import math
from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from echopair.augment.spectrogram.gaussian_noise import GaussianNoiseConfig, GaussianNoiseParameters
from tests.augment.invalid import assert_invalid


def test_the_noise_is_added_in_decibels_of_its_deviation() -> None:
    log_mel = torch.zeros(2, 1, 2)
    noise = torch.tensor([[[1.0, -2.0]], [[0.5, 1.0]]])
    parameters = GaussianNoiseParameters(torch.tensor([10.0, 0.0]), noise)
    noisy = GaussianNoiseConfig().build(1.0).apply(log_mel, parameters)
    assert noisy.flatten().tolist() == pytest.approx([math.log(10), -2 * math.log(10), 0, 0])


def test_every_bin_has_noise_of_its_own_of_the_drawn_deviation(log_mel: Tensor) -> None:
    view, parameters = GaussianNoiseConfig().build(2.0)(log_mel, Generator().manual_seed(0))
    assert parameters is not None
    for changed, example, deviation_db in zip(view, log_mel, parameters.deviation_db.tolist(), strict=True):
        added_db = 10 * (changed - example) / math.log(10)
        assert added_db.std().item() == pytest.approx(deviation_db, rel=0.05)
        assert added_db.mean().item() == pytest.approx(0, abs=0.06 * deviation_db)
        neighbours = torch.stack((added_db[:, 1:].flatten(), added_db[:, :-1].flatten()))
        assert abs(torch.corrcoef(neighbours)[0, 1]) < 0.05


def test_deviations_fill_the_range_scaled_by_the_strength(make_log_mel: Callable[..., Tensor]) -> None:
    log_mel = make_log_mel(batch=2000, bands=1, frames=1)
    noise = GaussianNoiseConfig(max_deviation_db=4.0).build(0.5)
    deviation_db = noise.draw(log_mel, Generator().manual_seed(0)).deviation_db
    assert 0 <= deviation_db.min() < 0.02
    assert 1.98 < deviation_db.max() <= 2


def test_the_range_ends_at_20_db() -> None:
    assert GaussianNoiseConfig(max_deviation_db=15.0).build(2.0).max_deviation_db == 20


def test_no_range_changes_nothing(log_mel: Tensor) -> None:
    noise = GaussianNoiseConfig(max_deviation_db=0.0).build(1.0)
    assert torch.equal(noise(log_mel, Generator())[0], log_mel)


def test_invalid_deviations_are_refused_by_name() -> None:
    assert_invalid(
        GaussianNoiseConfig,
        ("max_deviation_db", -1.0),
        ("max_deviation_db", 21.0),
        ("max_deviation_db", math.nan),
    )
