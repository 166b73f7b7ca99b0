import math
from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from echopair.augment.spectrogram.blur import BlurConfig, BlurParameters
from tests.augment.invalid import assert_invalid


def gaussian(deviation: float, max_deviation: float) -> list[tuple[int, float]]:
    side = math.ceil(3 * max_deviation)
    heights = {
        offset: math.exp(-(offset**2) / (2 * deviation**2)) if deviation else float(offset == 0)
        for offset in range(-side, side + 1)
    }
    return [(offset, height / sum(heights.values())) for offset, height in heights.items()]


def test_blurs_are_those_of_a_loop_over_bins(make_log_mel: Callable[..., Tensor]) -> None:
    log_mel = make_log_mel(batch=4, bands=7, frames=9)
    blur = BlurConfig(max_deviation_bands=1.5, max_deviation_frames=0.8).build(1.0)
    blurred, parameters = blur(log_mel, Generator().manual_seed(0))
    assert parameters is not None
    for row, example in enumerate(log_mel.tolist()):
        over_bands = gaussian(parameters.deviation_bands[row].item(), 1.5)
        over_frames = gaussian(parameters.deviation_frames[row].item(), 0.8)
        for band in range(7):
            for frame in range(9):
                expected = sum(
                    weight * other * example[min(max(band + up, 0), 6)][min(max(frame + later, 0), 8)]
                    for up, weight in over_bands
                    for later, other in over_frames
                )
                assert blurred[row, band, frame].item() == pytest.approx(expected, abs=1e-4)


def test_a_single_bin_becomes_a_gaussian_of_the_drawn_deviations() -> None:
    log_mel = torch.zeros(2, 41, 41)
    log_mel[:, 20, 20] = 1.0
    blur = BlurConfig(max_deviation_bands=4.0, max_deviation_frames=4.0).build(1.0)
    blurred = blur.apply(log_mel, BlurParameters(torch.tensor([2.0, 0.0]), torch.tensor([1.0, 3.0])))
    squares = (torch.arange(41) - 20.0) ** 2
    assert blurred.sum(dim=(1, 2)).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert (blurred.sum(dim=2) @ squares).sqrt().tolist() == pytest.approx([2, 0], rel=0.01, abs=1e-6)
    assert (blurred.sum(dim=1) @ squares).sqrt().tolist() == pytest.approx([1, 3], rel=0.01)


def test_what_is_constant_stays_so_up_to_the_edges() -> None:
    for level in [-21.0, 5.0]:
        log_mel = torch.full((3, 20, 30), level)
        blurred, _ = BlurConfig().build(4.0)(log_mel, Generator().manual_seed(0))
        torch.testing.assert_close(blurred, log_mel, atol=1e-5, rtol=0, msg=str(level))


def test_an_example_of_no_deviation_stays_bit_for_bit_beside_one_that_blurs(log_mel: Tensor) -> None:
    deviations = torch.zeros(16)
    deviations[1] = 1.0
    blurred = BlurConfig().build(1.0).apply(log_mel, BlurParameters(deviations, deviations))
    assert torch.equal(blurred[0], log_mel[0])
    assert torch.equal(blurred[2:], log_mel[2:])
    assert not torch.equal(blurred[1], log_mel[1])


def test_deviations_fill_the_ranges_scaled_by_the_strength(make_log_mel: Callable[..., Tensor]) -> None:
    log_mel = make_log_mel(batch=2000, bands=1, frames=1)
    blur = BlurConfig(max_deviation_bands=0.5, max_deviation_frames=1.0).build(2.0)
    drawn = blur.draw(log_mel, Generator().manual_seed(0))
    assert 0 <= drawn.deviation_bands.min() < 0.01
    assert 0.99 < drawn.deviation_bands.max() <= 1
    assert 0 <= drawn.deviation_frames.min() < 0.02
    assert 1.98 < drawn.deviation_frames.max() <= 2


def test_the_ranges_end_at_4_bins() -> None:
    blur = BlurConfig(max_deviation_bands=3.0, max_deviation_frames=2.5).build(2.0)
    assert (blur.max_deviation_bands, blur.max_deviation_frames) == (4, 4)


def test_no_ranges_change_nothing(log_mel: Tensor) -> None:
    blur = BlurConfig(max_deviation_bands=0.0, max_deviation_frames=0.0).build(1.0)
    assert torch.equal(blur(log_mel, Generator())[0], log_mel)


def test_invalid_deviations_are_refused_by_name() -> None:
    assert_invalid(
        BlurConfig,
        ("max_deviation_bands", -0.1),
        ("max_deviation_bands", 4.1),
        ("max_deviation_bands", math.nan),
        ("max_deviation_frames", -0.1),
        ("max_deviation_frames", 4.1),
        ("max_deviation_frames", math.nan),
    )
