import numpy as np

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.bit_crush import BitCrushConfig
from tests.augment.invalid import assert_invalid


def at(bits: int) -> BitCrushConfig:
    return BitCrushConfig(min_bits=bits, max_bits=bits)


def test_so_many_levels_are_left_whatever_the_level_of_the_crop() -> None:
    for strength, bits in [(0.5, 10), (1.0, 4), (2.0, 3)]:
        for peak in [1.0, 0.001, 5.0]:
            ramp = np.linspace(-peak, peak, 20001, dtype=np.float32)
            crushed, drawn = at(4).build(strength, 16000)(ramp, seed=0)
            assert drawn["depth_bits"] == bits, (strength, bits, peak)
            # audiomentations' count of steps to either side of 0
            steps = 2 ** (bits - 1) + 1
            assert len(np.unique(crushed)) == 2 * steps + 1, (strength, bits, peak)
            np.testing.assert_allclose(
                crushed,
                np.round(ramp / peak * steps) / steps * peak,
                atol=1e-6 * peak,
                err_msg=str((strength, bits, peak)),
            )


def test_toward_0_all_16_bits_are_left(crop: Waveform) -> None:
    crushed, drawn = BitCrushConfig().build(0.01, 16000)(crop, seed=0)
    assert drawn["depth_bits"] == 16
    assert np.abs(crushed - crop).max() < 2**-15 * np.abs(crop).max()


def test_bits_fill_the_range_scaled_by_the_strength(crop: Waveform) -> None:
    augment = BitCrushConfig(min_bits=8, max_bits=12).build(1.5, 16000)
    assert {augment(crop, seed)[1]["depth_bits"] for seed in range(200)} == set(range(4, 11))


def test_invalid_ranges_are_refused_by_name() -> None:
    assert_invalid(
        BitCrushConfig,
        ("min_bits", 2),
        ("min_bits", 13),
        ("max_bits", 17),
        ("max_bits", 5),
    )
