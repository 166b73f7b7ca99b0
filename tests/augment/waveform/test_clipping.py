import numpy as np

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.clipping import ClippingConfig
from tests.augment.invalid import assert_invalid


def at(percent: int) -> ClippingConfig:
    return ClippingConfig(min_clipped_percent=percent, max_clipped_percent=percent)


def test_the_outermost_percentiles_are_cut_off() -> None:
    for strength, percent in [(0.5, 10), (1.0, 20), (2.0, 40), (4.0, 80)]:
        ramp = np.linspace(-1, 1, 2000, dtype=np.float32)
        shuffled = np.random.default_rng(0).permutation(ramp)
        clipped, drawn = at(20).build(strength, 16000)(shuffled, seed=0)
        assert drawn["clipped_percent"] == percent, (strength, percent)
        limit = 1 - percent / 100
        np.testing.assert_allclose(
            clipped, shuffled.clip(-limit, limit), atol=1e-6, err_msg=str((strength, percent))
        )


def test_the_range_ends_at_80_percent(crop: Waveform) -> None:
    _, drawn = at(50).build(4.0, 16000)(crop, seed=0)
    assert drawn["clipped_percent"] == 80


def test_percents_fill_the_range_scaled_by_the_strength(crop: Waveform) -> None:
    augment = ClippingConfig(min_clipped_percent=2, max_clipped_percent=6).build(2.0, 16000)
    percents = {augment(crop, seed)[1]["clipped_percent"] for seed in range(200)}
    assert percents == {4, 6, 8, 10, 12}


def test_digital_silence_does_not_count(crop: Waveform) -> None:
    padded = np.concatenate((np.zeros(4 * len(crop), np.float32), crop))
    clipped, _ = at(40).build(1.0, 16000)(padded, seed=0)
    alone, _ = at(40).build(1.0, 16000)(crop, seed=0)
    assert not clipped[: -len(crop)].any()
    assert np.array_equal(clipped[-len(crop) :], alone)


def test_a_click_stays_a_click() -> None:
    click = np.zeros(1600, np.float32)
    click[100] = 0.5
    assert np.array_equal(at(80).build(1.0, 16000)(click, seed=0)[0], click)


def test_invalid_ranges_are_refused_by_name() -> None:
    assert_invalid(
        ClippingConfig,
        ("min_clipped_percent", -2),
        ("max_clipped_percent", 82),
        ("max_clipped_percent", 5),
        ("min_clipped_percent", 22),
    )
