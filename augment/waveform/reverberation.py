"""Base class of augmentations that mix reverberation into the dry crop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from echopair.augment.strength import scale_limit
from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.ranged import RangedConfig
from echopair.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ReverberationConfig(RangedConfig, frozen=True, extra="forbid"):
    """A share of reverberated sound, the wet share; the rest is the unchanged, dry crop.

    The share is proportional to the strength.
    """

    min_wet_share: float = Field(0.1, ge=0, le=1, description="smallest share of the reverberated sound")
    max_wet_share: float = Field(0.5, ge=0, le=1, description="largest share of the reverberated sound")

    def wet_shares(self, strength: float) -> tuple[float, float]:
        """Smallest and largest wet share, 0 to 1, at a strength above 0."""
        return (
            scale_limit(self.min_wet_share, strength, highest=1.0),
            scale_limit(self.max_wet_share, strength, highest=1.0),
        )


def mix_reverberation(
    dry: Waveform, reverberated: Waveform, response: NDArray[np.floating], wet_share: float
) -> Waveform:
    """Mix a crop with its reverberation, aligned in time and of the crop's power.

    The response's strongest peak counts as the direct sound: it is neither delayed nor inverted, so that dry
    and wet do not cancel.

    Args:
        dry: (L,), the crop.
        reverberated: (L + M - 1,), the crop convolved with the response, at any level.
        response: (M,), the impulse response, at any level.
        wet_share: 0 to 1.

    Returns:
        (L,) float32, of the power of `dry`; `dry` itself where dry or wet is silent.
    """
    direct = int(np.abs(response).argmax())
    wet = reverberated[direct : direct + len(dry)]  # (L,)
    dry_size, wet_size = np.linalg.norm(dry), np.linalg.norm(wet)
    if dry_size == 0 or wet_size == 0:
        return dry
    gain = np.sign(response[direct]) * dry_size / wet_size
    mixed = (1 - wet_share) * dry + (wet_share * gain) * wet
    mixed_size = np.linalg.norm(mixed)
    if mixed_size == 0:
        return dry
    louder: Waveform = (mixed * (dry_size / mixed_size)).astype(np.float32)
    return louder
