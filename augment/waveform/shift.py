"""Shift: the crop shifted in time, circularly: what leaves at one end enters at the other."""

from typing import Literal

from pydantic import Field

from echopair.augment.strength import scale_limit
from echopair.augment.waveform.augmentation import Transform, WaveformConfig

# Half a crop is the largest circular shift.
HIGHEST_SHIFT_SHARE = 0.5
# audiomentations' default: fades on both sides of the seam, which would click.
FADE_SECONDS = 0.005


class WaveformShiftConfig(WaveformConfig, frozen=True, extra="forbid"):
    """A circular shift drawn from -max_share to +max_share of the crop, so that no part of a view is silent.

    A quarter of a crop moves a short event clearly and rarely splits it.
    """

    name: Literal["waveform_shift"] = "waveform_shift"
    max_share: float = Field(
        0.25, ge=0, le=HIGHEST_SHIFT_SHARE, description="largest shift as a share of the crop"
    )

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' Shift."""
        from audiomentations import Shift

        limit = scale_limit(self.max_share, strength, highest=HIGHEST_SHIFT_SHARE)
        return Shift(
            min_shift=-limit,
            max_shift=limit,
            shift_unit="fraction",
            rollover=True,
            fade_duration=FADE_SECONDS,
            p=1.0,
        )
