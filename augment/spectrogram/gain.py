"""Gain: the whole view louder or softer, as if the source stood nearer or farther."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field
from torch import Generator, Tensor

from augment.spectrogram.augmentation import (
    LOG_POWER_PER_DECIBEL,
    SpectrogramAugmentation,
    SpectrogramConfig,
    uniform,
)
from augment.strength import scale_limit

HIGHEST_GAIN_DB = 60.0


class GainConfig(SpectrogramConfig, frozen=True, extra="forbid"):
    """A gain drawn from -max_gain_db to +max_gain_db; 6 dB is twice or half the distance."""

    name: Literal["gain"] = "gain"
    max_gain_db: float = Field(6.0, ge=0, le=HIGHEST_GAIN_DB, description="largest gain or loss in dB")

    def build(self, strength: float) -> "Gain":
        """The augmentation at a strength."""
        return Gain(self, strength)


@dataclass(frozen=True)
class GainParameters:
    """`gain_db` (B,): gain of each example in decibels."""

    gain_db: Tensor


class Gain(SpectrogramAugmentation[GainParameters]):
    """Adds one number of decibels to all of an example.

    Args:
        config: the range of gains at strength 1.
        strength: scales the range, up to 60 dB.
    """

    def __init__(self, config: GainConfig, strength: float) -> None:
        super().__init__(strength)
        self.max_gain_db = scale_limit(config.max_gain_db, strength, highest=HIGHEST_GAIN_DB)

    def draw(self, log_mel: Tensor, generator: Generator) -> GainParameters:
        """A gain for each example, uniform in decibels."""
        batch = (log_mel.shape[0],)
        return GainParameters(uniform(-self.max_gain_db, self.max_gain_db, batch, generator, log_mel.device))

    def apply(self, log_mel: Tensor, parameters: GainParameters) -> Tensor:
        """`log_mel` (B, F, T) with the gains added."""
        return log_mel + (LOG_POWER_PER_DECIBEL * parameters.gain_db)[:, None, None]
