import math

import librosa
import numpy as np
import pytest
import torch
import torchaudio
from pydantic import ValidationError

from echopair.models.log_mel import LogMel
from echopair.models.log_mel_config import LogMelConfig

RATE = 16000


def tone(frequency_hz: float, seconds: float = 0.96, amplitude: float = 1.0) -> torch.Tensor:
    time = torch.arange(round(seconds * RATE)) / RATE
    return amplitude * torch.sin(2 * math.pi * frequency_hz * time)[None]


@pytest.mark.parametrize(("seconds", "frames"), [(0.96, 96), (0.2, 20), (0.03, 3), (1 / RATE, 1), (5.0, 500)])
def test_a_hop_is_a_frame(seconds: float, frames: int) -> None:
    assert LogMel(LogMelConfig())(torch.randn(2, round(seconds * RATE))).shape == (2, 64, frames)


def test_is_librosa_s_mel_spectrogram() -> None:
    waveform = torch.from_numpy(np.random.default_rng(0).normal(size=(1, RATE)).astype(np.float32) * 0.1)
    config = LogMelConfig()
    padding = config.window_samples - config.hop_samples
    padded = np.pad(waveform[0].numpy(), (padding // 2, padding - padding // 2), mode="reflect")
    reference = librosa.feature.melspectrogram(
        y=padded,
        sr=RATE,
        n_fft=1024,
        hop_length=160,
        center=False,
        fmin=60,
        fmax=7800,
        n_mels=64,
        htk=True,
        norm=None,
    )
    full_scale_sine = (np.hanning(1025)[:-1].sum() / 2) ** 2
    expected = np.log(reference / full_scale_sine + 1e-9)
    np.testing.assert_allclose(LogMel(config)(waveform)[0].numpy(), expected, atol=2e-3)


def test_window_transform_and_scale_of_others_are_librosa_s() -> None:
    """A window of 660 samples in a transform of 2,048, as Fonseca et al. 2021 had it."""
    waveform = 0.1 * torch.randn(1, 22220, generator=torch.Generator().manual_seed(0))
    config = LogMelConfig(
        sample_rate_hz=22050,
        window_seconds=660 / 22050,
        hop_seconds=220 / 22050,
        fft_samples=2048,
        window="hamming",
        mel_scale="slaney",
        mel_bands=96,
    )
    log_mel = LogMel(config)
    left, right = log_mel.padding(waveform.shape[1])
    reference = librosa.feature.melspectrogram(
        y=np.pad(waveform[0].numpy(), (left, right), mode="reflect"),
        sr=22050,
        n_fft=2048,
        win_length=660,
        window="hamming",
        hop_length=220,
        center=False,
        fmin=config.min_hz,
        fmax=config.max_hz,
        n_mels=96,
        htk=False,
        norm=None,
    )
    full_scale_sine = float(torch.hamming_window(660).sum() / 2) ** 2
    expected = np.log(reference / full_scale_sine + 1e-9)
    np.testing.assert_allclose(log_mel(waveform)[0].numpy(), expected, atol=2e-3)
    with pytest.raises(ValidationError, match="power of 2 that holds the window of 660 samples"):
        LogMelConfig(sample_rate_hz=22050, window_seconds=660 / 22050, fft_samples=512)


@pytest.mark.parametrize(
    "config",
    [
        LogMelConfig(),
        LogMelConfig(
            sample_rate_hz=22050, mel_bands=80, min_hz=0, max_hz=11025
        ),  # a window below the FFT's length
        LogMelConfig(window_seconds=0.004, hop_seconds=0.002, mel_bands=128),  # bands without any bin
    ],
)
@pytest.mark.filterwarnings("ignore:At least one mel filterbank has all zero values")
def test_is_torchaudio_s_mel_spectrogram(config: LogMelConfig) -> None:
    waveforms = 0.1 * torch.randn(
        2, 3 * config.sample_rate_hz // 2, generator=torch.Generator().manual_seed(0)
    )
    log_mel = LogMel(config)
    mel = torchaudio.transforms.MelSpectrogram(
        sample_rate=config.sample_rate_hz,
        n_fft=log_mel.fft_samples,
        win_length=config.window_samples,
        hop_length=config.hop_samples,
        f_min=config.min_hz,
        f_max=config.max_hz,
        n_mels=config.mel_bands,
        center=False,
    )
    padding = (
        (config.frames(waveforms.shape[1]) - 1) * config.hop_samples
        + log_mel.fft_samples
        - waveforms.shape[1]
    )
    padded = torch.nn.functional.pad(waveforms, (padding // 2, padding - padding // 2), mode="reflect")
    full_scale_sine = (mel.spectrogram.window.sum() / 2) ** 2
    expected = (mel(padded) / full_scale_sine + 1e-9).log()
    torch.testing.assert_close(log_mel(waveforms), expected, rtol=0, atol=1e-5)


def test_a_full_scale_sine_is_near_zero_decibels_and_silence_at_the_floor() -> None:
    log_mel = LogMel(LogMelConfig())
    centre = log_mel.band_centres_hz[40]
    loudest = log_mel(tone(centre))[0, 40, 48].item() * 10 / math.log(10)
    assert abs(loudest) < 2
    assert torch.allclose(log_mel(torch.zeros(1, RATE)), torch.tensor(-90.0 * math.log(10) / 10), atol=1e-4)


def test_half_the_amplitude_is_six_decibels_less() -> None:
    log_mel = LogMel(LogMelConfig())
    difference = (log_mel(tone(1000)) - log_mel(tone(1000, amplitude=0.5)))[0, :, 48].max().item()
    assert difference * 10 / math.log(10) == pytest.approx(6.02, abs=0.05)


def test_a_batch_in_chunks_is_each_crop_alone() -> None:
    crops = torch.randn(40, 15360)
    log_mel = LogMel(LogMelConfig())
    torch.testing.assert_close(log_mel(crops)[37:38], log_mel(crops[37:38]))


@pytest.mark.parametrize(
    ("hop_seconds", "positions", "distinct"),
    [
        # Three of the 96 frames at each edge of a crop hold padding.
        (0.01, [0, 7680, 15360, 15360 + 3 * 160, 40001, 64640], 6 * 96 - 42 - 42 - 87),
        (0.064, [0, 7 * 1024], 2 * 15 - 8),  # no padding
    ],
)
def test_frames_that_crops_share_are_computed_once(
    monkeypatch: pytest.MonkeyPatch, hop_seconds: float, positions: list[int], distinct: int
) -> None:
    signal = torch.randn(5 * RATE)
    crops = torch.stack([signal[start : start + 15360] for start in positions])
    log_mel = LogMel(LogMelConfig(hop_seconds=hop_seconds))
    expected = log_mel(crops)
    computed = []

    def counted(frames: torch.Tensor) -> torch.Tensor:
        computed.append(len(frames))
        return LogMel._log_mel(log_mel, frames)

    monkeypatch.setattr(log_mel, "_log_mel", counted)
    torch.testing.assert_close(
        log_mel.of_overlapping(crops, torch.tensor(positions)), expected, rtol=0, atol=1e-5
    )
    assert sum(computed) == distinct


def test_nothing_of_it_belongs_into_a_state_dict() -> None:
    assert not LogMel(LogMelConfig()).state_dict()


def test_is_the_same_on_bands_that_a_low_rate_allows() -> None:
    config = LogMelConfig(sample_rate_hz=8000, max_hz=4000)
    assert LogMel(config)(torch.randn(1, 8000)).shape == (1, 64, 100)


def test_the_highest_band_follows_the_sample_rate_unless_it_is_given() -> None:
    rates = (16000, 48000, 8000)
    assert [LogMelConfig(sample_rate_hz=rate).max_hz for rate in rates] == [7800, 23400, 3900]
    assert LogMelConfig(sample_rate_hz=48000, max_hz=7800).max_hz == 7800


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_hz": 9000}, "max_hz=9000 is above half of sample_rate_hz=16000"),
        ({"min_hz": 7900}, "min_hz=7900 must be below max_hz=7800"),
        ({"hop_seconds": 0.1}, "must not exceed window_seconds"),
    ],
)
def test_ranges_that_do_not_fit_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LogMelConfig(**values)
