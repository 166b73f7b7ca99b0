"""Transforms around a transform of audiomentations, for what several of them need."""

from __future__ import annotations

from typing import Any

from echopair.augment.waveform.augmentation import Transform, Waveform
from echopair.lazy import np


class Faded:
    """Mixes the result of a transform with its input.

    For transforms whose gentlest setting still changes the sound: below strength 1 they fade out.

    Args:
        transform: what is faded.
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
        """What was drawn last."""
        return self._transform.serialize_parameters()


class SoundingOnly:
    """Shows a transform only the samples that are not 0.

    For transforms that take percentiles of the samples: in a crop that is half digital silence they would be
    those of the silence, and what little sounds would be crushed. It stays where it is; silence stays silence.

    Args:
        transform: changes each sample by itself, never a 0.
    """

    def __init__(self, transform: Transform) -> None:
        self._transform = transform
        self._drawn: dict[str, Any] = {}

    def __call__(self, samples: Waveform, sample_rate: int) -> Waveform:
        """One crop (L,) changed by freshly drawn parameters; a silent one as it is, nothing drawn."""
        self._drawn = {}
        sounding = samples != 0
        if not sounding.any():
            return samples
        changed = np.zeros_like(samples)
        changed[sounding] = self._transform(samples[sounding], sample_rate)
        self._drawn = self._transform.serialize_parameters()
        return changed

    def serialize_parameters(self) -> dict[str, Any]:
        """What was drawn last; nothing for a silent crop."""
        return self._drawn


class AtFullScale:
    """Shows a transform the crop with its peak at 1, and takes the gain back.

    For transforms that round, or code, relative to full scale: a quiet recording, as most are out of doors, would
    become silence.

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
        """What was drawn last."""
        return self._transform.serialize_parameters()
