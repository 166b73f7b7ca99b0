"""MP3 compression: treble and weak tones removed, as by a recorder or a web site that saves space."""

from __future__ import annotations

import bisect
import math
import random
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from echopair.augment.strength import scale_between
from echopair.augment.waveform.augmentation import Transform, Waveform
from echopair.augment.waveform.packages import check_package
from echopair.augment.waveform.ranged import RangedConfig, within
from echopair.augment.waveform.wrapping import AtFullScale, Faded
from echopair.lazy import np

# The bit rates of MP3 at each sampling rate (MPEG-1, 2 and 2.5, layer III).
MPEG_1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
MPEG_2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
MPEG_2_5 = (8, 16, 24, 32, 40, 48, 56, 64)
BIT_RATES_KBPS = {
    **dict.fromkeys((32000, 44100, 48000), MPEG_1),
    **dict.fromkeys((16000, 22050, 24000), MPEG_2),
    **dict.fromkeys((8000, 11025, 12000), MPEG_2_5),
}
LOWEST_KBPS, HIGHEST_KBPS = 8, 320
# Length of an MPEG-1 frame, the longest. The encoder raises for less than some frames, and returns silence for
# the last half of a frame.
FRAME_SAMPLES = 1152
SHORTEST_SAMPLES = 4 * FRAME_SAMPLES


class Mp3CompressionConfig(RangedConfig, frozen=True, extra="forbid"):
    """Compressed to 16 to 64 kbit/s and back: at 16 kHz, 64 is hardly audible and 16 sounds watery.

    The strength lowers the bit rates on a logarithmic scale from the highest of MP3 at the rate of the crops
    down to the lowest; needs fast-mp3-augment.
    """

    name: Literal["mp3_compression"] = "mp3_compression"
    min_kbps: int = Field(
        16,
        ge=LOWEST_KBPS,
        le=HIGHEST_KBPS,
        description="lowest bit rate in kbit/s: the strongest compression",
    )
    max_kbps: int = Field(
        64,
        ge=LOWEST_KBPS,
        le=HIGHEST_KBPS,
        description="highest bit rate in kbit/s: the gentlest compression",
    )

    @model_validator(mode="after")
    def _package_is_installed(self) -> Self:
        check_package(self.name, "fast_mp3_augment", extra="mp3")
        return self

    def check(self, sample_rate_hz: int) -> None:
        """Raise for a sample rate that MP3 does not support.

        Raises:
            ValueError: names the supported rates.
        """
        kbps_range(self.min_kbps, self.max_kbps, 1.0, sample_rate_hz)

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' Mp3Compression."""
        from audiomentations import Mp3Compression

        low, high = kbps_range(self.min_kbps, self.max_kbps, strength, sample_rate_hz)
        transform = Mp3Compression(backend="fast-mp3-augment", preserve_delay=False, p=1.0)
        # Faded, as even the highest bit rate cuts the treble and leaves an error 20 dB below the crop.
        compression = AnyBitRate(transform, low, high, BIT_RATES_KBPS[sample_rate_hz])
        # At full scale, as the encoder turns a quiet recording into silence.
        return Faded(AtFullScale(compression), min(strength, 1.0))


def kbps_range(min_kbps: float, max_kbps: float, strength: float, sample_rate_hz: int) -> tuple[float, float]:
    """The range of bit rates at a strength, scaled down from the highest of MP3.

    Args:
        min_kbps: at strength 1.
        max_kbps: at strength 1.
        strength: above 0, at most 4.
        sample_rate_hz: of the crops.

    Returns:
        Lowest and highest, within the bit rates of MP3 at the rate of the crops.

    Raises:
        ValueError: MP3 does not support that sample rate.
    """
    known = BIT_RATES_KBPS.get(sample_rate_hz)
    if known is None:
        raise ValueError(
            f"mp3_compression does not support sample_rate_hz={sample_rate_hz}: "
            f"use one of {', '.join(str(rate) for rate in sorted(BIT_RATES_KBPS))}, or remove it from the policy"
        )
    low, high = (
        within(scale_between(known[-1], within(kbps, known[0], known[-1]), strength), known[0], known[-1])
        for kbps in (min_kbps, max_kbps)
    )
    return low, high


def nearest_kbps(kbps: float, known: tuple[int, ...]) -> int:
    """The nearest by ratio of the sorted `known` bit rates."""
    above = min(bisect.bisect_left(known, kbps), len(known) - 1)
    below = max(above - 1, 0)
    return known[below] if kbps / known[below] < known[above] / kbps else known[above]


class AnyBitRate:
    """Mp3Compression whose bit rate is drawn uniformly in octaves and rounded to the nearest of MP3.

    The library draws among the bit rates of all versions of MP3, of which no sampling rate has more than 14,
    and raises for a range without one. It also leaves the end of a crop silent.

    Args:
        transform: Mp3Compression that compensates its delay.
        min_kbps: lowest bit rate.
        max_kbps: highest bit rate.
        known: the bit rates to choose from, sorted.
    """

    def __init__(self, transform: Any, min_kbps: float, max_kbps: float, known: tuple[int, ...]) -> None:
        self._transform, self._known = transform, known
        self._octaves = (math.log2(min_kbps), math.log2(max_kbps))

    def __call__(self, samples: Waveform, sample_rate: int) -> Waveform:
        """One crop (L,) compressed at a freshly drawn bit rate."""
        self._transform.randomize_parameters(samples, sample_rate)
        self._transform.parameters["bitrate"] = nearest_kbps(2 ** random.uniform(*self._octaves), self._known)
        padding = max(SHORTEST_SAMPLES - len(samples), FRAME_SAMPLES)
        compressed: Waveform = self._transform.apply(np.pad(samples, (0, padding), "reflect"), sample_rate)
        return compressed[: len(samples)]

    def serialize_parameters(self) -> dict[str, Any]:
        """The parameters of the last call."""
        parameters: dict[str, Any] = self._transform.serialize_parameters()
        return parameters
