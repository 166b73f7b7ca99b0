"""Time reversal: the view reversed, for sounds whose class does not depend on the direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from echopair.augment.augmentation import AllOrNothingConfig
from echopair.augment.spectrogram.augmentation import SpectrogramAugmentation, SpectrogramConfig
from echopair.lazy import torch


class TimeReversalConfig(AllOrNothingConfig, SpectrogramConfig, frozen=True, extra="forbid"):
    """The frames in reverse order; the strength scales the share of reversed views."""

    name: Literal["time_reversal"] = "time_reversal"

    def build(self, strength: float) -> TimeReversal:
        """The augmentation at a strength."""
        return TimeReversal(strength)


@dataclass(frozen=True)
class TimeReversalParameters:
    """No parameters: a view is reversed or not."""


class TimeReversal(SpectrogramAugmentation[TimeReversalParameters]):
    """Reverses the order of the frames.

    Source: the code of Fonseca et al. 2021 (Unsupervised Contrastive Learning of Sound Event
    Representations).

    Args:
        strength: above 0 every example that it is applied to is reversed.
    """

    def draw(self, log_mel: torch.Tensor, generator: torch.Generator) -> TimeReversalParameters:  # noqa: ARG002
        """Nothing to draw."""
        return TimeReversalParameters()

    def apply(self, log_mel: torch.Tensor, parameters: TimeReversalParameters) -> torch.Tensor:  # noqa: ARG002
        """`log_mel` (B, F, T), last frame first."""
        return log_mel.flip(2)
