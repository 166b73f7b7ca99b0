"""Base class of augmentations that add noise: a range of signal-to-noise ratios."""

import math

from pydantic import Field

from echopair.augment.waveform.ranged import RangedConfig

# At -20 dB the noise has a hundred times the power of the crop; below, little is left of the clip.
LOWEST_SNR_DB = -20.0
HIGHEST_SNR_DB = 100.0


class NoiseConfig(RangedConfig, frozen=True, extra="forbid"):
    """A signal-to-noise ratio drawn from min_snr_db to max_snr_db, uniformly in decibels.

    The ratio compares mean powers over the whole crop, so a silent crop stays silent.
    """

    min_snr_db: float = Field(
        10.0,
        ge=LOWEST_SNR_DB,
        le=HIGHEST_SNR_DB,
        description="lowest signal-to-noise ratio in dB: the loudest noise",
    )
    max_snr_db: float = Field(
        40.0,
        ge=LOWEST_SNR_DB,
        le=HIGHEST_SNR_DB,
        description="highest signal-to-noise ratio in dB: the softest noise",
    )

    def snr_range_db(self, strength: float) -> tuple[float, float]:
        """Lowest and highest ratio in decibels: the noise's amplitude is proportional to the strength.

        Args:
            strength: above 0, at most 4.

        Returns:
            Both at least -20 dB.
        """
        louder_db = 20 * math.log10(strength)
        low, high = (max(snr - louder_db, LOWEST_SNR_DB) for snr in (self.min_snr_db, self.max_snr_db))
        return low, high
