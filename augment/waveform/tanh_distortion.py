"""Tanh distortion: peaks pressed together, as by an overdriven valve or loudspeaker."""

from typing import Literal

from pydantic import Field

from echopair.augment.strength import scale_limit
from echopair.augment.waveform.augmentation import Transform
from echopair.augment.waveform.ranged import RangedConfig
from echopair.augment.waveform.wrapping import Faded, SoundingOnly

HIGHEST_DISTORTION = 1.0


class TanhDistortionConfig(RangedConfig, frozen=True, extra="forbid"):
    """A share of 0.05 to 0.4 of the samples pressed together, those furthest from 0; adds odd harmonics.

    At 0.4 a voice sounds overdriven but is understood; at 1 all that is left is which samples are positive.
    """

    name: Literal["tanh_distortion"] = "tanh_distortion"
    min_distortion: float = Field(
        0.05, ge=0, le=HIGHEST_DISTORTION, description="smallest share of the samples that is bent, 0 to 1"
    )
    max_distortion: float = Field(
        0.4, ge=0, le=HIGHEST_DISTORTION, description="largest share of the samples that is bent, 0 to 1"
    )

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' TanhDistortion, on the samples that sound."""
        from audiomentations import TanhDistortion

        low, high = (
            scale_limit(distortion, strength, highest=HIGHEST_DISTORTION)
            for distortion in (self.min_distortion, self.max_distortion)
        )
        # Faded, as even a share of 0 bends the highest peak by 8 %.
        return Faded(
            SoundingOnly(TanhDistortion(min_distortion=low, max_distortion=high, p=1.0)), min(strength, 1.0)
        )
