"""Base class of augmentations that add decibels: gain, tilt and random linear fader."""

from __future__ import annotations

from abc import abstractmethod

from echopair.augment.spectrogram.augmentation import (
    LOG_POWER_PER_DECIBEL,
    Parameters,
    SpectrogramAugmentation,
    uniform,
)
from echopair.augment.strength import scale_limit
from echopair.lazy import torch

# A thousand times the amplitude: more than distance and preamplifiers cause.
HIGHEST_LEVEL_DB = 60.0


class LevelAugmentation(SpectrogramAugmentation[Parameters]):
    """Adds decibels drawn from a range symmetric around 0.

    Args:
        max_db: largest number drawn at strength 1, 0 to 60.
        strength: scales it, up to 60 dB.
    """

    def __init__(self, max_db: float, strength: float) -> None:
        super().__init__(strength)
        self.max_db = scale_limit(max_db, strength, highest=HIGHEST_LEVEL_DB)

    def draw_decibels(self, log_mel: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """A number for each example, (B,), uniform from -max_db to +max_db."""
        return uniform(-self.max_db, self.max_db, (log_mel.shape[0],), generator, log_mel.device)

    @abstractmethod
    def decibels(self, parameters: Parameters, bands: int, frames: int) -> torch.Tensor:
        """The decibels to add: (B, F, T), or of size 1 along an axis on which they are constant."""

    def apply(self, log_mel: torch.Tensor, parameters: Parameters) -> torch.Tensor:
        """`log_mel` (B, F, T) with the decibels added."""
        decibels = self.decibels(parameters, *log_mel.shape[1:])
        return torch.add(log_mel, decibels, alpha=LOG_POWER_PER_DECIBEL)
