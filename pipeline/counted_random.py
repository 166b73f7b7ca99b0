"""Counted randomness: what a step draws is a function of (seed, step, stream) and of nothing else.

No generator is ever saved: a killed run that goes on at step s draws what it would have drawn, and the
number of workers changes nothing.
"""

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


class Stream(IntEnum):
    """What a generator is for; two streams never share their numbers."""

    INITIAL_WEIGHTS = 0
    CLIP_ORDER = 1
    CROP_OFFSETS = 2
    AUGMENTATION = 3
    STATISTICS = 4
    FOLDS = 5
    BOOTSTRAP = 6


def numpy_generator(seed: int, step: int, stream: Stream) -> np.random.Generator:
    """The numpy generator of a stream at a step."""
    return np.random.default_rng([seed, step, stream])


def torch_generator(seed: int, step: int, stream: Stream, device: "torch.device") -> "torch.Generator":
    """The torch generator of a stream at a step, on a device."""
    import torch  # here, since the processes that fit probes have no use for it

    return torch.Generator(device).manual_seed(torch_seed(seed, step, stream))


def torch_seed(seed: int, step: int, stream: Stream) -> int:
    """A 63-bit seed for torch from the same counts."""
    return int(np.random.SeedSequence([seed, step, stream]).generate_state(1, np.uint64)[0] >> np.uint64(1))
