import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from echopair.augment.spectrogram.time_shift import TimeShiftConfig, TimeShiftParameters
from tests.augment.invalid import assert_invalid


def test_frames_move_and_the_open_end_is_the_mirror_image() -> None:
    log_mel = torch.arange(6.0)[None, None, :].repeat(4, 2, 1)
    shifted = TimeShiftConfig().build(1.0).apply(log_mel, TimeShiftParameters(torch.tensor([2, -2, 0, 5])))
    assert shifted[:, 0].tolist() == [
        [2, 1, 0, 1, 2, 3],
        [2, 3, 4, 5, 4, 3],
        [0, 1, 2, 3, 4, 5],
        [5, 4, 3, 2, 1, 0],
    ]
    assert torch.equal(shifted[:, 0], shifted[:, 1])


def test_shifts_are_those_of_a_loop_over_frames(log_mel: Tensor) -> None:
    shifted, parameters = TimeShiftConfig().build(2.0)(log_mel, Generator().manual_seed(0))
    assert parameters is not None
    shifts = parameters.shift_frames.tolist()
    assert min(shifts) < -20
    assert max(shifts) > 20
    for view, example, shift in zip(shifted, log_mel, shifts, strict=True):
        for frame in range(96):
            source = frame - shift
            if source < 0:
                source = -source
            elif source > 95:
                source = 190 - source
            assert torch.equal(view[:, frame], example[:, source])


def test_there_is_no_seam(log_mel: Tensor) -> None:
    shifted, _ = TimeShiftConfig().build(2.0)(log_mel, Generator().manual_seed(0))
    largest_step = log_mel.diff(dim=2).abs().amax(dim=(1, 2))
    assert (shifted.diff(dim=2).abs().amax(dim=(1, 2)) <= largest_step).all()


def test_shifts_fill_the_range_scaled_by_the_strength(make_log_mel: Callable[..., Tensor]) -> None:
    log_mel = make_log_mel(batch=2000, bands=1, frames=100)
    shifts = TimeShiftConfig(max_share=0.1).build(2.0).draw(log_mel, Generator().manual_seed(0)).shift_frames
    assert (shifts.min(), shifts.max()) == (-20, 20)


def test_the_range_ends_at_half_of_the_frames() -> None:
    assert TimeShiftConfig().build(4.0).max_share == 0.5


def test_no_range_changes_nothing(log_mel: Tensor) -> None:
    assert torch.equal(TimeShiftConfig(max_share=0.0).build(1.0)(log_mel, Generator())[0], log_mel)


def test_invalid_shares_are_refused_by_name() -> None:
    assert_invalid(
        TimeShiftConfig,
        ("max_share", -0.1),
        ("max_share", 0.6),
        ("max_share", math.nan),
    )
