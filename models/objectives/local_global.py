"""Local Deep InfoMax: the local features of one view against the global vector of another."""

from __future__ import annotations

import math
from itertools import permutations
from typing import TYPE_CHECKING

from echopair.lazy import torch

if TYPE_CHECKING:
    from collections.abc import Sequence


def local_global(
    local: Sequence[torch.Tensor], vectors: torch.Tensor, temperature: float
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
        temperature: above 0.

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
    functional = torch.nn.functional
    with torch.autocast(vectors.device.type, enabled=False):
        dtype = torch.promote_types(vectors.dtype, torch.float32)
        globals_ = functional.normalize(vectors.to(dtype), dim=2)  # (V, N, P)
        locals_ = [functional.normalize(one.to(dtype).flatten(2), dim=1) for one in local]  # (N, P, L_v)
        own = torch.arange(pairs, device=vectors.device)
        losses, hits = [], []
        for one, other in permutations(range(views), 2):
            logits = torch.einsum("np,mpl->lnm", globals_[other], locals_[one]) / temperature  # (L, N, N)
            targets = own.expand(len(logits), pairs).flatten()
            losses.append(functional.cross_entropy(logits.flatten(0, 1), targets))
            hits.append((logits.detach().argmax(2) == own).float().mean())
        return torch.stack(losses).mean(), torch.stack(hits).mean()


def chance_level(pairs: int) -> float:
    """Loss when all similarities are equal: ln(N) for N clips."""
    return math.log(pairs)
