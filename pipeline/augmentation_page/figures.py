"""Images of the page: log-mels as PNG, made without matplotlib's figures for speed; spectra as points of a line."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from echopair.augment.spectrogram.augmentation import LOG_POWER_PER_DECIBEL
from echopair.augment.waveform.augmentation import Waveform
from echopair.models.log_mel import LogMel
from echopair.pipeline.augmentation_page.wording import quantity
from echopair.pipeline.figures import TICKS_HZ

# The page shows an image some 180 px wide; more pixels would only make the file larger.
MOST_COLUMNS = 192
MOST_ROWS = 96
# Digital silence is 90 dB below full scale: a scale down to it would leave few colours to the sound.
DEEPEST_DB = 72.0
# A view may be this much louder than its crop before its colours saturate.
HEADROOM_DB = 3.0
# The range of a steady noise is small: colours over it alone would exaggerate every fluctuation.
LEAST_RANGE_DB = 42.0
DIFFERENCE_DB = 6.0

SPECTRUM_WINDOW = 2048
BANDS_PER_OCTAVE = 6
LOWEST_SPECTRUM_HZ = 50.0


class ColourScale(NamedTuple):
    """Log-mel values of the first and the last colour, natural logarithm of power."""

    lowest: float
    highest: float


def colour_scale(log_mel: NDArray[np.floating]) -> ColourScale:
    """The colour scale of all images of a clip, from its unchanged crop.

    Args:
        log_mel: (F, T) of the crop.
    """
    highest = float(log_mel.max()) + HEADROOM_DB * LOG_POWER_PER_DECIBEL
    lowest = max(float(np.percentile(log_mel, 1)), highest - DEEPEST_DB * LOG_POWER_PER_DECIBEL)
    return ColourScale(min(lowest, highest - LEAST_RANGE_DB * LOG_POWER_PER_DECIBEL), highest)


def log_mel_png(log_mel: NDArray[np.floating], scale: ColourScale) -> bytes:
    """A log-mel as PNG, one pixel per bin unless there are more than 192 frames or 96 bands; low at the bottom.

    Args:
        log_mel: (F, T).
        scale: values beyond it get the first or last colour.
    """
    return _png(log_mel, scale, "magma")


def difference_png(difference_db: NDArray[np.floating]) -> bytes:
    """A change as PNG: blue for softer, red for louder, full colour at `DIFFERENCE_DB`.

    Args:
        difference_db: (F, T).
    """
    return _png(difference_db, ColourScale(-DIFFERENCE_DB, DIFFERENCE_DB), "RdBu_r")


def _png(log_mel: NDArray[np.floating], scale: ColourScale, colours: str) -> bytes:
    from matplotlib import colormaps
    from PIL import Image

    values = _coarser(_coarser(np.asarray(log_mel, np.float64), MOST_ROWS).T, MOST_COLUMNS).T
    shares = (values - scale.lowest) / (scale.highest - scale.lowest)
    pixels = np.clip(np.rint(255 * shares), 0, 255).astype(np.uint8)[::-1]
    image = Image.fromarray(np.ascontiguousarray(pixels), mode="L")
    image.putpalette(colormaps[colours](np.arange(256), bytes=True)[:, :3].tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def _coarser(values: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Means of neighbouring rows, at most `most` of them."""
    factor = math.ceil(len(values) / most)
    starts = np.arange(0, len(values), factor)
    counts = np.diff(np.append(starts, len(values)))
    return np.asarray(np.add.reduceat(values, starts) / counts[:, None])


@dataclass(frozen=True)
class Tick:
    """A tick of an axis: its position in percent of the axis, and its label."""

    percent: float
    label: str


def frequency_ticks(log_mel: LogMel) -> list[Tick]:
    """Ticks in Hz along the bands, from the bottom, far enough apart for their labels."""
    centres = log_mel.band_centres_hz
    ticks: list[Tick] = []
    for hz in TICKS_HZ:
        if centres[0] <= hz <= centres[-1]:
            percent = 100 * (float(np.interp(hz, centres, np.arange(len(centres)))) + 0.5) / len(centres)
            if not ticks or percent - ticks[-1].percent > 13:
                ticks.append(Tick(round(percent, 2), _hertz(hz)))
    return ticks


