"""SimCLR: an encoder and a projection head, trained by NT-Xent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from echopair.models.losses.nt_xent import chance_level, nt_xent
from echopair.models.methods.negatives import ContrastConfig

if TYPE_CHECKING:
    from echopair.lazy import torch
    from echopair.models.methods.method import Batch


class SimCLRConfig(ContrastConfig):
    """NT-Xent: the views of a clip attract each other, and repel those of the other clips of the batch.

    Source: Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020, equation 1.
    Loss at chance: ln(V N - 1).
    """

    name: Literal["nt_xent"] = "nt_xent"

    def loss(self, projections: torch.Tensor, batch: Batch) -> torch.Tensor:
        return nt_xent(projections, self.temperature, self.recordings(batch))

    def loss_chance_level(self, views: int, pairs: int) -> float:
        return chance_level(pairs, views)
