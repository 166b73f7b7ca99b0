import math

import numpy as np
import pytest

from echopair.augment.waveform.air_absorption import AirAbsorptionConfig
from echopair.augment.waveform.augmentation import Waveform
from tests.augment.invalid import assert_invalid
from tests.augment.waveform.measuring import amplitude, sine

# Attenuation in nepers per metre at 30 to 50 % humidity, of the table of pyroomacoustics: 10 and 20 degrees.
NEPERS_PER_METRE = {1000: (1.1e-3, 1.0e-3), 4000: (9.4e-3, 5.8e-3)}


def at(distance_metres: float) -> AirAbsorptionConfig:
    return AirAbsorptionConfig(
        min_distance_metres=distance_metres,
        max_distance_metres=distance_metres,
        min_humidity_percent=40,
        max_humidity_percent=40,
    )


def test_a_tone_loses_what_the_table_says() -> None:
    for frequency_hz in NEPERS_PER_METRE:
        for strength in [0.5, 1.0, 2.0]:
            tone = sine(frequency_hz)
            temperatures = set()
            for seed in range(4):
                far, drawn = at(80.0).build(strength, 16000)(tone, seed)
                temperatures.add(drawn["temperature_celsius"])
                nepers = 80 * strength * NEPERS_PER_METRE[frequency_hz][drawn["temperature_celsius"] == 20]
                assert amplitude(far, frequency_hz) == pytest.approx(0.5 * math.exp(-nepers), rel=0.01), (
                    frequency_hz,
                    strength,
                )
            assert temperatures == {10, 20}, (frequency_hz, strength)


def test_the_distance_ends_at_2500_metres(crop: Waveform) -> None:
    _, drawn = at(1000.0).build(4.0, 16000)(crop, seed=0)
    assert drawn["distance_metres"] == 2500


def test_no_distance_changes_nothing(crop: Waveform) -> None:
    near, _ = AirAbsorptionConfig().build(1e-6, 16000)(crop, seed=0)
    np.testing.assert_allclose(near, crop, atol=1e-6)


def test_distances_and_humidities_fill_their_ranges(crop: Waveform) -> None:
    augment = AirAbsorptionConfig().build(0.5, 16000)
    drawn = [augment(crop, seed)[1] for seed in range(200)]
    distances, humidities = ([one[key] for one in drawn] for key in ("distance_metres", "humidity_percent"))
    assert 5 <= min(distances) < 6
    assert 49 < max(distances) <= 50
    assert 30 <= min(humidities) <= 31
    assert 89 <= max(humidities) <= 90


def test_invalid_ranges_are_refused_by_name() -> None:
    assert_invalid(
        AirAbsorptionConfig,
        ("min_distance_metres", 0.0),
        ("min_distance_metres", 101.0),
        ("max_distance_metres", 2501.0),
        ("max_distance_metres", math.nan),
        ("min_humidity_percent", 29),
        ("max_humidity_percent", 91),
        ("max_humidity_percent", 29),
    )
