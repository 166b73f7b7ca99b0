import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from echopair.augment.spectrogram.random_linear_fader import (
    FaderParameters,
    RandomLinearFader,
    RandomLinearFaderConfig,
)
from tests.augment.invalid import assert_invalid


def test_the_level_goes_straight_from_head_to_tail(make_log_mel: Callable[..., Tensor]) -> None:
    log_mel = make_log_mel(batch=2, bands=3, frames=5)
    parameters = FaderParameters(torch.tensor([-4.0, 3.0]), torch.tensor([4.0, 1.0]))
    faded = RandomLinearFader(10.0, 1.0).apply(log_mel, parameters)
    expected = torch.tensor([[-4.0, -2.0, 0.0, 2.0, 4.0], [3.0, 2.5, 2.0, 1.5, 1.0]])
    added_db = 10 * (faded - log_mel) / math.log(10)
    torch.testing.assert_close(added_db, expected[:, None, :].expand(2, 3, 5), atol=1e-4, rtol=0)


def test_a_single_frame_is_at_the_head(make_log_mel: Callable[..., Tensor]) -> None:
    log_mel = make_log_mel(batch=1, bands=3, frames=1)
    parameters = FaderParameters(torch.tensor([10.0]), torch.tensor([-7.0]))
    faded = RandomLinearFader(10.0, 1.0).apply(log_mel, parameters)
    torch.testing.assert_close(faded, log_mel + math.log(10))


def test_both_ends_fill_the_range_scaled_by_the_strength_by_themselves(
    make_log_mel: Callable[..., Tensor],
) -> None:
    log_mel = make_log_mel(batch=2000, bands=1, frames=1)
    fader = RandomLinearFaderConfig(max_gain_db=5.0).build(2.0)
    drawn = fader.draw(log_mel, Generator().manual_seed(0))
    for gains_db in (drawn.head_db, drawn.tail_db):
        assert -10 <= gains_db.min() < -9.8
        assert 9.8 < gains_db.max() <= 10
    assert abs(torch.corrcoef(torch.stack((drawn.head_db, drawn.tail_db)))[0, 1]) < 0.1


def test_no_range_changes_nothing(log_mel: Tensor) -> None:
    fader = RandomLinearFaderConfig(max_gain_db=0.0).build(1.0)
    assert torch.equal(fader(log_mel, Generator())[0], log_mel)


def test_invalid_ranges_are_refused_by_name() -> None:
    assert_invalid(
        RandomLinearFaderConfig,
        ("max_gain_db", -1.0),
        ("max_gain_db", 61.0),
        ("max_gain_db", math.nan),
    )
