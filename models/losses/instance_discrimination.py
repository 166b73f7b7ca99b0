"""Instance discrimination: each segment is a class of its own, whose prototype is its entry in a memory bank."""

from __future__ import annotations

import math

from echopair.lazy import torch
from echopair.models.losses.normalise import l2_normalise


def bank_similarities(projections: torch.Tensor, entries: torch.Tensor) -> torch.Tensor:
    """Cosine similarities of projections to entries of the bank.

    Args:
        projections: (B, P), of any norm.
        entries: (S, P), of any norm.

    Returns:
        (B, S), float32 (or float64 if both are) also under autocast.
    """
    with torch.autocast(projections.device.type, enabled=False):
        return l2_normalise(projections) @ l2_normalise(entries).T


def instance_softmax(
    similarities: torch.Tensor, segments: torch.Tensor, temperature: float | torch.Tensor
) -> torch.Tensor:
    """Cross entropy of each projection over all entries of the bank.

    Args:
        similarities: (B, S) to all entries, as of `bank_similarities`.
        segments: (B,) int64, the entry that belongs to each projection.
        temperature: above 0; a scalar tensor has a gradient.

    Returns:
        Scalar; ln(S) for equal similarities.

    Source: Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination, CVPR 2018, equations 2
    and 3, as a mean.
    """
    return torch.nn.functional.cross_entropy(similarities / temperature, segments)


def instance_nce(own: torch.Tensor, noise: torch.Tensor, temperature: float | torch.Tensor) -> torch.Tensor:
    """Noise-contrastive estimate of `instance_softmax`: tell the own entry from noise drawn from the bank.

    The normalising constant is estimated from the same noise, one for the batch, and held constant in the gradient.
    The size of the bank cancels.

    Args:
        own: (B,) similarity to the entry that belongs to each projection.
        noise: (B, M) similarities to entries drawn from the whole bank, uniformly and with replacement.
        temperature: above 0; a scalar tensor has a gradient.

    Returns:
        Scalar; ln(1 + M) + M ln(1 + 1 / M) for equal similarities.

    Source: Wu et al., CVPR 2018 (see `instance_softmax`), equations 6 to 8, as a mean.
    """
    softplus = torch.nn.functional.softplus
    own, noise = own / temperature, noise / temperature
    log_mean = noise.detach().flatten().logsumexp(0) - math.log(noise.numel())  # of Z / S, equation 8
    # With P = exp(own) / Z and noise 1 / S, h of equation 6 is the sigmoid of own - log(Z / S) - log M.
    offset = log_mean + math.log(noise.shape[1])
    return (softplus(offset - own) + softplus(noise - offset).sum(1)).mean()
