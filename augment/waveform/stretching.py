"""Wrapper of pitch shift and time stretch, so that a crop has sound up to its end."""

from __future__ import annotations

import math
from typing import Any

from echopair.augment.waveform.augmentation import Waveform
from echopair.lazy import np

# Half of a block of Signalsmith, over which its output fades out. It hardly fades in.
MARGIN_SECONDS = 0.06


class PaddedStretch:
    """Applies a pitch shift or time stretch of audiomentations to a crop that is extended by reflection.

    Alone, Signalsmith fades out the last 0.06 s, and a crop played faster ends in silence, from which an
    encoder could infer the rate. Of a crop played slower, what would end beyond the crop is not computed.

    Args:
        stretch: PitchShift, or TimeStretch that does not keep the length; with method "signalsmith_stretch".
    """

    def __init__(self, stretch: Any) -> None:
        self._stretch = stretch
        # Frozen, it does not draw again in its own call: the padding depends on the rate.
        stretch.freeze_parameters()

    def __call__(self, samples: Waveform, sample_rate: int) -> Waveform:
        """One crop (L,), stretched by freshly drawn parameters."""
        self._stretch.randomize_parameters(samples, sample_rate)
        rate = self._stretch.parameters.get("rate", 1.0)
        length = len(samples)
        needed = math.ceil((length + MARGIN_SECONDS * sample_rate) * rate)
        extended = np.pad(samples, (0, max(needed - length, 0)), mode="reflect")[:needed]
        stretched: Waveform = self._stretch(extended, sample_rate)
        return stretched[:length]

    def serialize_parameters(self) -> dict[str, Any]:
        """The parameters of the last call."""
        return dict(self._stretch.parameters)
