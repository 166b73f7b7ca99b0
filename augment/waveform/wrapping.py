"""Wrappers of transforms that several augmentations use."""

from __future__ import annotations

from typing import Any

from echopair.augment.waveform.augmentation import Transform, Waveform
from echopair.lazy import np


class Faded:
    """Mixes the result of a transform with its input.

    For transforms whose weakest setting still changes the sound: below strength 1 they fade out.

    Args:
        transform: the transform to fade.
        share: of the result, 0 to 1; the rest is the input.
    """

    def __init__(self, transform: Transform, share: float) -> None:
        self._transform, self.share = transform, share

    def __call__(self, samples: Waveform, sample_rate: int) -> Waveform:
        """One crop (L,) changed by freshly drawn parameters."""
        changed = self._transform(samples, sample_rate)
        if self.share == 1:
            return changed
        return samples + np.float32(self.share) * (changed - samples)

    def serialize_parameters(self) -> dict[str, Any]:
        """The parameters of the last call."""
        return self._transform.serialize_parameters()


class NonzeroOnly:
    """Applies a transform to the nonzero samples only.

    For transforms that take percentiles of the samples: in a crop that is half digital silence these would be
    percentiles of the silence, and the sound would be distorted far too much.

    Args:
        transform: changes each sample independently of the others.
    """

    def __init__(self, transform: Transform) -> None:
        self._transform = transform
        self._drawn: dict[str, Any] = {}

    def __call__(self, samples: Waveform, sample_rate: int) -> Waveform:
        """One crop (L,) changed by freshly drawn parameters; a silent one is returned unchanged, without a draw."""
        self._drawn = {}
        nonzero = samples != 0
        if not nonzero.any():
            return samples
        changed = np.zeros_like(samples)
        changed[nonzero] = self._transform(samples[nonzero], sample_rate)
        self._drawn = self._transform.serialize_parameters()
        return changed

    def serialize_parameters(self) -> dict[str, Any]:
        """The parameters of the last call; nothing for a silent crop."""
        return self._drawn


class AtFullScale:
    """Applies a transform to the crop scaled to a peak of 1, and undoes the scaling.

    For transforms that quantise or encode relative to full scale, which would turn quiet recordings, as most
    outdoor ones are, into silence.

    Args:
        transform: depends on the level.
    """

    def __init__(self, transform: Transform) -> None:
        self._transform = transform

    def __call__(self, samples: Waveform, sample_rate: int) -> Waveform:
        """One crop (L,) changed by freshly drawn parameters."""
        peak = np.abs(samples).max() or np.float32(1)  # a silent crop has none
        return self._transform(samples / peak, sample_rate) * peak

    def serialize_parameters(self) -> dict[str, Any]:
        """The parameters of the last call."""
        return self._transform.serialize_parameters()
