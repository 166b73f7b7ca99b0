"""What pitch shift and time stretch have in common: sound to the end of the crop."""

from __future__ import annotations

import math
from typing import Any

from echopair.augment.waveform.augmentation import Waveform
from echopair.lazy import np

# Half of a block of Signalsmith's: for so long its output fades out. It hardly fades in.
MARGIN_SECONDS = 0.06


class PaddedStretch:
    """A pitch shift or time stretch of audiomentations on a crop that goes on, reflected, beyond its end.

    Left alone, Signalsmith fades out the last 0.06 s, and a crop played faster ends in silence, from which an
    encoder could read the rate. What is slowed down beyond the end of the crop is not computed at all.

    Args:
        stretch: PitchShift, or TimeStretch that does not keep the length; with method "signalsmith_stretch".
    """

    def __init__(self, stretch: Any) -> None:
        self._stretch = stretch
        # Frozen, it does not draw again when it is called: the padding depends on the rate.
        stretch.freeze_parameters()

    def __call__(self, samples: Waveform, sample_rate: int) -> Waveform:
        """One crop (L,), stretched from its first sample on."""
        self._stretch.randomize_parameters(samples, sample_rate)
        rate = self._stretch.parameters.get("rate", 1.0)
        length = len(samples)
        needed = math.ceil((length + MARGIN_SECONDS * sample_rate) * rate)
        lasting = np.pad(samples, (0, max(needed - length, 0)), mode="reflect")[:needed]
        stretched: Waveform = self._stretch(lasting, sample_rate)
        return stretched[:length]

    def serialize_parameters(self) -> dict[str, Any]:
        """What was drawn last."""
        return dict(self._stretch.parameters)
