"""Contrastive losses that count negatives otherwise than NT-Xent: decoupled, debiased, and weighted by hardness."""

from __future__ import annotations

import math

from echopair.lazy import torch
from echopair.models.losses.anchors import Anchors, log_sum_exp, mean_over_anchors, sum_of


def decoupled(
    projections: torch.Tensor, temperature: float | torch.Tensor, recordings: torch.Tensor | None = None
) -> torch.Tensor:
    """NT-Xent without the positive in the denominator, so that near positives do not weaken the gradient.

    Yeh et al., "Decoupled Contrastive Learning" (ECCV 2022), equation 6, as a mean over anchors and positives.

    Args:
        projections: (V, N, P), V >= 2 views of N >= 2 clips, of any norm.
        temperature: above 0.
        recordings: (N,) int64, the recording of each clip; those of one are no negatives of each other.

    Returns:
        Scalar, float32 (or float64 if the projections are) also under autocast, negative where positives are near;
        ln(V (N - 1)) for equal similarities.
    """

    def losses(anchors: Anchors) -> tuple[torch.Tensor, torch.Tensor]:
        logits, negatives = anchors.logits, anchors.negatives()
        positive = logits.gather(1, anchors.positives())  # (A, V - 1)
        negative = log_sum_exp(logits, negatives).unsqueeze(1)  # (A, 1)
        return sum_of(negative - positive, negatives.any(1, keepdim=True))

    return mean_over_anchors(losses, projections, temperature, recordings)


def debiased(
    projections: torch.Tensor,
    temperature: float | torch.Tensor,
    positive_prior: float,
    hardness: float = 0.0,
    recordings: torch.Tensor | None = None,
) -> torch.Tensor:
    """Contrast with the share of the negatives that is probably of the anchor's class subtracted.

    Chuang et al., "Debiased Contrastive Learning" (NeurIPS 2020), equation 8, with the V - 1 positives as samples of
    the class: -ln(e^s / (e^s + Q g)) for Q negatives. Above a hardness of 0, near negatives have more weight: Robinson
    et al., "Contrastive Learning with Hard Negative Samples" (ICLR 2021), equation 4, by importance sampling. Sums of
    exponentials are kept as logarithms, so that none overflows.

    Args:
        projections: (V, N, P), V >= 2 views of N >= 2 clips, of any norm.
        temperature: above 0.
        positive_prior: tau+, probability that a clip is of the anchor's class, from 0 to below 1.
        hardness: beta, the concentration on near negatives, from 0.
        recordings: (N,) int64, the recording of each clip; those of one are no negatives of each other.

    Returns:
        Scalar, float32 (or float64 if the projections are) also under autocast; ln(1 + V (N - 1)) for equal
        similarities.
    """
    log_prior = math.log(positive_prior) if positive_prior else -math.inf

    def losses(anchors: Anchors) -> tuple[torch.Tensor, torch.Tensor]:
        logits, negatives = anchors.logits, anchors.negatives()
        positive = logits.gather(1, anchors.positives())  # (A, V - 1)
        log_number = negatives.sum(1).clamp_min(1).log()  # (A,), ln Q
        # Logarithms of Q times the weighted mean of e^(similarity / temperature), and of what positives contribute.
        every = torch.ones_like(positive, dtype=torch.bool)
        hard = _log_weighted_mean(logits, negatives, hardness) + log_number
        biased = _log_weighted_mean(positive, every, hardness) + log_number + log_prior
        difference = biased - hard
        rest = -torch.expm1(torch.where(difference < 0, difference, -1))
        corrected = hard + rest.clamp_min(1e-12).log() - math.log1p(-positive_prior)
        lowest = log_number - 1 / anchors.temperature  # no mean of exponentials is smaller
        negative = torch.where(difference < 0, corrected.maximum(lowest), lowest)
        of_positives = torch.nn.functional.softplus(negative.unsqueeze(1) - positive)  # (A, V - 1)
        return sum_of(of_positives, negatives.any(1, keepdim=True))

    return mean_over_anchors(losses, projections, temperature, recordings)


def _log_weighted_mean(logits: torch.Tensor, chosen: torch.Tensor, hardness: float) -> torch.Tensor:
    """Logarithm of the mean of e^x over the chosen x of each row, weighted by e^(hardness x)."""
    weighted = log_sum_exp((1 + hardness) * logits, chosen)
    return weighted - log_sum_exp(hardness * logits, chosen)
