import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from echopair.augment.spectrogram.frequency_shift import FrequencyShiftConfig, FrequencyShiftParameters
from tests.augment.invalid import assert_invalid


def test_bands_move_and_new_ones_are_at_the_mean() -> None:
    log_mel = torch.tensor([0.0, 1.0, 2.0, 3.0, 9.0])[None, :, None].repeat(4, 1, 2)
    parameters = FrequencyShiftParameters(torch.tensor([2, -1, 0, 7]))
    shifted = FrequencyShiftConfig().build(1.0).apply(log_mel, parameters)
    assert shifted[:, :, 0].tolist() == [
        [3, 3, 0, 1, 2],
        [1, 2, 3, 9, 3],
        [0, 1, 2, 3, 9],
        [3, 3, 3, 3, 3],
    ]
    assert torch.equal(shifted[:, :, 0], shifted[:, :, 1])


def test_shifts_are_those_of_a_loop_over_bands(log_mel: Tensor) -> None:
    shifted, parameters = FrequencyShiftConfig().build(3.0)(log_mel, Generator().manual_seed(0))
    assert parameters is not None
    shifts = parameters.shift_bands.tolist()
    assert min(shifts) < -8
    assert max(shifts) > 8
    for view, example, shift in zip(shifted, log_mel, shifts, strict=True):
        for band in range(64):
            source = band - shift
            expected = example[source] if 0 <= source < 64 else example.mean().expand(96)
            torch.testing.assert_close(view[band], expected)


def test_shifts_fill_the_range_scaled_by_the_strength(make_log_mel: Callable[..., Tensor]) -> None:
    log_mel = make_log_mel(batch=2000, bands=100, frames=1)
    shift = FrequencyShiftConfig(max_share=0.04).build(2.0)
    shifts = shift.draw(log_mel, Generator().manual_seed(0)).shift_bands
    assert (shifts.min(), shifts.max()) == (-8, 8)


def test_the_range_ends_at_half_of_the_bands() -> None:
    assert FrequencyShiftConfig(max_share=0.3).build(2.0).max_share == 0.5


def test_no_range_changes_nothing(log_mel: Tensor) -> None:
    assert torch.equal(FrequencyShiftConfig(max_share=0.0).build(1.0)(log_mel, Generator())[0], log_mel)


def test_invalid_shares_are_refused_by_name() -> None:
    assert_invalid(
        FrequencyShiftConfig,
        ("max_share", -0.1),
        ("max_share", 0.6),
        ("max_share", math.nan),
    )
