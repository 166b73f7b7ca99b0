import math
from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from echopair.augment.spectrogram.time_warp import TimeWarpConfig, TimeWarpParameters
from tests.augment.invalid import assert_invalid


def warp(log_mel: Tensor, point: float, displacement: float) -> Tensor:
    batch = log_mel.shape[0]
    parameters = TimeWarpParameters(torch.full((batch,), point), torch.full((batch,), displacement))
    return TimeWarpConfig().build(1.0).apply(log_mel, parameters)


def read_between_frames(example: Tensor, frame: float) -> Tensor:
    earlier = min(math.floor(frame), example.shape[1] - 1)
    later = min(earlier + 1, example.shape[1] - 1)
    return example[:, earlier] + (frame - earlier) * (example[:, later] - example[:, earlier])


def test_warps_are_those_of_a_loop_over_frames(log_mel: Tensor) -> None:
    warped, parameters = TimeWarpConfig().build(3.0)(log_mel, Generator().manual_seed(0))
    assert parameters is not None
    for row in range(log_mel.shape[0]):
        point = parameters.point_frames[row].item()
        moved = point + parameters.displacement_frames[row].item()
        for frame in range(96):
            # 0 .. moved in the view is 0 .. point in the example, moved .. 95 is point .. 95.
            before = frame * point / moved
            behind = point + (frame - moved) * (95 - point) / (95 - moved)
            source = before if frame < moved else behind
            expected = read_between_frames(log_mel[row], source)
            torch.testing.assert_close(warped[row, :, frame], expected, atol=1e-3, rtol=0)


def test_the_point_moves_and_the_ends_stay(log_mel: Tensor) -> None:
    warped = warp(log_mel, point=30, displacement=12)
    assert torch.equal(warped[:, :, 0], log_mel[:, :, 0])
    torch.testing.assert_close(warped[:, :, 42], log_mel[:, :, 30], atol=1e-3, rtol=0)
    assert torch.equal(warped[:, :, 95], log_mel[:, :, 95])


def test_a_ramp_becomes_two_straight_pieces() -> None:
    ramp = torch.arange(9.0)[None, None, :]
    assert warp(ramp, point=4, displacement=-2)[0, 0].tolist() == pytest.approx(
        [0, 2, 4, 4 + 2 / 3, 5 + 1 / 3, 6, 6 + 2 / 3, 7 + 1 / 3, 8]
    )


def test_a_piece_pressed_to_nothing_leaves_all_of_the_view_to_the_other(log_mel: Tensor) -> None:
    for point, displacement, first in [(38.0, -38.0, 38.0), (57.0, 38.0, 0.0)]:
        warped = warp(log_mel, point, displacement)
        for frame in range(95):
            expected = read_between_frames(log_mel[0], first + frame * 57 / 95)
            torch.testing.assert_close(
                warped[0, :, frame],
                expected,
                atol=1e-3,
                rtol=0,
                msg=str((point, displacement, first)),
            )
        assert torch.equal(warped[:, :, 95], log_mel[:, :, 95]), (point, displacement, first)


def test_no_displacement_is_the_identity_bit_for_bit(log_mel: Tensor) -> None:
    for point in [0.0, 0.3, 47.7, 94.99, 95.0]:
        assert torch.equal(warp(log_mel, point, displacement=0.0), log_mel), point


def test_points_and_displacements_fill_the_papers_ranges(make_log_mel: Callable[..., Tensor]) -> None:
    log_mel = make_log_mel(batch=2000, bands=1, frames=101)
    drawn = TimeWarpConfig(max_share=0.1).build(2.0).draw(log_mel, Generator().manual_seed(0))
    assert 20 <= drawn.point_frames.min() < 20.5
    assert 79.5 < drawn.point_frames.max() <= 80
    assert -20 <= drawn.displacement_frames.min() < -19.5
    assert 19.5 < drawn.displacement_frames.max() <= 20


def test_the_range_ends_at_four_tenths_of_the_view() -> None:
    assert TimeWarpConfig(max_share=0.3).build(2.0).max_share == 0.4


def test_no_range_changes_nothing(log_mel: Tensor) -> None:
    assert torch.equal(TimeWarpConfig(max_share=0.0).build(1.0)(log_mel, Generator())[0], log_mel)


def test_invalid_shares_are_refused_by_name() -> None:
    assert_invalid(
        TimeWarpConfig,
        ("max_share", -0.1),
        ("max_share", 0.5),
        ("max_share", math.nan),
    )
