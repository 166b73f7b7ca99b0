"""White noise: hiss added to the crop, as of a microphone's preamplifier."""

from typing import Literal

from echopair.augment.waveform.augmentation import Transform
from echopair.augment.waveform.noise import NoiseConfig


class WhiteNoiseConfig(NoiseConfig, frozen=True, extra="forbid"):
    """Gaussian noise 10 to 40 dB below the crop: from clearly to barely audible."""

    name: Literal["white_noise"] = "white_noise"

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' AddGaussianSNR."""
        from audiomentations import AddGaussianSNR

        low, high = self.snr_range_db(strength)
        transform: Transform = AddGaussianSNR(min_snr_db=low, max_snr_db=high, p=1.0)
        return transform
