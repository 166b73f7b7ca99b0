"""NT-Xent: the normalised temperature-scaled cross entropy of SimCLR."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor


class NTXentConfig(BaseModel, frozen=True, extra="forbid"):
    """NT-Xent and its temperature; 0.2 is that of the configuration Fonseca et al. 2021 published."""

    name: Literal["nt_xent"] = "nt_xent"
    temperature: float = Field(0.2, gt=0, le=10, description="divides the cosine similarities")


def nt_xent(projections: Tensor, temperature: float) -> Tensor:
    """Contrastive loss in which every other projection of the batch is a negative.

    Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations" (ICML 2020),
    equation 1, averaged over all 2N projections.

    Args:
        projections: (2, N, P), first and second view of N >= 2 clips, of any norm.
        temperature: above 0.

    Returns:
        Scalar float32, `chance_level(N)` for projections that say nothing.

    Raises:
        ValueError: not two views, fewer than two pairs, or a temperature of 0 or less.
    """
    views, pairs, _ = projections.shape
    if views != 2:
        raise ValueError(f"nt_xent takes two views of each clip, not {views}")
    if pairs < 2:
        raise ValueError(
            f"nt_xent needs at least two pairs, since other clips are the negatives; got {pairs}"
        )
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    z = F.normalize(projections.float().flatten(0, 1), dim=1)  # (2N, P)
    logits = z @ z.T / temperature  # (2N, 2N)
    logits.fill_diagonal_(-math.inf)  # a projection is not its own negative
    positives = torch.arange(2 * pairs, device=z.device).roll(pairs)
    return F.cross_entropy(logits, positives)


def chance_level(pairs: int) -> float:
    """Loss when all similarities are equal: ln(2N - 1) for N pairs."""
    return math.log(2 * pairs - 1)
