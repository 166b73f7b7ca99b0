import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Generator, Tensor

from echopair.augment.spectrogram.random_resized_crop import (
    CropParameters,
    RandomResizedCrop,
    RandomResizedCropConfig,
)
from tests.augment.invalid import assert_invalid


def crop_at(log_mel: Tensor, *, first_band: float, bands: float, first_frame: float, frames: float) -> Tensor:
    numbers = (first_band, bands, first_frame, frames)
    parameters = CropParameters(*(torch.full((log_mel.shape[0],), float(number)) for number in numbers))
    return RandomResizedCrop(RandomResizedCropConfig(), 1.0).apply(log_mel, parameters)


def read_between_bins(example: Tensor, band: float, frame: float) -> float:
    """Linear along both axes; whatever lies outside the example is its mean."""
    value = 0.0
    for near_band in (math.floor(band), math.floor(band) + 1):
        for near_frame in (math.floor(frame), math.floor(frame) + 1):
            weight = (1 - abs(band - near_band)) * (1 - abs(frame - near_frame))
            inside = 0 <= near_band < example.shape[0] and 0 <= near_frame < example.shape[1]
            value += weight * (example[near_band, near_frame] if inside else example.mean()).item()
    return value


def test_crops_are_those_of_a_loop_over_bins(make_log_mel: Callable[..., Tensor]) -> None:
    log_mel = make_log_mel(batch=6, bands=7, frames=9)
    config = RandomResizedCropConfig(canvas_frequency_scale=1.3)
    crop = RandomResizedCrop(config, 1.5)
    parameters = crop.draw(log_mel, Generator().manual_seed(0))
    cropped = crop.apply(log_mel, parameters)
    assert (parameters.first_frame < 0).any()
    for example in range(6):
        for band in range(7):
            for frame in range(9):
                expected = read_between_bins(
                    log_mel[example],
                    (parameters.first_band + (parameters.bands - 1) * band / 6)[example].item(),
                    (parameters.first_frame + (parameters.frames - 1) * frame / 8)[example].item(),
                )
                assert cropped[example, band, frame].item() == pytest.approx(expected, abs=1e-3)


def test_a_crop_within_the_view_is_torchs_resize_of_it(log_mel: Tensor) -> None:
    cropped = crop_at(log_mel, first_band=5, bands=40, first_frame=20, frames=61)
    inside = log_mel[:, None, 5:45, 20:81]
    expected = F.interpolate(inside, size=(64, 96), mode="bilinear", align_corners=True)[:, 0]
    torch.testing.assert_close(cropped, expected, atol=1e-3, rtol=1e-3)


def test_rectangles_by_area_are_within_the_view_and_as_torchvision_draws_them() -> None:
    log_mel = torch.zeros(4000, 96, 101)
    crop = RandomResizedCrop(RandomResizedCropConfig(min_area=0.8), 1.0)
    drawn = crop.draw(log_mel, Generator().manual_seed(0))
    area, ratio = drawn.bands * drawn.frames / (96 * 101), drawn.frames / drawn.bands
    assert drawn.first_band.min() >= 0
    assert drawn.first_frame.min() >= 0
    assert (drawn.first_band + drawn.bands).max() <= 96 + 1e-3
    assert (drawn.first_frame + drawn.frames).max() <= 101 + 1e-3
    assert area.min() >= 0.8 - 1e-5
    assert ratio.min() >= 3 / 4
    assert ratio.max() <= 4 / 3
    generator = np.random.default_rng(0)  # the rule itself, one rectangle at a time
    areas = []
    while len(areas) < 4000:
        one, log_ratio = generator.uniform(0.8, 1), generator.uniform(-math.log(4 / 3), math.log(4 / 3))
        wide = math.sqrt(one * 96 * 101 * math.exp(log_ratio))
        if wide <= 101 and one * 96 * 101 / wide <= 96:
            areas.append(one)
    assert area.mean().item() == pytest.approx(np.mean(areas), abs=0.005)


def test_the_whole_view_is_the_identity(log_mel: Tensor) -> None:
    whole = crop_at(log_mel, first_band=0, bands=64, first_frame=0, frames=96)
    torch.testing.assert_close(whole, log_mel, atol=1e-3, rtol=0)


def test_the_mean_fills_the_outside_of_the_view(log_mel: Tensor) -> None:
    shifted = crop_at(log_mel, first_band=0, bands=64, first_frame=24, frames=96)
    torch.testing.assert_close(shifted[:, :, :72], log_mel[:, :, 24:], atol=1e-3, rtol=0)
    mean = log_mel.mean(dim=(1, 2), keepdim=True).expand(-1, 64, 24)
    torch.testing.assert_close(shifted[:, :, 72:], mean, atol=1e-3, rtol=0)


def test_crops_stay_on_the_papers_canvas_and_fill_its_ranges(make_log_mel: Callable[..., Tensor]) -> None:
    log_mel = make_log_mel(batch=4000, bands=20, frames=40)
    drawn = RandomResizedCrop(RandomResizedCropConfig(), 1.0).draw(log_mel, Generator().manual_seed(0))
    assert 12 <= drawn.bands.min() < 12.1
    assert drawn.bands.max() == 20
    assert drawn.first_band.min() >= 0
    assert (drawn.first_band + drawn.bands).max() <= 20.001
    assert 24 <= drawn.frames.min() < 24.1
    assert 59.5 < drawn.frames.max() <= 60
    assert -10.001 <= drawn.first_frame.min() < -9
    assert 49 < (drawn.first_frame + drawn.frames).max() <= 50.001


def test_a_degenerate_range_gives_crops_of_one_size(log_mel: Tensor) -> None:
    config = RandomResizedCropConfig(
        min_frequency_scale=0.5, max_frequency_scale=0.5, min_time_scale=0.25, max_time_scale=0.25
    )
    drawn = RandomResizedCrop(config, 1.0).draw(log_mel, Generator().manual_seed(0))
    assert torch.equal(drawn.bands, torch.full((16,), 32.0))
    assert torch.equal(drawn.frames, torch.full((16,), 24.0))


@pytest.mark.parametrize("axis", ["frequency", "time"])
def test_a_range_upside_down_is_refused_by_name(axis: str) -> None:
    keys = {f"min_{axis}_scale": 1.2, f"max_{axis}_scale": 0.8}
    with pytest.raises(ValidationError, match=rf"min_{axis}_scale = 1.2 is above max_{axis}_scale = 0.8"):
        RandomResizedCropConfig.model_validate(keys)


def test_invalid_scales_are_refused_by_name() -> None:
    assert_invalid(
        RandomResizedCropConfig,
        ("min_time_scale", 0.0),
        ("max_time_scale", 5.0),
        ("canvas_time_scale", 0.9),
        ("max_time_scale", math.nan),
    )


def test_the_ranges_end_at_4_views() -> None:
    for axis in ["frequency", "time"]:
        keys = {f"min_{axis}_scale": 2.0, f"max_{axis}_scale": 3.0, f"canvas_{axis}_scale": 2.0}
        scales = getattr(RandomResizedCropConfig.model_validate(keys).build(1.5), axis)
        assert (scales.min_scale, scales.canvas_scale) == pytest.approx((2**1.5, 2**1.5)), axis
        assert scales.max_scale == 4, axis
