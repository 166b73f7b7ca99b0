"""Twelve kinds of sound event that differ in their time structure, not in their spectrum.

Every kind draws its pitch and its timbre from wide ranges that the kinds share, so that a long-term spectrum
says little about the kind. Kinds differ within one second by the rhythm of onsets, the
rate and depth of modulation, the direction of a sweep, the way a sound decays.

Every function takes a generator, the number of samples and the sample rate, and returns a waveform of shape
(count,) at no particular level.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float64]
EventGenerator = Callable[[np.random.Generator, int, int], Signal]

LOWEST_PITCH_HZ = 350.0
HIGHEST_PITCH_HZ = 2400.0
# With a varying pitch two crops of one clip cannot be matched by pitch alone.
PITCH_WANDER_OCTAVES = 0.35


def _pitch(generator: np.random.Generator) -> float:
    return float(LOWEST_PITCH_HZ * (HIGHEST_PITCH_HZ / LOWEST_PITCH_HZ) ** generator.uniform())


def _wandering_pitch(generator: np.random.Generator, count: int, n_knots: int) -> Signal:
    """Pitch in octaves around the clip's own one, shape (count,): a smooth walk through random knots."""
    knots = generator.uniform(-PITCH_WANDER_OCTAVES, PITCH_WANDER_OCTAVES, size=n_knots)
    return np.interp(np.linspace(0, n_knots - 1, count), np.arange(n_knots), knots)


def _tone(
    generator: np.random.Generator, frequency_hz: Signal, sample_rate_hz: int, *, brightness: float
) -> Signal:
    """Sum of the first five harmonics of a moving pitch; harmonics beyond the band fade out, none aliases."""
    phase = 2 * np.pi * np.cumsum(frequency_hz) / sample_rate_hz + generator.uniform(0, 2 * np.pi)
    tone = np.zeros_like(frequency_hz)
    for harmonic in range(1, 6):
        headroom = np.clip(8 * (0.45 - harmonic * frequency_hz / sample_rate_hz), 0, 1)
        tone += brightness ** (harmonic - 1) * headroom * np.sin(harmonic * phase)
    return tone


def _ramped(count: int, ramp_fraction: float) -> Signal:
    """Envelope of ones, shape (count,), with raised-cosine ramps over `ramp_fraction` of it at either end."""
    distance_to_end = np.minimum(np.arange(count), np.arange(count)[::-1]) + 0.5
    ramp = np.clip(distance_to_end / max(1.0, ramp_fraction * count), 0, 1)
    return 0.5 - 0.5 * np.cos(np.pi * ramp)


def _add(signal: Signal, event: Signal, start: int) -> None:
    """Adds an event in place, cut at both ends of the signal."""
    first, last = max(0, start), min(len(signal), start + len(event))
    if first < last:
        signal[first:last] += event[first - start : last - start]


def _regular_onsets(
    generator: np.random.Generator, duration_seconds: float, *, rate_hz: float, jitter: float
) -> Signal:
    """Onsets in seconds at a steady rate; each interval is off by `jitter`, as a fraction of it."""
    count = int(duration_seconds * rate_hz * 1.5) + 3
    intervals = np.clip(generator.normal(1.0, jitter, size=count), 0.5, 1.5) / rate_hz
    onsets: Signal = np.cumsum(intervals) - generator.uniform(0, 1) / rate_hz - intervals[0]
    return onsets


def _sweeping_whistle(
    generator: np.random.Generator, count: int, sample_rate_hz: int, *, direction: int
) -> Signal:
    """Repeated glides of one direction: rising and falling share every other property."""
    signal = np.zeros(count)
    pitch_hz, brightness = _pitch(generator), generator.uniform(0.1, 0.6)
    syllable_seconds, sweep_octaves = generator.uniform(0.18, 0.4), generator.uniform(0.4, 1.0)
    gap_seconds = generator.uniform(0.03, 0.25)
    start = -generator.uniform(0, syllable_seconds)
    while start * sample_rate_hz < count:
        length = int(syllable_seconds * generator.uniform(0.85, 1.15) * sample_rate_hz)
        wander = generator.uniform(-PITCH_WANDER_OCTAVES, PITCH_WANDER_OCTAVES)
        octaves = wander + direction * sweep_octaves * np.linspace(-0.5, 0.5, length)
        tone = _tone(generator, pitch_hz * 2.0**octaves, sample_rate_hz, brightness=brightness)
        _add(signal, tone * _ramped(length, 0.25), int(start * sample_rate_hz))
        start += length / sample_rate_hz + gap_seconds * generator.uniform(0.8, 1.2)
    return signal


def whistle_rising(generator: np.random.Generator, count: int, sample_rate_hz: int) -> Signal:
    """Glides upwards, 0.4 to 1 octave each, with short pauses."""
    return _sweeping_whistle(generator, count, sample_rate_hz, direction=1)


def whistle_falling(generator: np.random.Generator, count: int, sample_rate_hz: int) -> Signal:
    """Glides downwards: the mirror in time of `whistle_rising`."""
    return _sweeping_whistle(generator, count, sample_rate_hz, direction=-1)


