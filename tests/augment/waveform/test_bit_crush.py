import numpy as np
import pytest
from pydantic import ValidationError

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.bit_crush import BitCrushConfig


def at(bits: int) -> BitCrushConfig:
    return BitCrushConfig(min_bits=bits, max_bits=bits)


@pytest.mark.parametrize(("strength", "bits"), [(0.5, 10), (1.0, 4), (2.0, 3)])
@pytest.mark.parametrize("peak", [1.0, 0.001, 5.0])
def test_so_many_levels_are_left_whatever_the_level_of_the_crop(
    strength: float, bits: int, peak: float
) -> None:
    ramp = np.linspace(-peak, peak, 20001, dtype=np.float32)
    crushed, drawn = at(4).build(strength, 16000)(ramp, seed=0)
    assert drawn["depth_bits"] == bits
    # audiomentations' count of steps to either side of 0
    steps = 2 ** (bits - 1) + 1
    assert len(np.unique(crushed)) == 2 * steps + 1
    np.testing.assert_allclose(crushed, np.round(ramp / peak * steps) / steps * peak, atol=1e-6 * peak)


def test_toward_0_all_16_bits_are_left(crop: Waveform) -> None:
    crushed, drawn = BitCrushConfig().build(0.01, 16000)(crop, seed=0)
    assert drawn["depth_bits"] == 16
    assert np.abs(crushed - crop).max() < 2**-15 * np.abs(crop).max()


def test_bits_fill_the_range_scaled_by_the_strength(crop: Waveform) -> None:
    augment = BitCrushConfig(min_bits=8, max_bits=12).build(1.5, 16000)
    assert {augment(crop, seed)[1]["depth_bits"] for seed in range(200)} == set(range(4, 11))


def test_the_seed_decides(crop: Waveform) -> None:
    augment = BitCrushConfig().build(1.0, 16000)
    views = [augment(crop, seed)[0] for seed in range(8)]
    assert np.array_equal(views[1], augment(crop, 1)[0])
    assert len({view.tobytes() for view in views}) > 1


@pytest.mark.parametrize(
    ("key", "value"), [("min_bits", 2), ("min_bits", 13), ("max_bits", 17), ("max_bits", 5)]
)
def test_an_invalid_range_is_refused_by_name(key: str, value: int) -> None:
    with pytest.raises(ValidationError, match=key):
        BitCrushConfig.model_validate({key: value})
