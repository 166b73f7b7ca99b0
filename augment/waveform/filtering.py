"""Base class of the filters' configs, frequency limits of a sample rate, and filters with two edges."""

from collections.abc import Callable
from typing import Any

from pydantic import Field

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.ranged import RangedConfig, within

# Shares of the sample rate. A Butterworth filter cannot have an edge at half the sample rate; a centre stays
# further below, so that the band's upper edge fits above it.
HIGHEST_EDGE_SHARE = 0.499
HIGHEST_CENTER_SHARE = 0.45
# Below the audible range and the lowest mel band: a filter with an edge here removes rumble only.
NEUTRAL_LOW_HZ = 20.0

MoveEdges = Callable[[float, float, float], tuple[float, float]]


class FilterConfig(RangedConfig, frozen=True, extra="forbid"):
    """The slope of a Butterworth filter, drawn among the multiples of 6 dB per octave.

    The default 12 to 24 is audiomentations': 12 is gentle, as of distance or a wall; 24 is that of a loudspeaker.
    """

    min_slope_db_per_octave: int = Field(12, ge=6, le=48, multiple_of=6, description="gentlest slope")
    max_slope_db_per_octave: int = Field(24, ge=6, le=48, multiple_of=6, description="steepest slope")


class BandFilter:
    """A band-pass or band-stop filter of audiomentations whose edges are moved after the draw.

    audiomentations draws a centre and a width; it cannot scale a band from the whole spectrum, and fails on an
    edge at half the sample rate.

    Args:
        band: BandPassFilter or BandStopFilter.
        move_edges: the edges to use, in Hz, from those drawn and their centre (low, center, high);
            None leaves them as drawn.
    """

    def __init__(self, band: Any, move_edges: MoveEdges | None = None) -> None:
        self._band = band
        self._move_edges = move_edges
        # Frozen, it uses the parameters that are set below instead of drawing again in its own call.
        band.freeze_parameters()

    def __call__(self, samples: Waveform, sample_rate: int) -> Waveform:
        """One crop (L,), filtered."""
        self._band.randomize_parameters(samples, sample_rate)
        drawn = self._band.parameters
        center, half_width = drawn["center_freq"], drawn["bandwidth"] / 2
        low, high = center - half_width, center + half_width
        if self._move_edges is not None:
            low, high = self._move_edges(low, center, high)
        high = min(high, HIGHEST_EDGE_SHARE * sample_rate)
        drawn["center_freq"], drawn["bandwidth"] = (low + high) / 2, high - low
        filtered: Waveform = self._band(samples, sample_rate)
        return filtered

    def serialize_parameters(self) -> dict[str, Any]:
        """The parameters of the last call, with the centre and the width that were used."""
        return dict(self._band.parameters)


def center_within(center_hz: float, sample_rate_hz: int) -> float:
    """Clip the centre of a band to 0.45 of the sample rate."""
    return within(center_hz, 0, HIGHEST_CENTER_SHARE * sample_rate_hz)
