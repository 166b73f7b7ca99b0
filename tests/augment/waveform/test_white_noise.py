import numpy as np
import pytest

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.white_noise import WhiteNoiseConfig
from tests.augment.waveform.conftest import MakeCrop


def test_the_noise_has_the_drawn_power(make_crop: MakeCrop) -> None:
    for strength, snr_db in [(1.0, 10.0), (0.1, 30.0), (2.0, 10 - 20 * np.log10(2))]:
        crop = make_crop(seconds=10.0)
        noisy, _ = WhiteNoiseConfig(min_snr_db=10.0, max_snr_db=10.0).build(strength, 16000)(crop, seed=0)
        ratio = np.square(crop).mean() / np.square(noisy - crop).mean()
        assert 10 * np.log10(ratio) == pytest.approx(snr_db, abs=0.1), (strength, snr_db)


def test_the_noise_is_white(make_crop: MakeCrop) -> None:
    crop = make_crop(seconds=10.0)
    noisy, _ = WhiteNoiseConfig().build(1.0, 16000)(crop, seed=0)
    power = np.square(np.abs(np.fft.rfft(noisy - crop)[1:])).reshape(8, -1).mean(axis=1)
    np.testing.assert_allclose(power / power.mean(), 1, atol=0.05)


def test_the_ratios_fill_the_range(crop: Waveform) -> None:
    augment = WhiteNoiseConfig(min_snr_db=0.0, max_snr_db=20.0).build(1.0, 16000)
    stds = [augment(crop, seed)[1]["noise_rms"] for seed in range(200)]
    snrs_db = 20 * np.log10(np.sqrt(np.square(crop).mean()) / stds)
    assert 0 <= snrs_db.min() < 0.5
    assert 19.5 < snrs_db.max() <= 20.001


def test_silence_stays_silence() -> None:
    silence = np.zeros(1600, np.float32)
    assert not WhiteNoiseConfig().build(4.0, 16000)(silence, seed=0)[0].any()
