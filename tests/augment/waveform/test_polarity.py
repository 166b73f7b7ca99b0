import numpy as np
import pytest

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.polarity import PolarityConfig
from tests.augment.invalid import assert_invalid


def test_every_sample_is_negated_whatever_the_seed_and_the_strength(crop: Waveform) -> None:
    for seed, strength in ((0, 0.5), (1, 4.0)):
        assert np.array_equal(PolarityConfig().build(strength, 16000)(crop, seed)[0], -crop)


def test_the_strength_scales_its_share_of_the_views_up_to_all() -> None:
    for strength, share in [(0.0, 0.0), (0.5, 0.15), (1.0, 0.3), (2.0, 0.6), (4.0, 1.0)]:
        assert PolarityConfig(probability=0.3).share_of_views(strength) == pytest.approx(share), (
            strength,
            share,
        )


def test_invalid_shares_are_refused_by_name() -> None:
    assert_invalid(
        PolarityConfig,
        ("probability", -0.1),
        ("probability", 1.1),
    )
