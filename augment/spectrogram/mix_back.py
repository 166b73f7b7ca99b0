"""Mix-back: a little of another clip as a background of each example."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from echopair.augment.spectrogram.augmentation import SpectrogramConfig
from echopair.augment.spectrogram.mixing import HIGHEST_PARTNER_SHARE, Mixing
from echopair.lazy import torch


class MixBackConfig(SpectrogramConfig, frozen=True, extra="forbid"):
    """A share of background energy drawn from 0 to max_background_share; the default is the paper's."""

    name: Literal["mix_back"] = "mix_back"
    max_background_share: float = Field(
        0.05, ge=0, le=HIGHEST_PARTNER_SHARE, description="largest share of the energy from another clip"
    )

    def build(self, strength: float) -> MixBack:
        """The augmentation at a strength."""
        return MixBack(self.max_background_share, strength)


class MixBack(Mixing):
    """Adds the power of another example of the batch, scaled to the same energy, to each example.

    Source: Fonseca et al. 2021 (Unsupervised Contrastive Learning of Sound Event Representations), section
    2.2: (1 - l) a + l E(a) / E(b) b with l ~ U(0, 0.05), a and b in linear power.
    """

    def log_level(self, log_mel: torch.Tensor) -> torch.Tensor:
        """The energy of each example, to which the partner is scaled."""
        # One axis after the other, for the same reason as in `example_mean`.
        return log_mel.logsumexp(dim=2).logsumexp(dim=1)
