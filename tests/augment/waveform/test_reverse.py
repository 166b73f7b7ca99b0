import numpy as np
import pytest

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.reverse import WaveformReverseConfig
from tests.augment.invalid import assert_invalid


def test_the_last_sample_comes_first_whatever_the_seed_and_the_strength(crop: Waveform) -> None:
    for seed, strength in ((0, 0.5), (1, 4.0)):
        backwards, _ = WaveformReverseConfig().build(strength, 16000)(crop, seed)
        assert backwards.tolist() == crop.tolist()[::-1]
        assert backwards.flags.c_contiguous


def test_twice_reversed_is_the_crop(crop: Waveform) -> None:
    reverse = WaveformReverseConfig().build(1.0, 16000)
    assert np.array_equal(reverse(reverse(crop, 0)[0], 0)[0], crop)


def test_the_strength_scales_its_share_of_the_views() -> None:
    for strength, share in [(0.0, 0.0), (0.5, 0.1), (1.0, 0.2), (2.0, 0.4), (4.0, 0.8)]:
        assert WaveformReverseConfig().share_of_views(strength) == pytest.approx(share), (strength, share)


def test_invalid_shares_are_refused_by_name() -> None:
    assert_invalid(
        WaveformReverseConfig,
        ("probability", -0.1),
        ("probability", 1.1),
    )