def _swinging_tone(
    generator: np.random.Generator, count: int, sample_rate_hz: int, *, rate_hz: float, depth_octaves: float
) -> Signal:
    """One voice whose pitch swings up and down around a slowly wandering centre."""
    time = np.arange(count) / sample_rate_hz
    swing = 0.5 * depth_octaves * np.sin(2 * np.pi * rate_hz * time + generator.uniform(0, 2 * np.pi))
    octaves = swing + _wandering_pitch(generator, count, 4)
    frequency_hz = _pitch(generator) * 2.0**octaves
    return _tone(generator, frequency_hz, sample_rate_hz, brightness=generator.uniform(0.1, 0.6))


def siren(generator: np.random.Generator, count: int, sample_rate_hz: int) -> Signal:
    """A voice that swings slowly, 1.2 to 2.6 times a second."""
    rate_hz, depth_octaves = generator.uniform(1.2, 2.6), generator.uniform(0.4, 1.0)
    return _swinging_tone(generator, count, sample_rate_hz, rate_hz=rate_hz, depth_octaves=depth_octaves)


def warble(generator: np.random.Generator, count: int, sample_rate_hz: int) -> Signal:
    """A voice that swings fast, 5 to 9 times a second."""
    rate_hz, depth_octaves = generator.uniform(5, 9), generator.uniform(0.25, 0.8)
    return _swinging_tone(generator, count, sample_rate_hz, rate_hz=rate_hz, depth_octaves=depth_octaves)


def cricket_trill(generator: np.random.Generator, count: int, sample_rate_hz: int) -> Signal:
    """A held tone whose loudness trembles 7 to 14 times a second."""
    time = np.arange(count) / sample_rate_hz
    rate_hz, depth = generator.uniform(7, 14), generator.uniform(0.85, 1.0)
    tremble = 1 - depth * (0.5 + 0.5 * np.cos(2 * np.pi * rate_hz * time + generator.uniform(0, 2 * np.pi)))
    frequency_hz = _pitch(generator) * 2.0 ** _wandering_pitch(generator, count, 4)
    return tremble * _tone(generator, frequency_hz, sample_rate_hz, brightness=generator.uniform(0.1, 0.6))


def alarm_beep(generator: np.random.Generator, count: int, sample_rate_hz: int) -> Signal:
    """Level tones switched on and off 2 to 4.5 times a second; each beep is pitched near the clip's."""
    signal = np.zeros(count)
    pitch_hz, brightness = _pitch(generator), generator.uniform(0.1, 0.6)
    rate_hz, duty = generator.uniform(2, 4.5), generator.uniform(0.45, 0.85)
    for onset in _regular_onsets(generator, count / sample_rate_hz, rate_hz=rate_hz, jitter=0.02):
        length = int(duty / rate_hz * sample_rate_hz)
        wander = generator.uniform(-PITCH_WANDER_OCTAVES, PITCH_WANDER_OCTAVES)
        frequency_hz = np.full(length, pitch_hz * 2.0**wander)
        tone = _tone(generator, frequency_hz, sample_rate_hz, brightness=brightness)
        _add(signal, tone * _ramped(length, 0.05), int(onset * sample_rate_hz))
    return signal


def bell(generator: np.random.Generator, count: int, sample_rate_hz: int) -> Signal:
    """Strikes on inharmonic modes that die away, the high ones first (mode ratios of a church bell)."""
    signal = np.zeros(count)
    ratios = np.array([0.5, 1.0, 1.19, 1.56, 2.0, 2.51, 2.66, 3.01]) * generator.uniform(0.98, 1.02, size=8)
    weights = generator.uniform(0.2, 1.0, size=8)
    pitch_hz, decay_seconds = _pitch(generator), generator.uniform(0.1, 0.3)
    rate_hz = generator.uniform(1.8, 4.5)
    time = np.arange(int(4 * decay_seconds * sample_rate_hz)) / sample_rate_hz
    for onset in _regular_onsets(generator, count / sample_rate_hz, rate_hz=rate_hz, jitter=0.15):
        octaves = generator.uniform(-PITCH_WANDER_OCTAVES, PITCH_WANDER_OCTAVES)
        strike = np.zeros_like(time)
        for ratio, weight in zip(ratios, weights, strict=True):
            frequency_hz = ratio * pitch_hz * 2.0**octaves
            if frequency_hz < 0.45 * sample_rate_hz:
                strike += (
                    weight
                    * np.exp(-time * np.sqrt(ratio) / decay_seconds)
                    * np.sin(2 * np.pi * frequency_hz * time + generator.uniform(0, 2 * np.pi))
                )
        strike *= np.clip(time / 0.003, 0, 1)
        _add(signal, strike * generator.uniform(0.6, 1.0), int(onset * sample_rate_hz))
    return signal


