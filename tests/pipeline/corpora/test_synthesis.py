"""The built-in corpus: repeatable, well-formed, of kinds that differ by time structure, not by spectrum."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from scipy.signal import find_peaks, hilbert
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from echopair.pipeline.corpora.sound_events import EVENTS
from echopair.pipeline.corpora.synthesis import (
    HIGHEST_PEAK_DBFS,
    KINDS,
    LOWEST_PEAK_DBFS,
    clip_generator,
    fold_of_clip,
    synthesise,
    synthesise_clip,
    write_recording,
)

SAMPLE_RATE_HZ = 16_000


def event(kind: str, index: int, seconds: float = 3.0) -> NDArray[np.float64]:
    """The bare event: no channel, no background."""
    return EVENTS[kind](clip_generator(7, kind, index), int(seconds * SAMPLE_RATE_HZ), SAMPLE_RATE_HZ)


def envelope(signal: NDArray[np.float64], frame: int = 160) -> NDArray[np.float64]:
    """Loudness of each frame of so many samples; the default gives 100 frames a second."""
    count = len(signal) // frame
    power: NDArray[np.float64] = np.mean(signal[: count * frame].reshape(count, frame) ** 2, axis=1)
    return np.sqrt(power)


def strongest_modulation_hz(contour: NDArray[np.float64], frames_per_second: float) -> float:
    contour = (contour - contour.mean()) * np.hanning(len(contour))
    rates_hz = np.fft.rfftfreq(8 * len(contour), 1 / frames_per_second)
    strength = np.abs(np.fft.rfft(contour, 8 * len(contour)))
    audible = rates_hz >= 0.9
    return float(rates_hz[audible][np.argmax(strength[audible])])


def pitch_contour_octaves(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Instantaneous frequency at 100 frames a second, NaN where the sound is faint."""
    frequency_hz = np.diff(np.unwrap(np.angle(hilbert(signal)))) * SAMPLE_RATE_HZ / (2 * np.pi)
    count = len(frequency_hz) // 160
    contour = np.log2(np.maximum(np.median(frequency_hz[: count * 160].reshape(count, 160), axis=1), 50))
    loudness = envelope(signal)[:count]
    return np.where(loudness > 0.5 * loudness.max(), contour, np.nan)


