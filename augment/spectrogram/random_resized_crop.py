"""Random resized crop: a view slightly shifted and stretched, in time and in pitch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, model_validator

from echopair.augment.spectrogram.augmentation import (
    SpectrogramAugmentation,
    SpectrogramConfig,
    example_mean,
    uniform,
)
from echopair.augment.strength import scale_ratio
from echopair.lazy import torch

HIGHEST_SCALE = 4.0
DRAWS_OF_AREAS = 10


class RandomResizedCropConfig(SpectrogramConfig, frozen=True, extra="forbid"):
    """Ranges of the crop and of the canvas it is cut from, in views; the paper's defaults."""

    name: Literal["random_resized_crop"] = "random_resized_crop"
    min_frequency_scale: float = Field(
        0.6, gt=0, le=HIGHEST_SCALE, description="smallest height of the crop, in views"
    )
    max_frequency_scale: float = Field(
        1.5, gt=0, le=HIGHEST_SCALE, description="largest height, limited to the canvas's"
    )
    min_time_scale: float = Field(
        0.6, gt=0, le=HIGHEST_SCALE, description="smallest length of the crop, in views"
    )
    max_time_scale: float = Field(
        1.5, gt=0, le=HIGHEST_SCALE, description="largest length, limited to the canvas's"
    )
    canvas_frequency_scale: float = Field(
        1.0, ge=1, le=HIGHEST_SCALE, description="height of the canvas, in views"
    )
    canvas_time_scale: float = Field(
        1.5, ge=1, le=HIGHEST_SCALE, description="length of the canvas, in views"
    )

    min_area: float | None = Field(
        None,
        gt=0,
        le=1,
        description="in place of the scales, for crops within the view: smallest area, in views; the largest is 1",
    )
    max_aspect_ratio: float = Field(
        4 / 3,
        ge=1,
        le=HIGHEST_SCALE,
        description="with min_area: largest ratio of frames to bands; the smallest is its inverse",
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        for axis in ("frequency", "time"):
            low, high = getattr(self, f"min_{axis}_scale"), getattr(self, f"max_{axis}_scale")
            if low > high:
                raise ValueError(f"min_{axis}_scale = {low} is above max_{axis}_scale = {high}: swap them")
        return self

    def build(self, strength: float) -> RandomResizedCrop:
        """The augmentation at a strength."""
        return RandomResizedCrop(self, strength)


@dataclass(frozen=True)
class CropParameters:
    """The rectangle of each example, (B,) float32, in bands and frames of the view; padding outside the view."""

    first_band: torch.Tensor
    bands: torch.Tensor
    first_frame: torch.Tensor
    frames: torch.Tensor


@dataclass(frozen=True)
class _AxisRange:
    """Sizes of the crop and of the canvas along one axis, as multiples of it."""

    min_scale: float
    max_scale: float
    canvas_scale: float


class RandomResizedCrop(SpectrogramAugmentation[CropParameters]):
    """Crops a random rectangle from a canvas around each example and stretches it to the full size.

    Source: Niizumi et al. 2021 (BYOL-A), "Random Resize Crop" and its virtual crop boundary. Differences:
    interpolation is linear along both axes (a third of the time of cubic, no overshoot); sizes and
    positions are not rounded to whole bins; the canvas is filled with the example's mean, before normalisation. With
    `min_area` rectangles are drawn by area and aspect ratio, as the code of Fonseca et al. 2021 (Unsupervised
    Contrastive Learning of Sound Event Representations) and torchvision draw them.

    Args:
        config: ranges at strength 1.
        strength: scales the logarithm of every range and of the canvas, up to 4 views.
    """

    def __init__(self, config: RandomResizedCropConfig, strength: float) -> None:
        super().__init__(strength)
        self.min_area = None if config.min_area is None else _scaled(config.min_area, strength)
        self.max_aspect_ratio = _scaled(config.max_aspect_ratio, strength)
        self.frequency = _AxisRange(
            _scaled(config.min_frequency_scale, strength),
            _scaled(config.max_frequency_scale, strength),
            _scaled(config.canvas_frequency_scale, strength),
        )
        self.time = _AxisRange(
            _scaled(config.min_time_scale, strength),
            _scaled(config.max_time_scale, strength),
            _scaled(config.canvas_time_scale, strength),
        )

    def draw(self, log_mel: torch.Tensor, generator: torch.Generator) -> CropParameters:
        """A rectangle for each example, uniform in size and then in position."""
        if self.min_area is not None:
            return _draw_areas(self.min_area, self.max_aspect_ratio, log_mel, generator)
        first_band, bands = _draw_span(self.frequency, log_mel, axis=1, generator=generator)
        first_frame, frames = _draw_span(self.time, log_mel, axis=2, generator=generator)
        return CropParameters(first_band, bands, first_frame, frames)

    def apply(self, log_mel: torch.Tensor, parameters: CropParameters) -> torch.Tensor:
        """`log_mel` (B, F, T) resampled on the rectangles, whose corner bins become the corners."""
        batch, bands, frames = log_mel.shape
        rows = _grid_positions(parameters.first_band, parameters.bands, bands)  # (B, F)
        columns = _grid_positions(parameters.first_frame, parameters.frames, frames)  # (B, T)
        shape = (batch, bands, frames)
        grid = torch.stack((columns[:, None, :].expand(shape), rows[:, :, None].expand(shape)), dim=-1)
        # grid_sample pads with 0, so it gets the difference from the mean.
        mean = example_mean(log_mel)
        centred = (log_mel - mean)[:, None]  # (B, 1, F, T)
        resampled = torch.nn.functional.grid_sample(
            centred, grid, mode="bilinear", padding_mode="zeros", align_corners=True
        )
        return resampled[:, 0].add_(mean)


def _scaled(scale: float, strength: float) -> float:
    return min(scale_ratio(scale, strength), HIGHEST_SCALE)


def _draw_span(
    scales: _AxisRange, log_mel: torch.Tensor, axis: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """First bin and number of bins, both (B,), of a span within a canvas with the view at its centre."""
    batch, length, device = (log_mel.shape[0],), log_mel.shape[axis], log_mel.device
    canvas = scales.canvas_scale * length
    sizes = uniform(scales.min_scale * length, scales.max_scale * length, batch, generator, device)
    sizes = sizes.clamp(1, canvas)
    margins = (canvas - length) / 2
    firsts = uniform(0, 1, batch, generator, device) * (canvas - sizes) - margins
    return firsts, sizes


def _draw_areas(
    min_area: float, max_aspect_ratio: float, log_mel: torch.Tensor, generator: torch.Generator
) -> CropParameters:
    """Rectangles within the view, uniform in area and in the logarithm of the ratio of their sides in bins.

    One that would not fit is drawn again, up to ten times as in torchvision; after that it is the whole view.
    """
    batch, bands, frames = log_mel.shape
    height = torch.full((batch,), float(bands), device=log_mel.device)
    width = torch.full((batch,), float(frames), device=log_mel.device)
    fitted = torch.zeros(batch, dtype=torch.bool, device=log_mel.device)
    limit = math.log(max_aspect_ratio)
    for _ in range(DRAWS_OF_AREAS):
        area = uniform(min_area, 1, (batch,), generator, log_mel.device) * bands * frames
        ratio = uniform(-limit, limit, (batch,), generator, log_mel.device).exp()
        wide, high = (area * ratio).sqrt(), (area / ratio).sqrt()
        fits = ~fitted & (wide <= frames) & (high <= bands)
        width, height = torch.where(fits, wide, width), torch.where(fits, high, height)
        fitted |= fits
    first_band = uniform(0, 1, (batch,), generator, log_mel.device) * (bands - height)
    first_frame = uniform(0, 1, (batch,), generator, log_mel.device) * (frames - width)
    return CropParameters(first_band, height, first_frame, width)


def _grid_positions(first: torch.Tensor, size: torch.Tensor, length: int) -> torch.Tensor:
    """`length` even steps from bin `first` to `first + size - 1`, (B, length); -1 .. 1 is the whole axis."""
    steps = torch.linspace(0, 1, length, device=first.device)
    bins = first[:, None] + (size - 1)[:, None] * steps  # (B, length)
    return bins * (2 / max(length - 1, 1)) - 1
