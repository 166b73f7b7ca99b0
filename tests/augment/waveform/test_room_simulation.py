import importlib.util
import math
import pickle
import sys

import numpy as np
import pytest
from pydantic import ValidationError

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.room_simulation import RoomSimulationConfig
from tests.augment.invalid import assert_invalid

INSTALLED = importlib.util.find_spec("pyroomacoustics") is not None
needs_the_package = pytest.mark.skipif(not INSTALLED, reason="pyroomacoustics is not installed")


def test_without_its_package_it_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyroomacoustics", None)  # as if it were not installed
    with pytest.raises(ValidationError, match=r"name=room_simulation needs .*pip install '.\[room\]'"):
        RoomSimulationConfig()


@needs_the_package
def test_the_wet_share_grows_with_the_strength(crop: Waveform) -> None:
    for strength, share in [(0.5, 0.3), (1.0, 0.6), (2.0, 1.0), (4.0, 1.0)]:
        augment = RoomSimulationConfig(min_wet_share=0.6, max_wet_share=0.6).build(strength, 16000)
        assert augment(crop, seed=0)[1]["wet_share"] == pytest.approx(share), (strength, share)


@needs_the_package
def test_the_direct_sound_is_not_delayed_and_the_power_is_kept() -> None:
    for rate_hz in [8000, 16000, 48000]:
        click = np.zeros(rate_hz // 2, np.float32)
        click[1000] = 0.5
        augment = RoomSimulationConfig(min_wet_share=1.0, max_wet_share=1.0).build(1.0, rate_hz)
        for seed in range(5):
            view, _ = augment(click, seed)
            assert np.abs(view).argmax() == 1000, rate_hz
            assert view[1000] > 0, rate_hz
            assert np.square(view).sum() == pytest.approx(0.25, rel=1e-3), rate_hz
            assert np.square(view[1100:]).sum() > 0.001, rate_hz


@needs_the_package
def test_hard_walls_send_back_more_than_soft_ones() -> None:
    click = np.zeros(8000, np.float32)
    click[1000] = 1
    echoes = []
    for absorption in (0.05, 0.4, 0.95):
        config = RoomSimulationConfig(
            min_wet_share=1.0, max_wet_share=1.0, min_absorption=absorption, max_absorption=absorption
        )
        augment = config.build(1.0, 16000)
        echoes.append(sum(np.square(augment(click, seed)[0][1100:]).sum() for seed in range(5)))
    assert echoes == sorted(echoes, reverse=True)


@needs_the_package
def test_the_seed_decides_in_any_process(crop: Waveform) -> None:
    augment = RoomSimulationConfig().build(1.0, 16000)
    first, _ = augment(crop, 1)
    elsewhere = pickle.loads(pickle.dumps(augment))
    assert np.array_equal(first, elsewhere(crop, 1)[0])
    assert not np.array_equal(first, augment(crop, 2)[0])


def test_invalid_ranges_are_refused_by_name() -> None:
    assert_invalid(
        RoomSimulationConfig,
        ("min_size_metres", 0.5),
        ("min_size_metres", 9.0),
        ("max_size_metres", 101.0),
        ("min_absorption", 0.0),
        ("max_absorption", 1.1),
        ("min_distance_metres", 0.0),
        ("max_distance_metres", math.nan),
        ("max_wet_share", 1.1),
        ("min_wet_share", 0.6),
    )


def test_the_reported_parameters_are_in_metres_and_as_used(crop: Waveform) -> None:
    augment = RoomSimulationConfig(min_size_metres=4.0, max_size_metres=6.0, max_distance_metres=3.0).build(
        1.0, 16000
    )
    for seed in range(20):
        drawn = augment(crop, seed)[1]
        assert 4 <= drawn["length_metres"] <= 6
        assert 4 <= drawn["width_metres"] <= 6
        assert 0 < drawn["distance_metres"] <= 3
        assert 0.15 <= drawn["absorption"] <= 0.4
