"""The built-in corpus: recordings of sound events, each generated from a seed with its own channel and background.

An event (see `sound_events`) passes through a random channel, and gets a background that changes during the clip
and a random level. Only numpy and soundfile are used, so that worker processes start at once.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from echopair.pipeline.corpora.sound_events import EVENTS, Signal

KINDS: tuple[str, ...] = tuple(EVENTS)

LOWEST_PEAK_DBFS = -20.0
HIGHEST_PEAK_DBFS = -1.0
CHANNEL_TILT_DB_PER_OCTAVE = 4.0


def clip_generator(corpus_seed: int, kind: str, index: int) -> np.random.Generator:
    """The generator of clip `index` of a kind: a pure function of its three arguments.

    Args:
        corpus_seed: seed of the whole corpus, >= 0.
        kind: one of `KINDS`.
        index: number of the clip within its kind, >= 0.
    """
    return np.random.default_rng([corpus_seed, _position(kind), index])


def fold_of_clip(index: int, n_folds: int = 5) -> int:
    """Fold of clip `index` of any kind, 0 to `n_folds` - 1: every fold has the same number of clips of each kind."""
    return index % n_folds


def synthesise(
    kind: str, generator: np.random.Generator, *, sample_rate_hz: int, seconds: float, snr_db: float
) -> NDArray[np.float32]:
    """One clip of a kind of sound event with background noise, through a random channel, at a random level.

    Args:
        kind: one of `KINDS`.
        generator: source of everything that varies; the same state gives the same clip.
        sample_rate_hz: at least 8000, so that the events' pitches fit.
        seconds: length of the clip, at least 0.5.
        snr_db: power of the event over that of the background, both averaged over the clip; -10 to 60.

    Returns:
        Mono waveform, shape (round(seconds * sample_rate_hz),), peak between -20 and -1 dBFS.

    Raises:
        ValueError: a kind that is not in `KINDS`, or a number out of its range.
    """
    position = _position(kind)
    for name, value, lowest, highest in (
        ("sample_rate_hz", sample_rate_hz, 8000, 192_000),
        ("seconds", seconds, 0.5, 600),
        ("snr_db", snr_db, -10, 60),
    ):
        if not lowest <= value <= highest:
            raise ValueError(f"{name} is {value}; choose a number from {lowest} to {highest}")
    count = round(seconds * sample_rate_hz)
    event = EVENTS[KINDS[position]](generator, count, sample_rate_hz)
    event = _through_channel(generator, event, sample_rate_hz)
    background = _drifting_background(generator, count, sample_rate_hz)
    event_rms, background_rms = np.sqrt(np.mean(event**2)), np.sqrt(np.mean(background**2))
    clip = event / event_rms + background / background_rms * 10 ** (-snr_db / 20)
    peak_dbfs = generator.uniform(LOWEST_PEAK_DBFS, HIGHEST_PEAK_DBFS)
    clip *= 10 ** (peak_dbfs / 20) / np.max(np.abs(clip))
    return np.asarray(clip, dtype=np.float32)


def synthesise_clip(
    corpus_seed: int,
    kind: str,
    index: int,
    *,
    sample_rate_hz: int = 16_000,
    seconds_range: tuple[float, float] = (2.0, 3.0),
    snr_db_range: tuple[float, float] = (0.0, 20.0),
) -> NDArray[np.float32]:
    """Clip `index` of a kind in the corpus of a seed: a pure function of its arguments.

    Args:
        corpus_seed: seed of the whole corpus, >= 0.
        kind: one of `KINDS`.
        index: number of the clip within its kind, >= 0.
        sample_rate_hz: at least 8000.
        seconds_range: shortest and longest clip, within 0.5 to 600.
        snr_db_range: noisiest and cleanest clip, within -10 to 60.

    Returns:
        Mono waveform, shape (samples,), as from `synthesise`.
    """
    generator = clip_generator(corpus_seed, kind, index)
    seconds = float(generator.uniform(*seconds_range))
    snr_db = float(generator.uniform(*snr_db_range))
    return synthesise(kind, generator, sample_rate_hz=sample_rate_hz, seconds=seconds, snr_db=snr_db)


def write_recording(path: Path, waveform: NDArray[np.float32], sample_rate_hz: int) -> None:
    """Writes a mono waveform, shape (samples,), values within -1 to 1, as a 16-bit WAV file."""
    soundfile.write(path, waveform, sample_rate_hz, subtype="PCM_16", format="WAV")


def _position(kind: str) -> int:
    if kind not in EVENTS:
        raise ValueError(f"{kind!r} is not a kind of sound event; choose one of {', '.join(KINDS)}")
    return KINDS.index(kind)


def _coloured(signal: Signal, tilt_db_per_octave: float, sample_rate_hz: int) -> Signal:
    """The signal with its spectrum tilted around 1 kHz, and level below 60 Hz."""
    # A composite length: the transform of a prime one takes many times as long.
    padded = -(-len(signal) // 1024) * 1024
    octaves = np.log2(np.maximum(np.fft.rfftfreq(padded, 1 / sample_rate_hz), 60.0) / 1000.0)
    shape = 10 ** (tilt_db_per_octave * octaves / 20)
    return np.fft.irfft(np.fft.rfft(signal, padded) * shape, padded)[: len(signal)]


def _through_channel(generator: np.random.Generator, event: Signal, sample_rate_hz: int) -> Signal:
    tilt = generator.uniform(-CHANNEL_TILT_DB_PER_OCTAVE, CHANNEL_TILT_DB_PER_OCTAVE)
    return _coloured(event, tilt, sample_rate_hz)


def _drifting_background(generator: np.random.Generator, count: int, sample_rate_hz: int) -> Signal:
    """Noise between white and brown whose colour and level change from the first sample to the last.

    By a constant background two crops of a clip could be matched without the event.
    """
    share = np.linspace(0, 1, count)
    if generator.uniform() < 0.5:
        share = share[::-1]
    background = np.zeros(count)
    for fade in (np.sqrt(share), np.sqrt(1 - share)):
        noise = _coloured(generator.normal(size=count), generator.uniform(-6, 0), sample_rate_hz)
        background += fade * generator.uniform(0.5, 1.0) * noise / np.std(noise)
    return background
