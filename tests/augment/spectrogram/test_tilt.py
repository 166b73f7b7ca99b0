import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from echopair.augment.spectrogram.tilt import Tilt, TiltConfig, TiltParameters
from tests.augment.invalid import assert_invalid


def decibels(log_power: Tensor) -> Tensor:
    return 10 * log_power / math.log(10)


def test_the_line_rises_by_the_tilt_and_is_0_in_the_middle(make_log_mel: Callable[..., Tensor]) -> None:
    log_mel = make_log_mel(batch=1, bands=5, frames=4)
    tilted = Tilt(6.0, 1.0).apply(log_mel, TiltParameters(torch.tensor([8.0])))
    expected = torch.tensor([-4.0, -2.0, 0.0, 2.0, 4.0])[None, :, None].expand(1, 5, 4)
    torch.testing.assert_close(decibels(tilted - log_mel), expected, atol=1e-4, rtol=0)


def test_tilts_fill_the_range_scaled_by_the_strength(make_log_mel: Callable[..., Tensor]) -> None:
    log_mel = make_log_mel(batch=2000, bands=1, frames=1)
    tilt_db = TiltConfig(max_tilt_db=5.0).build(2.0).draw(log_mel, Generator().manual_seed(0)).tilt_db
    assert -10 <= tilt_db.min() < -9.8
    assert 9.8 < tilt_db.max() <= 10


def test_no_range_changes_nothing(log_mel: Tensor) -> None:
    assert torch.equal(TiltConfig(max_tilt_db=0.0).build(1.0)(log_mel, Generator())[0], log_mel)


def test_invalid_ranges_are_refused_by_name() -> None:
    assert_invalid(
        TiltConfig,
        ("max_tilt_db", -1.0),
        ("max_tilt_db", 61.0),
        ("max_tilt_db", math.nan),
    )
