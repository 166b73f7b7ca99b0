"""Time mask: stretches of time hidden, so that an embedding cannot hang on any one of them."""

from typing import Literal

import torch
from pydantic import Field
from torch import Generator, Tensor

from augment.spectrogram.augmentation import SpectrogramAugmentation, SpectrogramConfig, example_mean
from augment.spectrogram.masking import HIGHEST_MASK_SHARE, MaskParameters, draw_masks, masked_bins
from augment.strength import scale_limit


class TimeMaskConfig(SpectrogramConfig, frozen=True, extra="forbid"):
    """Masks over frames; the defaults are of SpecAugment's policy SM: two masks, p = 0.2."""

    name: Literal["time_mask"] = "time_mask"
    mask_count: int = Field(2, ge=0, le=20, description="masks an example")
    max_share: float = Field(
        0.2, ge=0, le=HIGHEST_MASK_SHARE, description="largest share of the frames under one mask"
    )

    def build(self, strength: float) -> "TimeMask":
        """The augmentation at a strength."""
        return TimeMask(self, strength)


class TimeMask(SpectrogramAugmentation[MaskParameters]):
    """Replaces stretches of time by the mean of the example.

    Source: Park et al. 2019 (SpecAugment), section 2.

    Args:
        config: number and size of the masks at strength 1.
        strength: scales the size, up to a share of 0.9.
    """

    def __init__(self, config: TimeMaskConfig, strength: float) -> None:
        super().__init__(strength)
        self.mask_count = config.mask_count
        self.max_share = scale_limit(config.max_share, strength, highest=HIGHEST_MASK_SHARE)

    def draw(self, log_mel: Tensor, generator: Generator) -> MaskParameters:
        """Masks for each example, in frames."""
        return draw_masks(self.mask_count, self.max_share, log_mel, axis=2, generator=generator)

    def apply(self, log_mel: Tensor, parameters: MaskParameters) -> Tensor:
        """`log_mel` (B, F, T) with the masked frames at the mean of their example."""
        masked = masked_bins(parameters, log_mel.shape[2])[:, None, :]  # (B, 1, T)
        return torch.where(masked, example_mean(log_mel), log_mel)
