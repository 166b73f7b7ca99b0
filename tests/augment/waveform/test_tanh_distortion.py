import math

import numpy as np
import pytest

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.tanh_distortion import TanhDistortionConfig
from tests.augment.invalid import assert_invalid


def at(distortion: float) -> TanhDistortionConfig:
    return TanhDistortionConfig(min_distortion=distortion, max_distortion=distortion)


def distorted(crop: Waveform, distortion: float) -> Waveform:
    """The formula: the percentile 100 - 99 d of the magnitudes comes to 0.5, and the power stays."""
    wide = crop.astype(np.float64)
    threshold = np.percentile(np.abs(wide), 100 - 99 * distortion)
    pressed = np.tanh(wide * 0.5 / (threshold + 1e-6))
    return (pressed * np.sqrt(np.square(wide).mean() / np.square(pressed).mean())).astype(np.float32)


def test_from_strength_1_on_it_is_the_formula(crop: Waveform) -> None:
    for strength, distortion in [(1.0, 0.3), (2.0, 0.6), (4.0, 1.0)]:
        pressed, drawn = at(0.3).build(strength, 16000)(crop, seed=0)
        assert drawn["distortion_amount"] == pytest.approx(distortion), (strength, distortion)
        np.testing.assert_allclose(
            pressed, distorted(crop, distortion), atol=2e-6, err_msg=str((strength, distortion))
        )


def test_below_strength_1_it_fades_into_the_crop(crop: Waveform) -> None:
    pressed, _ = at(0.4).build(0.25, 16000)(crop, seed=0)
    np.testing.assert_allclose(pressed, 0.75 * crop + 0.25 * distorted(crop, 0.1), atol=2e-6)
    barely, _ = at(0.4).build(1e-4, 16000)(crop, seed=0)
    assert np.abs(barely - crop).max() < 1e-4 * np.abs(crop).max()


def test_the_power_is_kept(crop: Waveform) -> None:
    pressed, _ = at(1.0).build(1.0, 16000)(crop, seed=0)
    assert np.square(pressed).mean() == pytest.approx(np.square(crop).mean(), rel=1e-4)


def test_digital_silence_does_not_count(crop: Waveform) -> None:
    padded = np.concatenate((np.zeros(4 * len(crop), np.float32), crop))
    pressed, _ = at(0.4).build(1.0, 16000)(padded, seed=0)
    assert not pressed[: -len(crop)].any()
    np.testing.assert_allclose(pressed[-len(crop) :], distorted(crop, 0.4), atol=2e-6)


def test_amounts_fill_the_range_scaled_by_the_strength(crop: Waveform) -> None:
    augment = TanhDistortionConfig(min_distortion=0.1, max_distortion=0.3).build(2.0, 16000)
    amounts = [augment(crop, seed)[1]["distortion_amount"] for seed in range(200)]
    assert 0.2 <= min(amounts) < 0.21
    assert 0.59 < max(amounts) <= 0.6


def test_invalid_ranges_are_refused_by_name() -> None:
    assert_invalid(
        TanhDistortionConfig,
        ("min_distortion", -0.1),
        ("min_distortion", 0.5),
        ("max_distortion", 1.1),
        ("max_distortion", math.nan),
    )
