import numpy as np
import pytest
from pydantic import ValidationError

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.reverse import WaveformReverseConfig


def test_the_last_sample_comes_first_whatever_the_seed_and_the_strength(crop: Waveform) -> None:
    for seed, strength in ((0, 0.5), (1, 4.0)):
        backwards, _ = WaveformReverseConfig().build(strength, 16000)(crop, seed)
        assert backwards.tolist() == crop.tolist()[::-1]
        assert backwards.flags.c_contiguous


def test_twice_reversed_is_the_crop(crop: Waveform) -> None:
    reverse = WaveformReverseConfig().build(1.0, 16000)
    assert np.array_equal(reverse(reverse(crop, 0)[0], 0)[0], crop)


@pytest.mark.parametrize(("strength", "share"), [(0.0, 0.0), (0.5, 0.1), (1.0, 0.2), (2.0, 0.4), (4.0, 0.8)])
def test_the_strength_scales_its_share_of_the_views(strength: float, share: float) -> None:
    assert WaveformReverseConfig().share_of_views(strength) == pytest.approx(share)


@pytest.mark.parametrize("probability", [-0.1, 1.1])
def test_an_invalid_share_is_refused_by_name(probability: float) -> None:
    with pytest.raises(ValidationError, match="probability"):
        WaveformReverseConfig(probability=probability)
