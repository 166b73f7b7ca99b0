"""The triplet loss, and the ways to choose its negatives."""

from __future__ import annotations

import math
from typing import Literal

from echopair.lazy import torch
from echopair.models.losses.anchors import Anchors, mean_over_anchors, sum_of

Sampling = Literal["all", "semi_hard", "hard", "distance_weighted"]

# Of distance-weighted sampling, from the authors' code: nearer negatives have the weight of this distance, and
# farther ones than the second none, as they would have no loss.
NEAREST_DISTANCE, FARTHEST_DISTANCE = 0.5, 1.4


def triplet(
    projections: torch.Tensor,
    margin: float,
    sampling: Sampling,
    generator: torch.Generator,
    recordings: torch.Tensor | None = None,
) -> torch.Tensor:
    """A positive is to be nearer to its anchor than a negative is, by the margin.

    Schroff et al., "FaceNet" (CVPR 2015), equation 3, as a mean over triplets of an anchor, one of its positives
    and a negative of it; distances are squared and those of projections scaled to norm 1.

    Args:
        projections: (V, N, P), V >= 2 views of N >= 2 clips, of any norm.
        margin: above 0; squared distances are 4 at most.
        sampling: `all` takes every negative. The others take one for each anchor and positive: `semi_hard` the
            nearest one that is farther than the positive, or else the farthest one (FaceNet, equation 4); `hard`
            the nearest one; `distance_weighted` draws one, see `draw_by_distance`.
        generator: on the CPU; used by `distance_weighted` alone.
        recordings: (N,) int64, the recording of each clip; those of one are no negatives of each other.

    Returns:
        Scalar, float32 (or float64 if the projections are) also under autocast. Of equal projections it is the margin.
    """
    views, pairs, dimensions = projections.shape
    if sampling == "distance_weighted":
        draws = torch.rand((views * pairs, views - 1), generator=generator, dtype=torch.float64)
        draws = draws.to(projections.device)

    def losses(anchors: Anchors) -> tuple[torch.Tensor, torch.Tensor]:
        apart = 2 - 2 * anchors.similarities  # (A, V N), squared distances
        negatives = anchors.negatives()
        positive = apart.gather(1, anchors.positives())  # (A, V - 1)
        if sampling == "all":
            # A positive after the other, since all triplets of eight views at once would take 7 times the memory.
            sums = [
                sum_of((margin + one.unsqueeze(1) - apart).relu(), negatives) for one in positive.unbind(1)
            ]
            totals, counts = zip(*sums, strict=True)
            return torch.stack(totals).sum(), torch.stack(counts).sum()
        if sampling == "distance_weighted":
            distance = apart.detach().clamp_min(0).sqrt()
            chosen = draw_by_distance(distance, negatives, dimensions, draws[anchors.rows])
        else:
            chosen = nearest_negatives(
                apart.detach(), positive.detach(), negatives, beyond=sampling == "semi_hard"
            )
        hinges = (margin + positive - apart.gather(1, chosen)).relu()
        return sum_of(hinges, negatives.any(1, keepdim=True))

    return mean_over_anchors(losses, projections, recordings=recordings)


def nearest_negatives(
    apart: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor, beyond: bool
) -> torch.Tensor:
    """The nearest negative of each anchor and positive.

    Args:
        apart: (A, R) distances.
        positives: (A, M) distance of each anchor's positives.
        negatives: (A, R) bool, which rows are negatives of each anchor.
        beyond: the nearest of those that are farther than the positive; the farthest one where none is.

    Returns:
        (A, M) rows; any where an anchor has no negative.
    """
    if not beyond:
        return apart.masked_fill(~negatives, math.inf).argmin(1, keepdim=True).expand_as(positives)
    farthest = apart.masked_fill(~negatives, -math.inf).argmax(1)
    chosen = []
    for positive in positives.unbind(1):
        farther = negatives & (apart > positive.unsqueeze(1))
        nearest = apart.masked_fill(~farther, math.inf).argmin(1)
        chosen.append(torch.where(farther.any(1), nearest, farthest))
    return torch.stack(chosen, dim=1)


def draw_by_distance(
    apart: torch.Tensor, negatives: torch.Tensor, dimensions: int, draws: torch.Tensor
) -> torch.Tensor:
    """Draw negatives for each anchor so that all distances are equally frequent.

    The weight is the inverse of the density of the distance d of random points on the sphere,
    d^(P - 2) (1 - d^2 / 4)^((P - 3) / 2). It is that of 0.5 for smaller distances and 0 above 1.4, as in the
    authors' code; an anchor that has negatives above 1.4 alone draws from all of them.

    Args:
        apart: (A, R) distances of vectors of norm 1.
        negatives: (A, R) bool, which rows are negatives of each anchor.
        dimensions: P, at least 2.
        draws: (A, M) float64, uniform in [0, 1), a number for each negative; one may be drawn several times.

    Returns:
        (A, M) rows; any where an anchor has no negative.

    Source: Wu et al., Sampling Matters in Deep Embedding Learning, ICCV 2017, equations 3 and 4.
    """
    within = negatives & (apart < FARTHEST_DISTANCE)
    within = torch.where(within.any(1, keepdim=True), within, negatives)
    clipped = apart.double().clamp(NEAREST_DISTANCE, FARTHEST_DISTANCE)
    log_density = (dimensions - 2) * clipped.log() + (dimensions - 3) / 2 * (1 - clipped.square() / 4).log()
    log_weights = (-log_density).masked_fill(~within, -math.inf)
    weights = (log_weights - log_weights.amax(1, keepdim=True)).exp().nan_to_num()  # (A, R), the largest 1
    sums = weights.cumsum(1)
    # The first row whose sum exceeds the draw has a weight above 0; the limit is against rounding up to the last sum.
    wanted = (draws * sums[:, -1:]).minimum(sums[:, -1:] * (1 - 1e-12))
    return torch.searchsorted(sums, wanted, right=True).clamp_max(apart.shape[1] - 1)
