"""Frequency mask: bands of frequency hidden, so that an embedding cannot hang on any one of them."""

from typing import Literal

import torch
from pydantic import Field
from torch import Generator, Tensor

from augment.spectrogram.augmentation import SpectrogramAugmentation, SpectrogramConfig, example_mean
from augment.spectrogram.masking import HIGHEST_MASK_SHARE, MaskParameters, draw_masks, masked_bins
from augment.strength import scale_limit


class FrequencyMaskConfig(SpectrogramConfig, frozen=True, extra="forbid"):
    """Masks over bands; the defaults are near SpecAugment's policy SM: two masks, 15 of 80."""

    name: Literal["frequency_mask"] = "frequency_mask"
    mask_count: int = Field(2, ge=0, le=20, description="masks an example")
    max_share: float = Field(
        0.2, ge=0, le=HIGHEST_MASK_SHARE, description="largest share of the bands under one mask"
    )

    def build(self, strength: float) -> "FrequencyMask":
        """The augmentation at a strength."""
        return FrequencyMask(self, strength)


class FrequencyMask(SpectrogramAugmentation[MaskParameters]):
    """Replaces bands of frequency by the mean of the example.

    Source: Park et al. 2019 (SpecAugment), section 2.

    Args:
        config: number and size of the masks at strength 1.
        strength: scales the size, up to a share of 0.9.
    """

    def __init__(self, config: FrequencyMaskConfig, strength: float) -> None:
        super().__init__(strength)
        self.mask_count = config.mask_count
        self.max_share = scale_limit(config.max_share, strength, highest=HIGHEST_MASK_SHARE)

    def draw(self, log_mel: Tensor, generator: Generator) -> MaskParameters:
        """Masks for each example, in bands."""
        return draw_masks(self.mask_count, self.max_share, log_mel, axis=1, generator=generator)

    def apply(self, log_mel: Tensor, parameters: MaskParameters) -> Tensor:
        """`log_mel` (B, F, T) with the masked bands at the mean of their example."""
        masked = masked_bins(parameters, log_mel.shape[1])[:, :, None]  # (B, F, 1)
        return torch.where(masked, example_mean(log_mel), log_mel)
