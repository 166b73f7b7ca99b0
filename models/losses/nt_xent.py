"""NT-Xent: the normalised temperature-scaled cross entropy of SimCLR, for two views or more."""

from __future__ import annotations

import math

from echopair.lazy import torch
from echopair.models.losses.anchors import Anchors, mean_over_anchors


def nt_xent(
    projections: torch.Tensor, temperature: float | torch.Tensor, recordings: torch.Tensor | None = None
) -> torch.Tensor:
    """Contrastive loss: other views of a clip are positives, the projections of all other clips negatives.

    Two views: Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations" (ICML 2020),
    equation 1, averaged over all projections. More: Khosla et al., "Supervised Contrastive Learning" (NeurIPS
    2020), equation 2 (L_out) with the views of a clip as its class; positives then share one softmax, so that
    the loss is at least ln(V - 1).

    Args:
        projections: (V, N, P), V >= 2 views of N >= 2 clips, of any norm.
        temperature: above 0.
        recordings: (N,) int64, the recording of each clip; those of one are no negatives of each other.

    Returns:
        Scalar, float32 (or float64 if the projections are) also under autocast; `chance_level(N, V)` for uninformative
        projections.

    Raises:
        ValueError: fewer than two views, fewer than two pairs, or a temperature of 0 or less.
    """
    views, pairs, _ = projections.shape
    if views < 2:
        raise ValueError(f"nt_xent takes at least two views of each clip, not {views}")
    if pairs < 2:
        raise ValueError(
            f"nt_xent needs at least two pairs, since other clips are the negatives; got {pairs}"
        )
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    return mean_over_anchors(_losses, projections, temperature, recordings)


def _losses(anchors: Anchors) -> tuple[torch.Tensor, int]:
    functional = torch.nn.functional
    logits = anchors.logits  # (A, V N)
    logits.scatter_(1, anchors.rows.unsqueeze(1), -math.inf)  # a projection is not its own negative
    excluded = anchors.excluded()
    if excluded is not None:
        logits = logits.masked_fill(excluded.repeat(1, anchors.views), -math.inf)
    positives = anchors.positives()  # (A, V - 1)
    if anchors.views == 2:
        # The line below but for rounding; runs of two views repeat to the last bit.
        return functional.cross_entropy(logits, positives[:, 0], reduction="sum"), len(logits)
    return -functional.log_softmax(logits, dim=1).gather(1, positives).sum(), positives.numel()


def chance_level(pairs: int, views: int = 2) -> float:
    """Loss when all similarities are equal: ln(V N - 1) for N pairs of V views."""
    return math.log(views * pairs - 1)
