import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from echopair.augment.spectrogram.gain import Gain, GainParameters


def test_ten_decibels_make_ten_times_the_power(log_mel: Tensor) -> None:
    gain_db = torch.zeros(log_mel.shape[0])
    gain_db[0] = 10.0
    louder = Gain(6.0, 1.0).apply(log_mel, GainParameters(gain_db))
    torch.testing.assert_close(louder[0].exp(), 10 * log_mel[0].exp())
    assert torch.equal(louder[1:], log_mel[1:])


def test_decibels_fill_the_range_scaled_by_the_strength(make_log_mel: Callable[..., Tensor]) -> None:
    log_mel = make_log_mel(batch=2000, bands=1, frames=1)
    decibels = Gain(8.0, 0.5).draw_decibels(log_mel, Generator().manual_seed(0))
    assert -4 <= decibels.min() < -3.9
    assert 3.9 < decibels.max() <= 4


def test_the_range_ends_at_60_db() -> None:
    for max_db, strength, scaled in [(40.0, 1.0, 40.0), (40.0, 2.0, 60.0)]:
        assert math.isclose(Gain(max_db, strength).max_db, scaled), (max_db, strength, scaled)
