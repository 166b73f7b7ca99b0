"""Cross-entropy of labels, of which a clip has one, several or none."""

from __future__ import annotations

from echopair.lazy import torch
from echopair.models.losses.normalise import at_least_float32


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Softmax over all labels; a clip with k labels wants each with probability 1 / k, one without any is left out.

    Source: Mahajan et al., "Exploring the Limits of Weakly Supervised Pretraining" (ECCV 2018), who
    found this better for several labels than a sigmoid for each; with one label the usual cross-entropy.

    Args:
        logits: (V, N, C) of V views of N clips.
        labels: (N, C) bool.

    Returns:
        Scalar float32 (float64 for logits in it), the mean over views and clips with labels; 0 without such clips.
        `ln(C)` for equal logits of clips with one label.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits = at_least_float32(logits)
        targets = labels.to(logits.dtype)
        targets = targets / targets.sum(1, keepdim=True).clamp_min(1)  # (N, C)
        clips = labels.any(1).sum().clamp_min(1)
        return -(logits.log_softmax(2) * targets).sum() / (len(logits) * clips)