def _impacts(
    generator: np.random.Generator, onsets: Signal, gains: Signal, count: int, sample_rate_hz: int
) -> Signal:
    """Short resonant strikes at given times: the impact kinds share them and differ only in timing."""
    signal = np.zeros(count)
    pitch_hz, decay_seconds = _pitch(generator), generator.uniform(0.008, 0.025)
    ratios, weights = generator.uniform(1.0, 3.0, size=3), generator.uniform(0.3, 1.0, size=3)
    noise_share = generator.uniform(0.1, 0.8)
    time = np.arange(int(5 * decay_seconds * sample_rate_hz)) / sample_rate_hz
    decay = np.exp(-time / decay_seconds)
    for onset, gain in zip(onsets, gains, strict=True):
        octaves = generator.uniform(-PITCH_WANDER_OCTAVES, PITCH_WANDER_OCTAVES)
        frequencies_hz = np.minimum(ratios * pitch_hz * 2.0**octaves, 0.45 * sample_rate_hz)
        modes = np.sin(2 * np.pi * frequencies_hz[:, None] * time)  # (3 modes, samples)
        strike = decay * (weights @ modes + noise_share * generator.normal(size=len(time)))
        _add(signal, gain * strike, int(onset * sample_rate_hz))
    return signal


def knocking(generator: np.random.Generator, count: int, sample_rate_hz: int) -> Signal:
    """Impacts at a steady 3.5 to 7 a second."""
    onsets = _regular_onsets(
        generator, count / sample_rate_hz, rate_hz=generator.uniform(3.5, 7), jitter=0.03
    )
    return _impacts(generator, onsets, generator.uniform(0.7, 1.0, len(onsets)), count, sample_rate_hz)


def engine_idle(generator: np.random.Generator, count: int, sample_rate_hz: int) -> Signal:
    """Impacts at a steady 10 to 16 a second."""
    onsets = _regular_onsets(
        generator, count / sample_rate_hz, rate_hz=generator.uniform(10, 16), jitter=0.03
    )
    return _impacts(generator, onsets, generator.uniform(0.7, 1.0, len(onsets)), count, sample_rate_hz)


def dripping(generator: np.random.Generator, count: int, sample_rate_hz: int) -> Signal:
    """Drops that fall independently of each other: a Poisson process of 5 to 14 a second."""
    duration_seconds = count / sample_rate_hz
    # At least three drops: a Poisson count may be zero, and an empty clip has no level.
    n_drops = max(3, int(generator.poisson(generator.uniform(5, 14) * duration_seconds)))
    onsets = generator.uniform(-0.02, duration_seconds - 0.02, size=n_drops)
    return _impacts(generator, onsets, generator.uniform(0.7, 1.0, n_drops), count, sample_rate_hz)


def bouncing_ball(generator: np.random.Generator, count: int, sample_rate_hz: int) -> Signal:
    """Impacts whose intervals shrink geometrically, as each bounce costs the ball speed."""
    duration_seconds = count / sample_rate_hz
    first_interval, restitution = generator.uniform(0.18, 0.28), generator.uniform(0.74, 0.84)
    onsets: list[float] = []
    gains: list[float] = []
    time = -generator.uniform(0, 0.8)
    while time < duration_seconds:
        interval, gain = first_interval * generator.uniform(0.9, 1.1), 1.0
        while interval > 0.025:
            onsets.append(time)
            gains.append(gain)
            time += interval
            interval, gain = interval * restitution, gain * (0.3 + 0.7 * restitution)
        time += generator.uniform(0.05, 0.15)
    return _impacts(generator, np.array(onsets), np.array(gains), count, sample_rate_hz)


def hand_saw(generator: np.random.Generator, count: int, sample_rate_hz: int) -> Signal:
    """Strokes of rough noise, to and fro, swelling and fading 2.5 to 5 times a second."""
    signal = np.zeros(count)
    pitch_hz, rate_hz = _pitch(generator), generator.uniform(2.5, 5)
    width_octaves = generator.uniform(0.3, 1.0)
    for onset in _regular_onsets(generator, count / sample_rate_hz, rate_hz=rate_hz, jitter=0.06):
        length = int(generator.uniform(0.75, 0.95) / rate_hz * sample_rate_hz)
        octaves = generator.uniform(-PITCH_WANDER_OCTAVES, PITCH_WANDER_OCTAVES)
        spectrum = np.fft.rfft(generator.normal(size=length))
        frequencies_hz = np.fft.rfftfreq(length, 1 / sample_rate_hz)
        distance = np.log2(np.maximum(frequencies_hz, 1.0) / (1.4 * pitch_hz * 2.0**octaves)) / width_octaves
        stroke = np.fft.irfft(spectrum * np.exp(-(distance**2)), length)
        _add(signal, stroke * _ramped(length, 0.5), int(onset * sample_rate_hz))
    return signal


# The order is part of a corpus: a clip is drawn from (corpus seed, position of its kind, its number).
EVENTS: dict[str, EventGenerator] = {
    "whistle_rising": whistle_rising,
    "whistle_falling": whistle_falling,
    "siren": siren,
    "warble": warble,
    "cricket_trill": cricket_trill,
    "alarm_beep": alarm_beep,
    "bell": bell,
    "knocking": knocking,
    "engine_idle": engine_idle,
    "dripping": dripping,
    "bouncing_ball": bouncing_ball,
    "hand_saw": hand_saw,
}