def onset_intervals(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds between impacts, read from the rises of the envelope."""
    loudness = envelope(signal, frame=80)
    peaks, _ = find_peaks(loudness, height=0.15 * loudness.max(), distance=4, prominence=0.1 * loudness.max())
    return np.diff(peaks * 80 / SAMPLE_RATE_HZ)


def mean_pitch_slope(signal: NDArray[np.float64]) -> float:
    return float(np.nanmedian(np.diff(pitch_contour_octaves(signal))))


def test_there_are_twelve_kinds_with_names_for_folders() -> None:
    assert len(KINDS) == len(set(KINDS)) == 12
    assert all(kind.replace("_", "").isalpha() and kind.islower() for kind in KINDS)


def test_a_clip_is_a_pure_function_of_seed_kind_and_index() -> None:
    for kind in KINDS:
        clip = synthesise_clip(3, kind, 5)
        np.testing.assert_array_equal(synthesise_clip(3, kind, 5), clip, kind)
        for other in (synthesise_clip(3, kind, 6), synthesise_clip(4, kind, 5)):
            shared = min(len(clip), len(other))
            assert abs(np.corrcoef(clip[:shared], other[:shared])[0, 1]) < 0.5, kind


def test_the_generator_is_seeded_by_seed_position_and_index() -> None:
    expected = np.random.default_rng([11, KINDS.index("siren"), 42]).uniform(size=4)
    np.testing.assert_array_equal(clip_generator(11, "siren", 42).uniform(size=4), expected)


def test_waveforms_are_finite_within_range_and_of_the_declared_length_and_level() -> None:
    for kind, index in itertools.product(KINDS, range(8)):
        clip = synthesise_clip(0, kind, index, seconds_range=(2.0, 3.0))
        assert (clip.dtype, clip.ndim) == (np.float32, 1)
        assert np.isfinite(clip).all(), (kind, index)
        assert 2.0 * SAMPLE_RATE_HZ <= len(clip) <= 3.0 * SAMPLE_RATE_HZ, (kind, index)
        peak_dbfs = 20 * np.log10(np.abs(clip).max())
        assert LOWEST_PEAK_DBFS - 0.01 <= peak_dbfs <= HIGHEST_PEAK_DBFS + 0.01, (kind, index)
        assert abs(clip.mean()) < 0.02, (kind, index)


def test_lengths_and_levels_vary_between_clips() -> None:
    clips = [synthesise_clip(0, "siren", index) for index in range(30)]
    seconds = [len(clip) / SAMPLE_RATE_HZ for clip in clips]
    peaks_dbfs = [20 * np.log10(np.abs(clip).max()) for clip in clips]
    assert max(seconds) - min(seconds) > 0.7
    assert max(peaks_dbfs) - min(peaks_dbfs) > 12


def test_the_event_sounds_in_every_crop() -> None:
    for kind, index in itertools.product(KINDS, range(10)):
        signal = event(kind, index)
        crop_powers = [np.mean(signal[start : start + 15_360] ** 2) for start in range(0, 32_641, 4_080)]
        assert min(crop_powers) > 0.05 * np.mean(signal**2), (kind, index)


def test_the_shortest_clip_at_other_sample_rates_is_not_silent() -> None:
    for kind, sample_rate_hz, index in itertools.product(KINDS, (8_000, 44_100), range(10)):
        signal = EVENTS[kind](clip_generator(1, kind, index), sample_rate_hz // 2, sample_rate_hz)
        assert signal.shape == (sample_rate_hz // 2,), (kind, sample_rate_hz, index)
        assert np.sqrt(np.mean(signal**2)) > 1e-3, (kind, sample_rate_hz, index)


@pytest.mark.parametrize("snr_db", [-6.0, 0.0, 12.0])
def test_snr_is_the_power_of_the_event_over_that_of_the_background(snr_db: float) -> None:
    """The same state at another SNR mixes the same two sounds; at 60 dB only the event is left."""
    clean, mixed = (
        synthesise("siren", clip_generator(2, "siren", 0), sample_rate_hz=16_000, seconds=3, snr_db=ratio_db)
        for ratio_db in (60.0, snr_db)
    )
    event_share = np.corrcoef(clean, mixed)[0, 1] ** 2
    assert 10 * np.log10(event_share / (1 - event_share)) == pytest.approx(snr_db, abs=0.5)


def test_whistles_sweep_in_the_direction_of_their_name() -> None:
    for index in range(12):
        assert mean_pitch_slope(event("whistle_rising", index)) > 0.002
        assert mean_pitch_slope(event("whistle_falling", index)) < -0.002


def test_the_cricket_trembles_seven_to_fourteen_times_a_second() -> None:
    rates_hz = [strongest_modulation_hz(envelope(event("cricket_trill", index)), 100) for index in range(20)]
    assert all(6.8 <= rate_hz <= 14.2 for rate_hz in rates_hz)
    assert max(rates_hz) - min(rates_hz) > 3


@pytest.mark.parametrize(("kind", "lowest_hz", "highest_hz"), [("siren", 1.2, 2.6), ("warble", 5, 9)])
def test_sirens_and_warbles_swing_their_pitch_not_their_loudness(
    kind: str, lowest_hz: float, highest_hz: float
) -> None:
    for index in range(12):
        contour = pitch_contour_octaves(event(kind, index))
        contour = np.where(np.isnan(contour), np.nanmean(contour), contour)
        assert lowest_hz - 0.4 <= strongest_modulation_hz(contour, 100) <= highest_hz + 0.4


def test_knocks_and_engines_are_regular_drops_are_not() -> None:
    def irregularity(kind: str) -> float:
        spreads = []
        for index in range(12):
            intervals = onset_intervals(event(kind, index))
            spreads.append(intervals.std() / intervals.mean())
        return float(np.median(spreads))

    assert irregularity("knocking") < 0.15
    assert irregularity("engine_idle") < 0.25
    assert irregularity("dripping") > 0.5


def test_engines_beat_faster_than_knocks() -> None:
    for index in range(12):
        assert np.median(onset_intervals(event("knocking", index))) > 0.12
        assert np.median(onset_intervals(event("engine_idle", index))) < 0.12


def test_the_ball_bounces_at_shrinking_intervals() -> None:
    for index in range(12):
        intervals = onset_intervals(event("bouncing_ball", index))
        assert np.mean(np.diff(intervals) < 0) > 0.6


def mel_statistics(clip: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean and standard deviation over time of a 64-band log-mel, shape (128,)."""
    frames = np.lib.stride_tricks.sliding_window_view(clip, 1024)[::320] * np.hanning(1024)
    power = np.abs(np.fft.rfft(frames)) ** 2  # (T, 513)
    mels = 2595 * np.log10(1 + np.fft.rfftfreq(1024, 1 / SAMPLE_RATE_HZ) / 700)
    corners = np.linspace(mels[4], mels[-1], 66)
    rise = (mels - corners[:-2, None]) / (corners[1] - corners[0])
    triangles = np.clip(np.minimum(rise, 2 - rise), 0, 1)  # (64, 513)
    log_mel = np.log(np.einsum("tk,mk->tm", power, triangles) + 1e-8)  # (T, 64)
    return np.concatenate([log_mel.mean(0), log_mel.std(0)])


def test_mel_statistics_do_not_tell_rising_from_falling_whistles() -> None:
    clips_per_kind = 100
    features = np.stack(
        [
            mel_statistics(synthesise_clip(0, kind, index, seconds_range=(1.0, 1.5)))
            for kind in ("whistle_rising", "whistle_falling")
            for index in range(clips_per_kind)
        ]
    )
    labels = np.repeat([0, 1], clips_per_kind)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(solver="liblinear"))
    accuracy = np.mean(cross_val_predict(classifier, features, labels, cv=5) == labels)
    # Chance is 0.5 with a standard error of 0.035: the two are each other's mirror in time.
    assert 0.35 < accuracy < 0.65


