"""Base class of time mask and frequency mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from echopair.augment.spectrogram.augmentation import (
    SpectrogramAugmentation,
    SpectrogramConfig,
    example_mean,
    uniform,
)
from echopair.augment.strength import scale_limit
from echopair.lazy import torch

# A mask never covers a whole axis, so that every view keeps a part of its clip.
HIGHEST_MASK_SHARE = 0.9


class MaskConfig(SpectrogramConfig, frozen=True, extra="forbid"):
    """Number and size of the masks of an example along one axis."""

    mask_count: int = Field(2, ge=0, le=20, description="masks per example")
    max_share: float = Field(
        0.2, ge=0, le=HIGHEST_MASK_SHARE, description="largest share of the axis covered by one mask"
    )


@dataclass(frozen=True)
class MaskParameters:
    """`starts` and `widths` (B, M) int64: M masks per example, in bands or frames; they may overlap."""

    starts: torch.Tensor
    widths: torch.Tensor


class Mask(SpectrogramAugmentation[MaskParameters]):
    """Repositions sections of one axis by the mean of the example.

    Source: Park et al. 2019 (SpecAugment), section 2.

    Args:
        config: number and size of the masks at strength 1.
        strength: scales the size, up to a share of 0.9.
    """

    axis: ClassVar[int]

    def __init__(self, config: MaskConfig, strength: float) -> None:
        super().__init__(strength)
        self.mask_count = config.mask_count
        self.max_share = scale_limit(config.max_share, strength, highest=HIGHEST_MASK_SHARE)

    def draw(self, log_mel: torch.Tensor, generator: torch.Generator) -> MaskParameters:
        """Masks for each example, in bins of the axis."""
        return draw_masks(self.mask_count, self.max_share, log_mel, self.axis, generator)

    def apply(self, log_mel: torch.Tensor, parameters: MaskParameters) -> torch.Tensor:
        """`log_mel` (B, F, T) with the masked bins at the mean of their example."""
        other_axis = 3 - self.axis
        masked = masked_bins(parameters, log_mel.shape[self.axis]).unsqueeze(other_axis)
        return torch.where(masked, example_mean(log_mel), log_mel)


def draw_masks(
    mask_count: int, max_share: float, log_mel: torch.Tensor, axis: int, generator: torch.Generator
) -> MaskParameters:
    """Draw masks of random width and start within an axis.

    Source: Park et al. 2019 (SpecAugment), section 2: width ~ U{0..W}, start ~ U{0..length - width}.

    Args:
        mask_count: masks per example, M.
        max_share: largest width W as a share of the axis, 0 to 0.9, rounded down to whole bins.
        log_mel: (B, F, T); only its shape and device matter.
        axis: 1 for masks over bands, 2 for masks over frames.
        generator: source of the masks.
    """
    length = log_mel.shape[axis]
    max_width = int(max_share * length)
    shape = (log_mel.shape[0], mask_count)
    # A product in float32 may round up to its bound: the minimum keeps both in range.
    widths = uniform(0, max_width + 1, shape, generator, log_mel.device).long().clamp_(max=max_width)
    positions = length - widths
    starts = (uniform(0, 1, shape, generator, log_mel.device) * (positions + 1)).long().minimum(positions)
    return MaskParameters(starts, widths)


def masked_bins(parameters: MaskParameters, length: int) -> torch.Tensor:
    """Which bins of an axis are masked, (B, length) bool."""
    bins = torch.arange(length, device=parameters.starts.device)
    starts, widths = parameters.starts[:, :, None], parameters.widths[:, :, None]
    return ((bins >= starts) & (bins < starts + widths)).any(dim=1)  # (B, M, length) -> (B, length)
