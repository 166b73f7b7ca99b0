"""Methods that tell the positive from noise, the other clips of the batch: binary NCE and InfoNCE."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from echopair.models.losses.noise_contrastive import binary_chance_level, binary_nce, info_nce
from echopair.models.methods.negatives import ContrastConfig

if TYPE_CHECKING:
    from echopair.lazy import torch
    from echopair.models.methods.method import Batch


class BinaryNCEConfig(ContrastConfig):
    """Logistic regression that tells positives from negatives.

    Source: Gutmann and Hyvärinen, Noise-Contrastive Estimation, AISTATS 2010, section 2.1, self-normalised as in
    Mnih and Teh, ICML 2012. Loss at chance: ln(1 + K) + K ln(1 + 1 / K) for K = V (N - 1) negatives.
    """

    name: Literal["binary_nce"] = "binary_nce"

    def loss(self, projections: torch.Tensor, batch: Batch) -> torch.Tensor:
        return binary_nce(projections, self.temperature, self.recordings(batch))

    def loss_chance_level(self, views: int, pairs: int) -> float:
        return binary_chance_level(pairs, views)


class InfoNCEConfig(ContrastConfig):
    """A view finds its clip among the N clips of another view.

    Source: van den Oord et al., Representation Learning with Contrastive Predictive Coding, 2018, equation 4, in one
    direction; Radford et al., CLIP, ICML 2021, figure 3, symmetric. Loss at chance: ln(N).
    """

    name: Literal["info_nce"] = "info_nce"
    symmetric: bool = Field(True, description="every view is a query; false: only the first one")

    def loss(self, projections: torch.Tensor, batch: Batch) -> torch.Tensor:
        return info_nce(projections, self.temperature, self.symmetric, self.recordings(batch))

    def loss_chance_level(self, views: int, pairs: int) -> float:
        return math.log(pairs)
