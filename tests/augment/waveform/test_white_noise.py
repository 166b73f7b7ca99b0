import numpy as np
import pytest

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.white_noise import WhiteNoiseConfig
from tests.augment.waveform.conftest import MakeCrop


@pytest.mark.parametrize(("strength", "snr_db"), [(1.0, 10.0), (0.1, 30.0), (2.0, 10 - 20 * np.log10(2))])
def test_the_noise_has_the_drawn_power(strength: float, snr_db: float, make_crop: MakeCrop) -> None:
    crop = make_crop(seconds=10.0)
    noisy, _ = WhiteNoiseConfig(min_snr_db=10.0, max_snr_db=10.0).build(strength, 16000)(crop, seed=0)
    ratio = np.square(crop).mean() / np.square(noisy - crop).mean()
    assert 10 * np.log10(ratio) == pytest.approx(snr_db, abs=0.1)


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


def test_the_seed_decides(crop: Waveform) -> None:
    augment = WhiteNoiseConfig().build(1.0, 16000)
    assert np.array_equal(augment(crop, 1)[0], augment(crop, 1)[0])
    assert not np.array_equal(augment(crop, 1)[0], augment(crop, 2)[0])
