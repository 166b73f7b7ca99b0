import math

import torch
from torch import Generator, Tensor

from echopair.augment.spectrogram.gain import GainConfig
from tests.augment.invalid import assert_invalid


def test_each_example_gets_its_number_of_decibels_in_every_bin(log_mel: Tensor) -> None:
    view, parameters = GainConfig().build(1.0)(log_mel, Generator().manual_seed(0))
    assert parameters is not None
    for changed, example, gain_db in zip(view, log_mel, parameters.gain_db.tolist(), strict=True):
        torch.testing.assert_close(changed, example + gain_db * math.log(10) / 10)


def test_the_range_is_the_configs_scaled() -> None:
    assert GainConfig(max_gain_db=8.0).build(0.5).max_db == 4


def test_no_range_changes_nothing(log_mel: Tensor) -> None:
    assert torch.equal(GainConfig(max_gain_db=0.0).build(1.0)(log_mel, Generator())[0], log_mel)


def test_invalid_ranges_are_refused_by_name() -> None:
    assert_invalid(
        GainConfig,
        ("max_gain_db", -1.0),
        ("max_gain_db", 61.0),
        ("max_gain_db", math.nan),
    )
