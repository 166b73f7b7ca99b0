"""Frequency mask: bands of frequency hidden, so that no embedding depends on a single one."""

from typing import Literal

from echopair.augment.spectrogram.masking import Mask, MaskConfig


class FrequencyMaskConfig(MaskConfig, frozen=True, extra="forbid"):
    """Masks over bands; the defaults are near SpecAugment's policy SM: two masks, 15 of 80."""

    name: Literal["frequency_mask"] = "frequency_mask"

    def build(self, strength: float) -> "FrequencyMask":
        """The augmentation at a strength."""
        return FrequencyMask(self, strength)


class FrequencyMask(Mask):
    """Replaces bands of frequency by the mean of the example; see `Mask`."""

    axis = 1
