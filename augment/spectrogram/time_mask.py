"""Time mask: sections of time hidden, so that no embedding depends on a single one."""

from typing import Literal

from echopair.augment.spectrogram.masking import Mask, MaskConfig


class TimeMaskConfig(MaskConfig, frozen=True, extra="forbid"):
    """Masks over frames; the defaults are of SpecAugment's policy SM: two masks, p = 0.2."""

    name: Literal["time_mask"] = "time_mask"

    def build(self, strength: float) -> "TimeMask":
        """The augmentation at a strength."""
        return TimeMask(self, strength)


class TimeMask(Mask):
    """Replaces sections of time by the mean of the example; see `Mask`."""

    axis = 2
