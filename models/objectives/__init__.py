"""Training losses on projections, chosen by name."""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from echopair.models.objectives.nt_xent import NTXentConfig, nt_xent

# One alternative so far; a second makes this a union discriminated by `name`.
ObjectiveConfig = NTXentConfig
Objective = Callable[[Tensor], Tensor]


def build_objective(config: ObjectiveConfig) -> Objective:
    """The loss that a config names: projections (V, N, P) -> scalar."""
    match config:
        case NTXentConfig():
            return partial(nt_xent, temperature=config.temperature)
