import numpy as np
import pytest
from pydantic import ValidationError

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.polarity import PolarityConfig


def test_every_sample_is_negated_whatever_the_seed_and_the_strength(crop: Waveform) -> None:
    for seed, strength in ((0, 0.5), (1, 4.0)):
        assert np.array_equal(PolarityConfig().build(strength, 16000)(crop, seed)[0], -crop)


@pytest.mark.parametrize(("strength", "share"), [(0.0, 0.0), (0.5, 0.15), (1.0, 0.3), (2.0, 0.6), (4.0, 1.0)])
def test_the_strength_scales_its_share_of_the_views_up_to_all(strength: float, share: float) -> None:
    assert PolarityConfig(probability=0.3).share_of_views(strength) == pytest.approx(share)


@pytest.mark.parametrize("probability", [-0.1, 1.1])
def test_an_invalid_share_is_refused_by_name(probability: float) -> None:
    with pytest.raises(ValidationError, match="probability"):
        PolarityConfig(probability=probability)
