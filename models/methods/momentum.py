"""Momentum copy: an exponential moving average of modules, which gives keys or targets and no gradient."""

from __future__ import annotations

import math
from copy import deepcopy

from echopair.lazy import torch
from echopair.models.processes import gather


def momentum_copy(*modules: torch.nn.Module) -> torch.nn.Sequential:
    """A copy of modules, one after the other, that the optimiser leaves alone.

    Its batch normalisation normalises by the batch, in train mode like the original's, as in the papers' own code.
    So its running statistics decide nothing: they are neither averaged nor copied, and are those of its own batches.

    Args:
        modules: with their initial weights; not changed.
    """
    return torch.nn.Sequential(*map(deepcopy, modules)).requires_grad_(False)


def copied_projections(copy: torch.nn.Sequential, view: torch.Tensor) -> torch.Tensor:
    """What a copy of an encoder and what follows it makes of a view (n, 1, F, T), of all processes: (N, P).

    Without a gradient.
    """
    with torch.no_grad():
        projections: torch.Tensor = copy[1:](gather(copy[0](view)))
        return projections


def update_average(copy: torch.nn.Module, modules: list[torch.nn.Module], momentum: float) -> None:
    """Update the exponential moving average of the originals' parameters.

    Args:
        copy: made by `momentum_copy`; each parameter becomes momentum * its own + (1 - momentum) * the original's.
        modules: the originals, in the order of the copy.
        momentum: 0 (equal to the originals) to 1 (stays as it is).

    Source: He et al., Momentum Contrast for Unsupervised Visual Representation Learning, CVPR 2020, equation 2.
    """
    originals = [parameter for module in modules for parameter in module.parameters()]
    with torch.no_grad():
        for own, original in zip(copy.parameters(), originals, strict=True):
            own.lerp_(original, 1 - momentum)


def rising_momentum(first: float, step: int, steps: int) -> float:
    """A momentum that rises from `first` to 1 along half a cosine.

    Args:
        first: at step 0, 0 to 1.
        step: from 0 to steps - 1.
        steps: of the whole training.

    Source: Grill et al., Bootstrap Your Own Latent, NeurIPS 2020, section 3.3 (implementation details).
    """
    return 1 - (1 - first) * (math.cos(math.pi * step / steps) + 1) / 2
