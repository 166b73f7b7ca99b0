"""Local Deep InfoMax: the local features of one view against the global vector of another."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

from echopair.lazy import torch
from echopair.models.losses.noise_contrastive import info_nce_of_own
from echopair.models.losses.normalise import l2_normalise

if TYPE_CHECKING:
    from collections.abc import Sequence


def local_global(
    local: Sequence[torch.Tensor], vectors: torch.Tensor, temperature: float | torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """InfoNCE between each place of a feature map and the global vector of another view of the clip.

    Source: Hjelm et al., "Learning deep representations by mutual information estimation and maximization" (ICLR
    2019), equations 5 (InfoNCE) and 6 (the mean over places), with the cosine similarity divided by the temperature
    as T; the two come from different views as in Bachman et al., "Learning Representations by Maximizing Mutual
    Information Across Views" (NeurIPS 2019), equation 2. Candidates of a global vector are the local features
    of all N clips at the same place.

    Args:
        local: of V >= 2 views (N, P, F', T_v'), of any norm.
        vectors: (V, N, P), of any norm.
        temperature: above 0; a scalar tensor has a gradient.

    Returns:
        The loss, scalar float32 (float64 for inputs in it); `ln(N)` for uninformative features. And the share of
        places where the own clip's local feature is the most similar one.

    Raises:
        ValueError: fewer than two views, fewer than two clips, or a temperature of 0 or less.
    """
    views, pairs, _ = vectors.shape
    if views < 2 or pairs < 2:
        raise ValueError(f"local_global takes at least two views of two clips, not {views} of {pairs}")
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    with torch.autocast(vectors.device.type, enabled=False):
        global_ = l2_normalise(vectors)  # (V, N, P)
        places = [l2_normalise(one.flatten(2).transpose(1, 2)) for one in local]  # V of (N, L_v, P)
        results = [
            info_nce_of_own(global_[other], place, temperature)
            for one, other in permutations(range(views), 2)
            for place in places[one].unbind(1)
        ]
    losses, accuracies = zip(*results, strict=True)
    return torch.stack(losses).mean(), torch.stack(accuracies).mean()
