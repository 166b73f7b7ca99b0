"""Tanh distortion: peaks compressed, as by an overdriven valve or loudspeaker."""

from typing import Literal

from pydantic import Field

from echopair.augment.strength import scale_limit
from echopair.augment.waveform.augmentation import Transform
from echopair.augment.waveform.ranged import RangedConfig
from echopair.augment.waveform.wrapping import Faded, NonzeroOnly

HIGHEST_DISTORTION = 1.0


class TanhDistortionConfig(RangedConfig, frozen=True, extra="forbid"):
    """A share of 0.05 to 0.4 of the samples compressed, those furthest from 0; adds odd harmonics.

    At 0.4 a voice sounds overdriven but is understood; at 1 only the signs of the samples are left.
    """

    name: Literal["tanh_distortion"] = "tanh_distortion"
    min_distortion: float = Field(
        0.05, ge=0, le=HIGHEST_DISTORTION, description="smallest share of compressed samples, 0 to 1"
    )
    max_distortion: float = Field(
        0.4, ge=0, le=HIGHEST_DISTORTION, description="largest share of compressed samples, 0 to 1"
    )

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' TanhDistortion, on the nonzero samples."""
        from audiomentations import TanhDistortion

        low, high = (
            scale_limit(distortion, strength, highest=HIGHEST_DISTORTION)
            for distortion in (self.min_distortion, self.max_distortion)
        )
        # Faded, as even a share of 0 lowers the highest peak by 8 %.
        return Faded(
            NonzeroOnly(TanhDistortion(min_distortion=low, max_distortion=high, p=1.0)), min(strength, 1.0)
        )
