import math
from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError
from torch import Generator, Tensor

from augment.spectrogram.gain import Gain, GainConfig, GainParameters


def test_ten_decibels_make_ten_times_the_power(log_mel: Tensor) -> None:
    gain_db = torch.zeros(log_mel.shape[0])
    gain_db[0] = 10.0
    louder = Gain(GainConfig(), 1.0).apply(log_mel, GainParameters(gain_db))
    torch.testing.assert_close(louder[0].exp(), 10 * log_mel[0].exp())
    assert torch.equal(louder[1:], log_mel[1:])


def test_gains_fill_the_range_scaled_by_the_strength(make_log_mel: Callable[..., Tensor]) -> None:
    log_mel = make_log_mel(batch=2000, bands=1, frames=1)
    gain_db = Gain(GainConfig(max_gain_db=8.0), 0.5).draw(log_mel, Generator().manual_seed(0)).gain_db
    assert -4 <= gain_db.min() < -3.9
    assert 3.9 < gain_db.max() <= 4


def test_the_range_ends_at_60_db() -> None:
    assert Gain(GainConfig(max_gain_db=40.0), 2.0).max_gain_db == 60


def test_no_range_changes_nothing(log_mel: Tensor) -> None:
    assert torch.equal(Gain(GainConfig(max_gain_db=0.0), 1.0)(log_mel, Generator()), log_mel)


@pytest.mark.parametrize("max_gain_db", [-1.0, 61.0, math.nan])
def test_an_invalid_range_is_refused_by_name(max_gain_db: float) -> None:
    with pytest.raises(ValidationError, match="max_gain_db"):
        GainConfig(max_gain_db=max_gain_db)
