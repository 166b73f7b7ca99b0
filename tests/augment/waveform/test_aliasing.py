import math

import numpy as np
import pytest

from echopair.augment.waveform.aliasing import AliasingConfig
from echopair.augment.waveform.augmentation import Waveform
from tests.augment.invalid import assert_invalid
from tests.augment.waveform.measuring import sine


def at(rate_hz: float) -> AliasingConfig:
    return AliasingConfig(min_rate_hz=rate_hz, max_rate_hz=rate_hz)


def aliased(crop: Waveform, rate_hz: float, crop_rate_hz: int) -> Waveform:
    """Straight lines through evenly spaced samples of straight lines through the crop."""
    places = np.linspace(0, len(crop), len(crop))
    new_places = np.linspace(0, len(crop), round(len(crop) * rate_hz / crop_rate_hz))
    return np.interp(places, new_places, np.interp(new_places, places, crop)).astype(np.float32)


def test_from_strength_1_on_the_rate_falls_by_octaves(crop: Waveform) -> None:
    for strength, rate_hz in [(1.0, 8000.0), (2.0, 4000.0), (3.0, 2000.0), (4.0, 1000.0)]:
        view, drawn = at(8000.0).build(strength, 16000)(crop, seed=0)
        assert drawn["sample_rate_hz"] == pytest.approx(rate_hz), (strength, rate_hz)
        np.testing.assert_allclose(
            view, aliased(crop, rate_hz, 16000), atol=1e-6, err_msg=str((strength, rate_hz))
        )


def test_below_strength_1_it_fades_into_the_crop(crop: Waveform) -> None:
    view, drawn = at(4000.0).build(0.5, 16000)(crop, seed=0)
    assert drawn["sample_rate_hz"] == pytest.approx(8000)
    np.testing.assert_allclose(view, (crop + aliased(crop, 8000, 16000)) / 2, atol=1e-6)


def test_the_rate_ends_at_1000_hz(crop: Waveform) -> None:
    _, drawn = at(4000.0).build(4.0, 16000)(crop, seed=0)
    assert drawn["sample_rate_hz"] == pytest.approx(1000)


def test_a_tone_above_half_the_rate_is_folded() -> None:
    view, _ = at(8000.0).build(1.0, 16000)(sine(7000.0), seed=0)
    assert np.abs(np.fft.rfft(view)).argmax() / 2 == pytest.approx(1000, abs=1)  # 2 s: bins of half a hertz


def test_a_rate_above_that_of_the_crops_does_nothing(crop: Waveform) -> None:
    augment = AliasingConfig(min_rate_hz=15999.0, max_rate_hz=48000.0).build(1.0, 16000)
    assert augment(crop, seed=0)[1]["sample_rate_hz"] == pytest.approx(16000, abs=1)


def test_a_range_above_the_rate_of_the_crops_is_refused() -> None:
    with pytest.raises(ValueError, match="min_rate_hz=6000 changes nothing in crops of 6000 Hz: lower it"):
        AliasingConfig().build(1.0, 6000)


def test_rates_fill_the_range(crop: Waveform) -> None:
    augment = AliasingConfig(min_rate_hz=4000.0, max_rate_hz=8000.0).build(1.0, 16000)
    rates = [augment(crop, seed)[1]["sample_rate_hz"] for seed in range(200)]
    assert 3999 < min(rates) < 4100
    assert 7900 < max(rates) < 8001


def test_invalid_ranges_are_refused_by_name() -> None:
    assert_invalid(
        AliasingConfig,
        ("min_rate_hz", 999.0),
        ("min_rate_hz", 12001.0),
        ("max_rate_hz", 192001.0),
        ("max_rate_hz", math.nan),
    )
