import importlib.util
import sys

import numpy as np
import pytest
from pydantic import ValidationError

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.mp3_compression import (
    BIT_RATES_KBPS,
    Mp3CompressionConfig,
    kbps_range,
    nearest_kbps,
)
from tests.augment.invalid import assert_invalid
from tests.augment.waveform.measuring import sine

INSTALLED = importlib.util.find_spec("fast_mp3_augment") is not None
needs_the_package = pytest.mark.skipif(not INSTALLED, reason="fast-mp3-augment is not installed")


def test_without_its_package_it_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fast_mp3_augment", None)  # as if it were not installed
    with pytest.raises(ValidationError, match=r"name=mp3_compression needs .*pip install '.\[mp3\]'"):
        Mp3CompressionConfig()


def test_bit_rates_fall_by_octaves_from_the_highest_of_the_rate() -> None:
    assert kbps_range(20, 40, 1.0, 16000) == (pytest.approx(20), pytest.approx(40))
    assert kbps_range(40, 40, 0.5, 16000) == (pytest.approx(80), pytest.approx(80))
    assert kbps_range(40, 80, 2.0, 16000) == (pytest.approx(10), pytest.approx(40))
    assert kbps_range(16, 64, 1e-9, 16000) == (pytest.approx(160), pytest.approx(160))


def test_bit_rates_end_where_those_of_the_rate_do() -> None:
    for rate_hz, lowest, highest in [(8000, 8, 64), (16000, 8, 160), (44100, 32, 320)]:
        assert kbps_range(8, 320, 1.0, rate_hz) == (pytest.approx(lowest), pytest.approx(highest)), (
            rate_hz,
            lowest,
            highest,
        )
        assert kbps_range(8, 16, 4.0, rate_hz) == (lowest, lowest), (rate_hz, lowest, highest)


def test_a_rate_that_mp3_does_not_know_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"sample_rate_hz=10000: use one of 8000, 11025, .* 48000, or remove"
    ):
        kbps_range(16, 64, 1.0, 10000)


def test_the_nearest_bit_rate_is_that_of_the_smallest_ratio() -> None:
    known = BIT_RATES_KBPS[16000]
    assert [nearest_kbps(kbps, known) for kbps in known] == list(known)
    assert nearest_kbps(11.3, known) == 8  # 8 * sqrt(2) = 11.31
    assert nearest_kbps(11.4, known) == 16
    assert nearest_kbps(7.99999, known) == 8
    assert nearest_kbps(160.00001, known) == 160


@needs_the_package
def test_the_crop_is_not_delayed() -> None:
    for rate_hz in sorted(BIT_RATES_KBPS):
        time = np.arange(round(0.5 * rate_hz)) / rate_hz
        tone = (0.5 * np.sin(2 * np.pi * 440 * time) * np.exp(-(((time - 0.25) / 0.05) ** 2))).astype(
            np.float32
        )
        config = Mp3CompressionConfig(min_kbps=64, max_kbps=64)
        view, drawn = config.build(1.0, rate_hz)(tone, seed=0)
        assert drawn["bitrate_kbps"] == 64, rate_hz
        assert np.corrcoef(view, tone)[0, 1] > 0.99, rate_hz
        assert not np.array_equal(view, tone), rate_hz


@needs_the_package
def test_the_lowest_bit_rate_loses_the_most(crop: Waveform) -> None:
    errors = []
    for kbps in (64, 32, 16, 8):
        view, _ = Mp3CompressionConfig(min_kbps=kbps, max_kbps=kbps).build(1.0, 16000)(crop, seed=0)
        errors.append(np.square(view - crop).mean())
    assert errors == sorted(errors)


@needs_the_package
def test_the_sound_lasts_to_the_end_of_the_crop() -> None:
    for rate_hz in sorted(BIT_RATES_KBPS):
        for seconds in [0.1, 0.96]:
            tone = sine(0.03 * rate_hz, seconds, rate_hz)
            view, _ = Mp3CompressionConfig(min_kbps=64, max_kbps=64).build(1.0, rate_hz)(tone, seed=0)
            # LAME attenuates everything by 5 %.
            error = view - 0.95 * tone
            assert np.square(error[-400:]).mean() < 0.01 * np.square(tone[-400:]).mean(), (rate_hz, seconds)


@needs_the_package
def test_toward_0_it_fades(crop: Waveform) -> None:
    view, _ = Mp3CompressionConfig().build(1e-3, 16000)(crop, seed=0)
    assert np.abs(view - crop).max() < 1e-3 * np.abs(crop).max()


def test_invalid_ranges_are_refused_by_name() -> None:
    assert_invalid(
        Mp3CompressionConfig,
        ("min_kbps", 7),
        ("max_kbps", 321),
        ("min_kbps", 65),
        ("max_kbps", 15),
    )
