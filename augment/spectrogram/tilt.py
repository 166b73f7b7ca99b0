"""Tilt: treble against bass, as another microphone, distance or room would change it."""

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Generator, Tensor

from augment.spectrogram.augmentation import (
    LOG_POWER_PER_DECIBEL,
    SpectrogramAugmentation,
    SpectrogramConfig,
    uniform,
)
from augment.strength import scale_limit

HIGHEST_TILT_DB = 60.0


class TiltConfig(SpectrogramConfig, frozen=True, extra="forbid"):
    """A slope drawn from -max_tilt_db to +max_tilt_db; 6 dB is +-3 dB at the ends, an everyday microphone."""

    name: Literal["tilt"] = "tilt"
    max_tilt_db: float = Field(
        6.0,
        ge=0,
        le=HIGHEST_TILT_DB,
        description="largest rise or fall in dB from the lowest to the highest band",
    )

    def build(self, strength: float) -> "Tilt":
        """The augmentation at a strength."""
        return Tilt(self, strength)


@dataclass(frozen=True)
class TiltParameters:
    """`tilt_db` (B,): rise of each example in decibels from its lowest to its highest band."""

    tilt_db: Tensor


class Tilt(SpectrogramAugmentation[TiltParameters]):
    """Adds a straight line over the mel bands, 0 dB in their middle so that loudness is left to the gain.

    Args:
        config: the range of slopes at strength 1.
        strength: scales the range, up to 60 dB.
    """

    def __init__(self, config: TiltConfig, strength: float) -> None:
        super().__init__(strength)
        self.max_tilt_db = scale_limit(config.max_tilt_db, strength, highest=HIGHEST_TILT_DB)

    def draw(self, log_mel: Tensor, generator: Generator) -> TiltParameters:
        """A slope for each example, uniform in decibels."""
        batch = (log_mel.shape[0],)
        return TiltParameters(uniform(-self.max_tilt_db, self.max_tilt_db, batch, generator, log_mel.device))

    def apply(self, log_mel: Tensor, parameters: TiltParameters) -> Tensor:
        """`log_mel` (B, F, T) with the lines added."""
        line = torch.linspace(-0.5, 0.5, log_mel.shape[1], device=log_mel.device)  # (F,)
        tilt_db = parameters.tilt_db[:, None] * line  # (B, F)
        return log_mel + (LOG_POWER_PER_DECIBEL * tilt_db)[:, :, None]
