import math
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pydantic import ValidationError

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.background_noise import BackgroundNoiseConfig
from tests.augment.invalid import assert_invalid
from tests.augment.waveform.conftest import MakeCrop


@pytest.fixture
def tone_folder(tmp_path: Path) -> Path:
    """One second of 500 Hz, a whole number of periods, at the rate of the crops."""
    soundfile.write(tmp_path / "tone.wav", 0.3 * np.sin(np.pi / 16 * np.arange(16000)), 16000, "FLOAT")
    return tmp_path


def test_the_background_has_the_drawn_power(sound_folder: Path, make_crop: MakeCrop) -> None:
    for strength, snr_db in [(1.0, 10.0), (0.1, 30.0), (2.0, 10 - 20 * np.log10(2))]:
        for seconds in [0.1, 0.96, 2.5]:
            crop = make_crop(seconds=seconds)
            config = BackgroundNoiseConfig(folder=sound_folder, min_snr_db=10.0, max_snr_db=10.0)
            noisy, drawn = config.build(strength, 16000)(crop, seed=0)
            assert drawn["snr_db"] == pytest.approx(snr_db), (strength, snr_db, seconds)
            ratio = np.square(crop).mean() / np.square(noisy - crop).mean()
            assert 10 * np.log10(ratio) == pytest.approx(snr_db, abs=0.01), (strength, snr_db, seconds)


def test_the_ratio_ends_at_minus_20_db(tone_folder: Path, crop: Waveform) -> None:
    config = BackgroundNoiseConfig(folder=tone_folder, min_snr_db=-15.0, max_snr_db=-15.0)
    assert config.build(4.0, 16000)(crop, seed=0)[1]["snr_db"] == -20


def test_a_short_sound_is_repeated_without_a_warning(tone_folder: Path, make_crop: MakeCrop) -> None:
    crop = make_crop(seconds=3.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        noisy, drawn = BackgroundNoiseConfig(folder=tone_folder).build(1.0, 16000)(crop, seed=0)
    tone = (noisy - crop).astype(np.float64)
    assert drawn["start_seconds"] == 0
    np.testing.assert_allclose(tone[32:], tone[:-32], atol=1e-6)
    assert np.square(tone).sum() > 0


def test_the_start_is_drawn(tone_folder: Path, make_crop: MakeCrop) -> None:
    augment = BackgroundNoiseConfig(folder=tone_folder).build(1.0, 16000)
    crop = make_crop(seconds=0.1)
    starts = [augment(crop, seed)[1]["start_seconds"] for seed in range(200)]
    assert 0 <= min(starts) < 0.02
    assert 0.88 < max(starts) <= 0.9


def test_sounds_of_another_rate_are_resampled_without_a_warning(sound_folder: Path, crop: Waveform) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        augment = BackgroundNoiseConfig(folder=sound_folder).build(1.0, 16000)
        drawn = [augment(crop, seed)[1] for seed in range(20)]
    assert {one["background"] for one in drawn} == {f"sound-{number}.wav" for number in range(3)}


def test_a_silent_background_changes_nothing_without_a_warning(tmp_path: Path, crop: Waveform) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(16000), 16000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        view, _ = BackgroundNoiseConfig(folder=tmp_path).build(1.0, 16000)(crop, seed=0)
    assert np.array_equal(view, crop)


def test_silence_stays_silence(sound_folder: Path) -> None:
    augment = BackgroundNoiseConfig(folder=sound_folder).build(4.0, 16000)
    assert not augment(np.zeros(1600, np.float32), seed=0)[0].any()


def test_the_seed_decides_in_any_process(sound_folder: Path, crop: Waveform) -> None:
    augment = BackgroundNoiseConfig(folder=sound_folder).build(1.0, 16000)
    elsewhere = pickle.loads(pickle.dumps(augment))
    assert np.array_equal(augment(crop, 1)[0], elsewhere(crop, 1)[0])
    assert not np.array_equal(augment(crop, 1)[0], augment(crop, 2)[0])


def test_a_folder_is_checked_before_any_work(tmp_path: Path) -> None:
    config = BackgroundNoiseConfig(folder=tmp_path)
    with pytest.raises(ValueError, match=r"folder=.*contains no sounds"):
        config.check(16000)
    with pytest.raises(ValueError, match=r"folder=.*contains no sounds"):
        config.build(1.0, 16000)


def test_invalid_values_are_refused_by_name(tmp_path: Path) -> None:
    assert_invalid(
        BackgroundNoiseConfig,
        ("min_snr_db", -21.0),
        ("min_snr_db", 31.0),
        ("max_snr_db", 101.0),
        ("max_snr_db", math.nan),
        ("folder", 3),
        folder=tmp_path,
    )


def test_the_folder_has_no_default() -> None:
    with pytest.raises(ValidationError, match="folder"):
        BackgroundNoiseConfig.model_validate({})
