"""Binary cross-entropy of several yes-or-no questions, such as which augmentations a view got."""

from __future__ import annotations

from echopair.lazy import torch
from echopair.models.losses.normalise import at_least_float32


def binary_cross_entropy(logits: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of independent questions, averaged over all.

    Source: Gidaris et al., "Unsupervised Representation Learning by Predicting Image Rotations" (ICLR 2018),
    equations 1 and 2, with a sigmoid for each transformation since a view has several at once.

    Args:
        logits: of any shape; positive means yes.
        answers: bool, of the same shape.

    Returns:
        Scalar float32 (float64 for logits in it); ln(2) for logits of 0.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits = at_least_float32(logits)
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, answers.to(logits.dtype))


def constant_answers(answers: torch.Tensor) -> tuple[float, float]:
    """Loss and accuracy of the best answers that are the same for all views: what chance gives.

    Args:
        answers: (..., A) bool, of A questions.
    """
    shares = answers.flatten(0, -2).double().mean(0)  # (A,)
    entropy = -(torch.xlogy(shares, shares) + torch.xlogy(1 - shares, 1 - shares))
    return entropy.mean().item(), torch.maximum(shares, 1 - shares).mean().item()
