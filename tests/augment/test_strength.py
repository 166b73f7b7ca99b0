import itertools
import math

import pytest
from pydantic import TypeAdapter, ValidationError

from echopair.augment.strength import (
    MAX_STRENGTH,
    Strength,
    check_strength,
    scale_between,
    scale_limit,
    scale_ratio,
)

STRENGTHS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, MAX_STRENGTH)


def test_a_limit_is_nothing_at_0_as_configured_at_1_and_grows() -> None:
    limits = [scale_limit(6.0, strength) for strength in STRENGTHS]
    assert limits[0] == 0
    assert scale_limit(6.0, 1.0) == 6.0
    assert all(low < high for low, high in itertools.pairwise(limits))


def test_a_limit_stops_at_the_highest_valid_value() -> None:
    assert scale_limit(0.4, 4.0, highest=0.9) == 0.9


def test_a_ratio_is_1_at_0_as_configured_at_1_and_moves_away() -> None:
    for ratio in [0.6, 1.5]:
        distances = [abs(math.log(scale_ratio(ratio, strength))) for strength in STRENGTHS]
        assert scale_ratio(ratio, 0.0) == 1, ratio
        assert scale_ratio(ratio, 1.0) == ratio, ratio
        assert all(low < high for low, high in itertools.pairwise(distances)), ratio


def test_a_path_runs_from_neutral_through_the_configured_value_by_equal_factors() -> None:
    for neutral, configured in [(8000.0, 2000.0), (20.0, 800.0)]:
        assert scale_between(neutral, configured, 0.0) == neutral, (neutral, configured)
        assert scale_between(neutral, configured, 1.0) == configured, (neutral, configured)
        path = [scale_between(neutral, configured, step / 2) for step in range(5)]
        for one, following in itertools.pairwise(path):
            assert following / one == pytest.approx(math.sqrt(configured / neutral)), (neutral, configured)


def test_a_path_between_equal_values_stays() -> None:
    assert scale_between(500.0, 500.0, 2.0) == pytest.approx(500.0)


@pytest.mark.parametrize("strength", [-0.1, MAX_STRENGTH + 0.1, math.nan, math.inf])
def test_a_strength_out_of_range_is_refused_by_value(strength: float) -> None:
    with pytest.raises(ValueError, match=f"from 0 to 4, not {strength}"):
        check_strength(strength)
    with pytest.raises(ValidationError):
        TypeAdapter(Strength).validate_python(strength)


def test_a_strength_within_range_is_kept() -> None:
    for strength in [0.0, 1.0, MAX_STRENGTH]:
        assert check_strength(strength) == strength, strength
