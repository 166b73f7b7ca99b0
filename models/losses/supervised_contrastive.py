"""Supervised contrastive loss: clips of one class are positives of each other."""

from __future__ import annotations

from echopair.lazy import torch
from echopair.models.losses.pairs import cosine_similarities, log_sum_exp, mean_of


def supervised_contrastive(
    projections: torch.Tensor,
    labels: torch.Tensor,
    temperature: float | torch.Tensor,
    sum_inside: bool,
    excluded: torch.Tensor | None = None,
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
        excluded: (N, N) bool, clips that are left out of the denominators of each other unless they are of one class.

    Returns:
        Scalar, float32 (or float64 if the projections are) also under autocast, the mean over projections that have a
        positive, 0 if none has; ln(V N - 1) for equal similarities.
    """
    views, pairs, _ = projections.shape
    logits = cosine_similarities(projections) / temperature  # (V N, V N)
    itself = torch.eye(views * pairs, dtype=torch.bool, device=logits.device)
    one_class = labels.float() @ labels.float().T > 0  # (N, N)
    one_class |= torch.eye(pairs, dtype=torch.bool, device=logits.device)
    compared = one_class if excluded is None else one_class | ~excluded
    positives = one_class.repeat(views, views) & ~itself
    candidates = ~itself if excluded is None else compared.repeat(views, views) & ~itself
    number = positives.sum(1).clamp_min(1)  # (V N,)
    every = log_sum_exp(logits, candidates)
    if sum_inside:
        positive = log_sum_exp(logits, positives) - number.log()
    else:
        positive = torch.where(positives, logits, 0).sum(1) / number
    return mean_of(every - positive, positives.any(1))