def test_folds_hold_the_same_number_of_clips() -> None:
    folds = [fold_of_clip(index) for index in range(60)]
    assert [folds.count(fold) for fold in range(5)] == [12] * 5


def test_a_written_recording_is_a_16_bit_mono_wav_of_the_same_samples(tmp_path: Path) -> None:
    clip = synthesise_clip(0, "hand_saw", 0)
    write_recording(tmp_path / "hand_saw-000.wav", clip, SAMPLE_RATE_HZ)
    info = soundfile.info(tmp_path / "hand_saw-000.wav")
    assert (info.format, info.subtype, info.channels, info.samplerate) == ("WAV", "PCM_16", 1, SAMPLE_RATE_HZ)
    read, _ = soundfile.read(tmp_path / "hand_saw-000.wav", dtype="float32")
    np.testing.assert_allclose(read, clip, atol=1 / 32_768)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": "foghorn"}, "'foghorn' is not a kind.*whistle_rising"),
        ({"seconds": 0.1}, "seconds is 0.1"),
        ({"sample_rate_hz": 4_000}, "sample_rate_hz is 4000"),
        ({"snr_db": float("nan")}, "snr_db is nan"),
    ],
)
def test_a_value_out_of_range_is_named(changed: dict[str, object], message: str) -> None:
    arguments = {"kind": "bell", "sample_rate_hz": 16_000, "seconds": 2.0, "snr_db": 10.0} | changed
    kind = str(arguments.pop("kind"))
    with pytest.raises(ValueError, match=message):
        synthesise(kind, np.random.default_rng(0), **arguments)  # type: ignore[arg-type]
