"""Compander: the dynamic range narrower or wider, as by recorders and codecs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from echopair.augment.spectrogram.augmentation import (
    SpectrogramAugmentation,
    SpectrogramConfig,
    example_mean,
    uniform,
)
from echopair.augment.strength import scale_ratio
from echopair.lazy import torch

HIGHEST_EXPONENT = 4.0


class CompanderConfig(SpectrogramConfig, frozen=True, extra="forbid"):
    """An exponent drawn from 1 / max_exponent to max_exponent; the default is the 0.75 in the code of Fonseca
    et al. 2021, which compresses only, and its inverse."""

    name: Literal["compander"] = "compander"
    max_exponent: float = Field(
        4 / 3,
        ge=1,
        le=HIGHEST_EXPONENT,
        description="largest exponent of power, 1 or more; the smallest is its inverse",
    )

    def build(self, strength: float) -> Compander:
        """The augmentation at a strength."""
        return Compander(self, strength)


@dataclass(frozen=True)
class CompanderParameters:
    """`exponent` (B,), above 0: below 1 compresses an example, above 1 expands it."""

    exponent: torch.Tensor


class Compander(SpectrogramAugmentation[CompanderParameters]):
    """Raises the power of an example to an exponent: multiplies the distance of its log-mel from its mean.

    Around the mean, so that the level does not change. Source: the compander in the code of Fonseca et
    al. 2021 (Unsupervised Contrastive Learning of Sound Event Representations), a factor from U(0.75, 1).

    Args:
        config: the range of exponents at strength 1.
        strength: scales the logarithm of the range, up to exponents of 1/4 to 4.
    """

    def __init__(self, config: CompanderConfig, strength: float) -> None:
        super().__init__(strength)
        self.max_exponent = min(scale_ratio(config.max_exponent, strength), HIGHEST_EXPONENT)

    def draw(self, log_mel: torch.Tensor, generator: torch.Generator) -> CompanderParameters:
        """An exponent for each example, its logarithm uniform."""
        log_limit = math.log(self.max_exponent)
        log_exponent = uniform(-log_limit, log_limit, (log_mel.shape[0],), generator, log_mel.device)
        return CompanderParameters(log_exponent.exp_())

    def apply(self, log_mel: torch.Tensor, parameters: CompanderParameters) -> torch.Tensor:
        """`log_mel` (B, F, T) with its distance from the mean multiplied."""
        return torch.lerp(example_mean(log_mel), log_mel, parameters.exponent[:, None, None])
