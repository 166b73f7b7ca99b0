"""Losses without negatives that keep the dimensions of projections apart: Barlow Twins and VICReg."""

from __future__ import annotations

from itertools import combinations

from echopair.lazy import torch
from echopair.models.losses.normalise import at_least_float32

BATCH_NORM_EPSILON = (
    1e-5  # of the authors' batch normalisation; a dimension without variance then stays finite
)
VARIANCE_EPSILON = 1e-4  # VICReg, equation 2


def barlow_twins(projections: torch.Tensor, redundancy_weight: float) -> torch.Tensor:
    """The cross-correlation of two views over the batch is to be the identity.

    Zbontar et al., "Barlow Twins" (ICML 2021), equations 1 and 2; with more than two views the mean over all pairs of
    views.

    Args:
        projections: (V, N, P), V >= 2 views of N >= 2 clips.
        redundancy_weight: lambda, of the correlations of different dimensions.

    Returns:
        Scalar, float32 (or float64 if the projections are) also under autocast; P where all projections are equal.
    """
    pairs = projections.shape[1]
    with torch.autocast(projections.device.type, enabled=False):
        z = at_least_float32(projections)
        variance, mean = torch.var_mean(z, dim=1, correction=0, keepdim=True)  # (V, 1, P)
        standard = (z - mean) * (variance + BATCH_NORM_EPSILON).rsqrt()
        losses = []
        for one, other in combinations(standard, 2):
            correlation = one.T @ other / pairs  # (P, P)
            invariance = (1 - correlation.diagonal()).square().sum()
            losses.append(invariance + redundancy_weight * _off_diagonal(correlation).square().sum())
        return torch.stack(losses).mean()


def vicreg(
    projections: torch.Tensor, invariance_weight: float, variance_weight: float, covariance_weight: float
) -> torch.Tensor:
    """Views of a clip are to be equal, each dimension to vary by 1 over the clips, and no two to vary together.

    Bardes et al., "VICReg" (ICLR 2022), equations 1 to 6, as in the authors' code, for which the weights of the paper
    are meant: the squared distances are divided by P, and the variance term is the mean of the two views, the
    covariance term their sum. More than two views have the mean over pairs of views, and twice the mean covariance.

    Args:
        projections: (V, N, P), V >= 2 views of N >= 2 clips; their norm counts.
        invariance_weight: lambda, of the mean squared distance of views.
        variance_weight: mu, of the mean shortfall of standard deviations below 1.
        covariance_weight: nu, of the squared covariances.

    Returns:
        Scalar, float32 (or float64 if the projections are) also under autocast; about 0.99 of the variance weight where
        all projections are equal.
    """
    views, pairs, dimensions = projections.shape
    with torch.autocast(projections.device.type, enabled=False):
        z = at_least_float32(projections)
        invariance = torch.stack([(one - other).square().mean() for one, other in combinations(z, 2)]).mean()
        deviation = (z.var(dim=1) + VARIANCE_EPSILON).sqrt()  # (V, P)
        variance = (1 - deviation).relu().mean()
        centred = z - z.mean(1, keepdim=True)
        covariances = centred.mT @ centred / (pairs - 1)  # (V, P, P)
        covariance = 2 * _off_diagonal(covariances).square().sum() / (views * dimensions)
        return invariance_weight * invariance + variance_weight * variance + covariance_weight * covariance


def _off_diagonal(matrices: torch.Tensor) -> torch.Tensor:
    """Matrices (..., P, P) with zeros on their diagonals."""
    diagonal = torch.eye(matrices.shape[-1], dtype=torch.bool, device=matrices.device)
    return matrices.masked_fill(diagonal, 0)
