import math
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.impulse_response import ImpulseResponseConfig
from tests.augment.invalid import assert_invalid


@pytest.fixture
def echo_folder(tmp_path: Path) -> Path:
    """One response: 100 samples of silence, the direct sound, and half of it 200 samples later."""
    response = np.zeros(400)
    response[[100, 300]] = 0.4, 0.2
    soundfile.write(tmp_path / "echo.wav", response, 16000, "FLOAT")
    return tmp_path


def wet(folder: Path, share: float) -> ImpulseResponseConfig:
    return ImpulseResponseConfig(folder=folder, min_wet_share=share, max_wet_share=share)


def test_an_echo_is_mixed_in(echo_folder: Path, crop: Waveform) -> None:
    for strength, share in [(0.5, 0.3), (1.0, 0.6), (2.0, 1.0), (4.0, 1.0)]:
        view, drawn = wet(echo_folder, 0.6).build(strength, 16000)(crop, seed=0)
        assert drawn == {"impulse_response": "echo.wav", "wet_share": pytest.approx(share)}, (strength, share)
        echoing = crop.astype(np.float64)
        echoing[200:] += 0.5 * crop[:-200]
        expected = (1 - share) * crop + share * echoing * np.linalg.norm(crop) / np.linalg.norm(echoing)
        np.testing.assert_allclose(
            view,
            expected * np.linalg.norm(crop) / np.linalg.norm(expected),
            atol=2e-6,
            err_msg=str((strength, share)),
        )


def test_a_click_stays_where_it_is(echo_folder: Path) -> None:
    click = np.zeros(1600, np.float32)
    click[700] = 0.5
    view, _ = wet(echo_folder, 1.0).build(1.0, 16000)(click, seed=0)
    assert np.flatnonzero(np.abs(view) > 1e-6).tolist() == [700, 900]
    assert view[900] == pytest.approx(view[700] / 2)
    assert np.square(view).sum() == pytest.approx(0.25)


def test_shares_and_responses_are_drawn(sound_folder: Path, crop: Waveform) -> None:
    augment = ImpulseResponseConfig(folder=sound_folder).build(0.5, 16000)
    drawn = [augment(crop, seed)[1] for seed in range(100)]
    shares = [one["wet_share"] for one in drawn]
    assert 0.05 <= min(shares) < 0.06
    assert 0.24 < max(shares) <= 0.25
    assert {one["impulse_response"] for one in drawn} == {f"sound-{number}.wav" for number in range(3)}


def test_responses_of_another_rate_are_resampled_without_a_warning(tmp_path: Path, crop: Waveform) -> None:
    response = np.zeros(4800)
    response[[480, 2880]] = 0.4, 0.2  # at 48 kHz: 160 and 960 at 16 kHz
    soundfile.write(tmp_path / "echo.wav", response, 48000, "FLOAT")
    click = np.zeros(8000, np.float32)
    click[1000] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        view, _ = wet(tmp_path, 1.0).build(1.0, 16000)(click, seed=0)
    assert np.abs(view).argsort()[-2:].tolist() == [1800, 1000]


def test_a_silent_response_changes_nothing(tmp_path: Path, crop: Waveform) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(400), 16000)
    view, _ = wet(tmp_path, 1.0).build(1.0, 16000)(crop, seed=0)
    assert np.array_equal(view, crop)


def test_the_seed_decides_in_any_process(sound_folder: Path, crop: Waveform) -> None:
    augment = ImpulseResponseConfig(folder=sound_folder).build(1.0, 16000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        elsewhere = pickle.loads(pickle.dumps(augment))
    assert np.array_equal(augment(crop, 1)[0], elsewhere(crop, 1)[0])
    assert not np.array_equal(augment(crop, 1)[0], augment(crop, 2)[0])


def test_a_recording_instead_of_a_response_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "symphony.wav", np.zeros(31 * 8000), 8000)
    with pytest.raises(ValueError, match=r"folder=.*symphony.wav lasts 31 s, more than 30 s: remove it"):
        ImpulseResponseConfig(folder=tmp_path).check(16000)


def test_a_damaged_file_with_a_valid_header_is_named_when_decoded(tmp_path: Path, crop: Waveform) -> None:
    file = tmp_path / "cut.flac"
    soundfile.write(file, np.random.default_rng(0).normal(size=32000) / 10, 16000)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    augment = ImpulseResponseConfig(folder=tmp_path).build(1.0, 16000)
    with pytest.raises(ValueError, match=r"cut.flac cannot be read: .*Remove it, or convert it to WAV"):
        augment(crop, seed=0)


def test_samples_that_are_not_finite_are_refused(tmp_path: Path, crop: Waveform) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([0.1, np.nan, 0.2]), 16000, "FLOAT")
    augment = ImpulseResponseConfig(folder=tmp_path).build(1.0, 16000)
    with pytest.raises(ValueError, match=r"a.wav .*not finite.*emove it"):
        augment(crop, seed=0)


def test_invalid_values_are_refused_by_name(tmp_path: Path) -> None:
    assert_invalid(
        ImpulseResponseConfig,
        ("min_wet_share", -0.1),
        ("min_wet_share", 0.6),
        ("max_wet_share", 1.1),
        ("max_wet_share", math.nan),
        ("folder", 3),
        folder=tmp_path,
    )
