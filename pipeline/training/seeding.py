"""Seeding: what a step draws is a function of (seed, step, stream) and of nothing else.

No generator is ever saved: a killed run that continues at step s draws what it would have drawn, and the
number of workers changes nothing.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from echopair.lazy import np, torch

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Stream(IntEnum):
    """What a generator is for; two streams never share their numbers."""

    INITIAL_WEIGHTS = 0
    CLIP_ORDER = 1
    CROP_OFFSETS = 2
    AUGMENTATION = 3
    STATISTICS = 4
    FOLDS = 5
    BOOTSTRAP = 6
    CHOICE_OF_AUGMENTATIONS = 7
    WAVEFORM_AUGMENTATION = 8
    PREVIEW = 9
    METHOD = 10
    FINE_TUNING = 11
    CORRUPTION = 12
    LABELLED_SOURCES = 13
    LABEL_NOISE = 14
    PAIRS = 15


def numpy_generator(seed: int, step: int, stream: Stream) -> np.random.Generator:
    """The numpy generator of a stream at a step."""
    return np.random.default_rng([seed, step, stream])


def torch_generator(
    seed: int, step: int, stream: Stream, device: torch.device, view: int = 0
) -> torch.Generator:
    """The torch generator of a stream at a step, one for each view, on a device."""
    return torch.Generator(device).manual_seed(torch_seed(seed, step, stream, view))


def torch_seed(seed: int, step: int, stream: Stream, view: int = 0) -> int:
    """A 63-bit seed for torch from the same counts."""
    state = np.random.SeedSequence([seed, step, stream, view]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def view_seeds(seed: int, step: int, stream: Stream, shape: tuple[int, ...]) -> NDArray[np.uint32]:
    """32-bit seeds for libraries that take nothing else, such as one for each view and augmentation."""
    return numpy_generator(seed, step, stream).integers(0, 2**32, shape, dtype=np.uint32)
