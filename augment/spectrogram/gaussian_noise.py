"""Gaussian noise: noise added to every bin, so that no embedding depends on the exact value of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from echopair.augment.spectrogram.augmentation import (
    LOG_POWER_PER_DECIBEL,
    SpectrogramAugmentation,
    SpectrogramConfig,
    uniform,
)
from echopair.augment.strength import scale_limit
from echopair.lazy import torch

HIGHEST_DEVIATION_DB = 20.0


class GaussianNoiseConfig(SpectrogramConfig, frozen=True, extra="forbid"):
    """A standard deviation drawn from 0 to max_deviation_db.

    The default is moderate: single bins of a steady noise's spectrogram vary by 5.6 dB by themselves.
    """

    name: Literal["gaussian_noise"] = "gaussian_noise"
    max_deviation_db: float = Field(
        3.0, ge=0, le=HIGHEST_DEVIATION_DB, description="largest standard deviation of the noise in dB"
    )

    def build(self, strength: float) -> GaussianNoise:
        """The augmentation at a strength."""
        return GaussianNoise(self, strength)


@dataclass(frozen=True)
class GaussianNoiseParameters:
    """`deviation_db` (B,), in decibels, and `noise` (B, F, T), of deviation 1."""

    deviation_db: torch.Tensor
    noise: torch.Tensor


class GaussianNoise(SpectrogramAugmentation[GaussianNoiseParameters]):
    """Adds independent Gaussian noise to every bin of the log-mel.

    Source: the code of Fonseca et al. 2021 (Unsupervised Contrastive Learning of Sound Event
    Representations), which draws the deviation uniformly as well.

    Args:
        config: the range of deviations at strength 1.
        strength: scales the range, up to 20 dB.
    """

    def __init__(self, config: GaussianNoiseConfig, strength: float) -> None:
        super().__init__(strength)
        self.max_deviation_db = scale_limit(config.max_deviation_db, strength, highest=HIGHEST_DEVIATION_DB)

    def draw(self, log_mel: torch.Tensor, generator: torch.Generator) -> GaussianNoiseParameters:
        """A deviation and a field of noise for each example."""
        device = log_mel.device
        deviation_db = uniform(0, self.max_deviation_db, (log_mel.shape[0],), generator, device)
        noise = torch.randn(log_mel.shape, generator=generator, device=generator.device).to(device)
        return GaussianNoiseParameters(deviation_db, noise)

    def apply(self, log_mel: torch.Tensor, parameters: GaussianNoiseParameters) -> torch.Tensor:
        """`log_mel` (B, F, T) with the noise added."""
        deviation = (LOG_POWER_PER_DECIBEL * parameters.deviation_db)[:, None, None]
        return torch.addcmul(log_mel, parameters.noise, deviation)
