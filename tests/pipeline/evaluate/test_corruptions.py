"""Corruptions: seeded, stronger with each severity, and what their table says."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import chirp, correlate, stft

from echopair.pipeline.evaluate.corruptions import (
    CORRUPTIONS,
    PACKET_SECONDS,
    REVERBERATION_SECONDS,
    SEVERITIES,
    Corruption,
    Sound,
)

RATE = 16000
BY_KEY = {one.key: one for one in CORRUPTIONS}
each = pytest.mark.parametrize("corruption", CORRUPTIONS, ids=list(BY_KEY))
drawing = ("white_noise", "pink_noise", "reverberation", "packet_loss")


def make_sound(seconds: float = 1.0, rate: int = RATE) -> Sound:
    """A sweep over the spectrum with a click and noise, rising and falling; and another sound."""
    generator = np.random.default_rng(0)
    time = np.arange(round(seconds * rate)) / rate
    swell = np.sin(np.pi * time / seconds) ** 2
    waveform = 0.3 * swell * chirp(time, 50, seconds, 0.45 * rate) + 0.01 * generator.normal(size=len(time))
    background = generator.normal(size=len(time)) * swell[::-1]
    return Sound(waveform.astype(np.float32), background.astype(np.float32), rate)


def decibels(power: float) -> float:
    return 10 * float(np.log10(power))


def spectral_distance(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    magnitudes = [np.abs(stft(waveform, nperseg=512)[2]) for waveform in (one, other)]
    return float(np.linalg.norm(magnitudes[0] - magnitudes[1]))


@each
def test_a_corruption_changes_the_sound_more_with_each_severity(corruption: Corruption) -> None:
    sound = make_sound()
    before = sound.waveform.copy()
    versions = corruption.versions(sound, seed=1)
    np.testing.assert_array_equal(sound.waveform, before)
    assert len(versions) == SEVERITIES
    if corruption.key == "speed":
        lengths = [len(one) for one in versions]
        assert lengths == sorted(lengths, reverse=True)
        assert lengths[0] < len(before)
        return
    distances = [spectral_distance(one, before) for one in versions]
    assert distances[0] > 0
    assert distances == sorted(distances)


@each
def test_sound_and_seed_decide_a_corruption(corruption: Corruption) -> None:
    sound = make_sound(0.3)
    first, again, other = (corruption.versions(sound, seed) for seed in (1, 1, 2))
    for one, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, same)
    assert np.array_equal(first[-1], other[-1]) == (corruption.key not in drawing)


@each
@pytest.mark.parametrize("rate", [8000, 44100, 250000])
def test_any_rate_and_silence_are_corrupted(corruption: Corruption, rate: int) -> None:
    sound = make_sound(0.2, rate)
    silence = Sound(np.zeros(rate // 5, np.float32), np.zeros(rate // 5, np.float32), rate)
    for given in (sound, silence):
        for severity, one in zip(corruption.severities, corruption.versions(given, seed=1), strict=True):
            assert one.dtype == np.float32
            assert np.isfinite(one).all()
            expected = rate / 5 / severity if corruption.key == "speed" else rate / 5
            assert abs(len(one) - expected) <= (corruption.key == "speed")


@pytest.mark.parametrize("key", ["white_noise", "pink_noise", "background"])
def test_the_noise_is_as_loud_as_the_table_says(key: str) -> None:
    sound = make_sound()
    corruption = BY_KEY[key]
    for snr_db, one in zip(corruption.severities, corruption.versions(sound, seed=1), strict=True):
        noise = one.astype(np.float64) - sound.waveform
        assert decibels((sound.waveform**2).mean() / (noise**2).mean()) == pytest.approx(snr_db, abs=0.15)


def test_reverberation_decays_by_60_db_and_has_the_ratio_of_the_table() -> None:
    impulse = np.zeros(2 * RATE, np.float32)
    impulse[100] = 0.5
    sound = Sound(impulse, impulse, RATE)
    corruption = BY_KEY["reverberation"]
    for ratio_db, one in zip(corruption.severities, corruption.versions(sound, seed=1), strict=True):
        power = one.astype(np.float64) ** 2
        assert power.sum() == pytest.approx(0.25, rel=1e-4)
        assert power.argmax() == 100
        assert decibels(power[100] / power[101:].sum()) == pytest.approx(ratio_db, abs=0.1)
        tail = power[101:]
        begin, middle = 0, round(REVERBERATION_SECONDS * RATE / 2)
        fallen = decibels(tail[begin : begin + 400].mean() / tail[middle : middle + 400].mean())
        assert fallen == pytest.approx(30, abs=1.5)


@pytest.mark.parametrize(
    ("key", "passed", "stopped"), [("low_pass", 0.25, 4), ("high_pass", 3, 0.25), ("resampling", 0.8, 1.3)]
)
def test_filters_stop_what_is_beyond_their_cutoff(key: str, passed: float, stopped: float) -> None:
    time = np.arange(RATE) / RATE
    corruption = BY_KEY[key]
    for percent in corruption.severities:
        share = percent / 100
        cutoff_hz = share * RATE / 2
        powers = []
        for factor in (passed, stopped):
            if factor * share >= 1:
                continue
            tone = (0.5 * np.sin(2 * np.pi * factor * cutoff_hz * time)).astype(np.float32)
            changed = corruption.change(Sound(tone, tone, RATE), percent, 1)
            powers.append(decibels((changed[2000:-2000] ** 2).mean() / (tone**2).mean()))
        assert powers[0] == pytest.approx(0, abs=0.3)
        assert all(one < -40 for one in powers[1:])


@pytest.mark.parametrize("rate", [16000, 44100])
def test_mp3_is_not_delayed_and_does_not_silence_quiet_sound(rate: int) -> None:
    sound = make_sound(0.5, rate)
    quiet_sound = sound._replace(waveform=sound.waveform / 1000)
    for one in (sound, quiet_sound):
        for version in BY_KEY["mp3"].versions(one, seed=1):
            lag = int(correlate(version, one.waveform, "full").argmax()) - (len(version) - 1)
            assert abs(lag) <= 1
            assert -7 < decibels((version**2).sum() / (one.waveform**2).sum()) < 0.5  # treble is lost


def test_quiet_sound_is_rounded_to_16_bits() -> None:
    sound = make_sound()
    for loss_db, one in zip(BY_KEY["quiet"].severities, BY_KEY["quiet"].versions(sound, 1), strict=True):
        np.testing.assert_array_equal(one * 32768, np.rint(one * 32768))
        expected = sound.waveform * 10 ** (-loss_db / 20)
        assert np.abs(one - expected).max() <= 0.5001 / 32768


def test_lost_packets_are_whole_and_as_many_as_the_table_says() -> None:
    sound = make_sound(2.0)
    sound = sound._replace(waveform=np.ones_like(sound.waveform))
    lost_before = np.zeros(100, bool)
    for percent, one in zip(
        BY_KEY["packet_loss"].severities, BY_KEY["packet_loss"].versions(sound, 1), strict=True
    ):
        packets = one.reshape(100, round(PACKET_SECONDS * RATE))
        lost = (packets == 0).all(1)
        assert lost.sum() == percent
        assert (packets[~lost] == 1).all()
        assert lost[lost_before].all()
        lost_before = lost


def test_speed_raises_the_pitch() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)
    for factor, one in zip(
        BY_KEY["speed"].severities, BY_KEY["speed"].versions(Sound(tone, tone, RATE), 1), strict=True
    ):
        spectrum = np.abs(np.fft.rfft(one))
        assert spectrum.argmax() * RATE / len(one) == pytest.approx(1000 * factor, rel=2e-3)


def test_clipping_clips_the_share_of_the_table() -> None:
    sound = make_sound()
    for percent, one in zip(
        BY_KEY["clipping"].severities, BY_KEY["clipping"].versions(sound, 1), strict=True
    ):
        assert 100 * (one != sound.waveform).mean() == pytest.approx(percent, abs=0.1)