def _hertz(hz: int) -> str:
    return f"{hz // 1000}k" if hz >= 1000 else str(hz)


def long_term_spectrum(waveform: Waveform, sample_rate_hz: int) -> tuple[NDArray[np.float64], ...]:
    """Mean power density over a whole crop in bands of a sixth of an octave.

    Args:
        waveform: (L,).
        sample_rate_hz: of the waveform.

    Returns:
        Centres in Hz and levels in dB, both (P,); a full-scale sine in the middle of a bin has 0 dB there.
    """
    window = np.hanning(SPECTRUM_WINDOW + 1)[:-1]
    hop = SPECTRUM_WINDOW // 2
    steps = max(1, math.ceil((len(waveform) - SPECTRUM_WINDOW) / hop) + 1)
    padded = np.zeros(SPECTRUM_WINDOW + (steps - 1) * hop)
    padded[: len(waveform)] = waveform
    frames = np.lib.stride_tricks.sliding_window_view(padded, SPECTRUM_WINDOW)[::hop]
    power = (np.abs(np.fft.rfft(frames * window)) ** 2).mean(axis=0) / (window.sum() / 2) ** 2
    octaves = math.log2(sample_rate_hz / 2 / LOWEST_SPECTRUM_HZ)
    edges = LOWEST_SPECTRUM_HZ * 2 ** (np.arange(int(octaves * BANDS_PER_OCTAVE) + 1) / BANDS_PER_OCTAVE)
    centres = np.sqrt(edges[1:] * edges[:-1])
    bin_hz = sample_rate_hz / SPECTRUM_WINDOW
    # Low bands are narrower than a bin: each has at least the one that holds its centre.
    firsts = np.minimum(np.ceil(edges[:-1] / bin_hz), np.rint(centres / bin_hz)).astype(int)
    lasts = np.maximum(np.floor(edges[1:] / bin_hz), np.rint(centres / bin_hz)).astype(int)
    sums = np.append(0, np.cumsum(power))
    levels = (sums[lasts + 1] - sums[firsts]) / (lasts + 1 - firsts)
    return centres, 10 * np.log10(levels + 1e-12)


class SpectrumChart:
    """Axes on which spectra of one clip are drawn, the same for every augmentation.

    Args:
        waveform: (L,) of the crop as it is.
        sample_rate_hz: of the waveform.
    """

    width, height = 100.0, 62.0

    def __init__(self, waveform: Waveform, sample_rate_hz: int) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.centres_hz, levels_db = long_term_spectrum(waveform, sample_rate_hz)
        highest = 10 * math.ceil((levels_db.max() + 6) / 10)
        lowest = 10 * math.floor((max(float(np.percentile(levels_db, 5)), highest - 80.0) - 6) / 10)
        self.lowest_db, self.highest_db = lowest, highest
        self.original = self.points(waveform)
        self.hz_ticks = [
            Tick(round(float(self._percent(np.array(float(hz)))), 2), _hertz(hz))
            for hz in (100, 1000, 10000)
            if hz < self.centres_hz[-1]
        ]
        step = 20 if highest - lowest <= 80 else 40
        self.db_ticks = [
            Tick(round(100 * (db - lowest) / (highest - lowest), 2), quantity(db))
            for db in range(step * math.ceil(lowest / step), highest + 1, step)
        ]

    def _percent(self, hz: NDArray[np.float64]) -> NDArray[np.float64]:
        first, last = self.centres_hz[0], self.centres_hz[-1]
        return np.asarray(100 * np.log(hz / first) / math.log(last / first))

    def points(self, waveform: Waveform) -> str:
        """The spectrum of a waveform as points of an SVG line, from the upper left corner."""
        _, levels_db = long_term_spectrum(waveform, self.sample_rate_hz)
        x = self._percent(self.centres_hz) * self.width / 100
        y = self.height * (self.highest_db - levels_db) / (self.highest_db - self.lowest_db)
        # What lies far outside the picture needs no exact place.
        y = np.clip(y, -self.height, 2 * self.height)
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))


def colour_strip() -> Sequence[str]:
    """The colours of the log-mels from the lowest to the highest, for a legend."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps["magma"](share)) for share in np.linspace(0, 1, 9)]
