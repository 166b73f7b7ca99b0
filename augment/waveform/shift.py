"""Shift: the crop begins earlier or later; what leaves at one end comes back at the other."""

from typing import Literal

from pydantic import Field

from echopair.augment.strength import scale_limit
from echopair.augment.waveform.augmentation import Transform, WaveformConfig

# Half a crop round the circle is the furthest there is.
HIGHEST_SHIFT_SHARE = 0.5
# audiomentations' own: on either side of the stitch, so that it does not click.
FADE_SECONDS = 0.005


class WaveformShiftConfig(WaveformConfig, frozen=True, extra="forbid"):
    """A shift drawn from -max_share to +max_share of the crop; round the end, so that no half of a view is silent.

    A quarter of a crop moves a short event well away from where it was and rarely tears it apart.
    """

    name: Literal["waveform_shift"] = "waveform_shift"
    max_share: float = Field(
        0.25, ge=0, le=HIGHEST_SHIFT_SHARE, description="furthest shift, as a share of the crop"
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
