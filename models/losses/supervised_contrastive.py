"""Supervised contrastive loss: clips of one class are positives of each other."""

from __future__ import annotations

from echopair.lazy import torch
from echopair.models.losses.anchors import Anchors, log_sum_exp, mean_over_anchors, sum_of


def supervised_contrastive(
    projections: torch.Tensor,
    labels: torch.Tensor,
    temperature: float | torch.Tensor,
    sum_inside: bool,
    recordings: torch.Tensor | None = None,
) -> torch.Tensor:
    """Contrast of all projections of a class with all other projections.

    Khosla et al., "Supervised Contrastive Learning" (NeurIPS 2020), equation 2 (the sum over positives outside of the
    logarithm, the mean of the logarithms) or 3 (inside of it, the logarithm of the mean). Clips are of one class if
    they share a label; a clip without labels is alone in its class.

    Args:
        projections: (V, N, P), V views of N clips, of any norm.
        labels: (N, C) bool, which of the C labels each clip has.
        temperature: above 0.
        sum_inside: equation 3 in place of 2.
        recordings: (N,) int64, the recording of each clip; those of one are left out of the denominators of each other
            unless they are of one class.

    Returns:
        Scalar, float32 (or float64 if the projections are) also under autocast, the mean over projections that have a
        positive, 0 if none has; ln(V N - 1) for equal similarities.
    """

    def losses(anchors: Anchors) -> tuple[torch.Tensor, torch.Tensor]:
        logits, clips, excluded = anchors.logits, anchors.clips, anchors.excluded()
        one_class = labels[clips].float() @ labels.float().T > 0  # (A, N)
        one_class.scatter_(1, clips.unsqueeze(1), True)
        others = torch.ones_like(logits, dtype=torch.bool).scatter_(1, anchors.rows.unsqueeze(1), False)
        positives = one_class.repeat(1, anchors.views) & others
        compared = others if excluded is None else (one_class | ~excluded).repeat(1, anchors.views) & others
        number = positives.sum(1).clamp_min(1)  # (A,)
        every = log_sum_exp(logits, compared)
        if sum_inside:
            positive = log_sum_exp(logits, positives) - number.log()
        else:
            positive = torch.where(positives, logits, 0).sum(1) / number
        return sum_of(every - positive, positives.any(1))

    return mean_over_anchors(losses, projections, temperature, recordings)
