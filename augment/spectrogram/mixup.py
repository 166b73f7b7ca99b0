"""Mixup: another clip of the batch mixed into each example, at its own level."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from echopair.augment.spectrogram.augmentation import SpectrogramConfig
from echopair.augment.spectrogram.mixing import HIGHEST_PARTNER_SHARE, Mixing
from echopair.lazy import torch


class MixupConfig(SpectrogramConfig, frozen=True, extra="forbid"):
    """A share of another clip's power drawn from 0 to max_partner_share; the default is the paper's."""

    name: Literal["mixup"] = "mixup"
    max_partner_share: float = Field(
        0.4, ge=0, le=HIGHEST_PARTNER_SHARE, description="largest share of another clip's power"
    )

    def build(self, strength: float) -> Mixup:
        """The augmentation at a strength."""
        return Mixup(self.max_partner_share, strength)


class Mixup(Mixing):
    """Mixes another example of the batch into each example in power, not in its logarithm, as sounds mix.

    A loud partner may cover a soft clip; mix-back, which equalises their energies, avoids that.
    Source: Niizumi et al. 2021 (BYOL-A), "Mixup", their log-mixup-exp: log((1 - l) exp(a) + l exp(b)) with
    l ~ U(0, 0.4). Difference: the partner is another row of the batch instead of one of a memory of earlier
    batches, so that a view depends on its step only.
    """

    def log_level(self, log_mel: torch.Tensor) -> torch.Tensor:
        """Zeros: levels are not equalised."""
        return log_mel.new_zeros(log_mel.shape[0])
