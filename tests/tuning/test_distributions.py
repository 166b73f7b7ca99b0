import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from echopair.pipeline.errors import UserError
from echopair.tuning.distributions import Choices, Integers, LogUniform, Uniform
from tests.tuning.spaces import contains, read

QUANTILES = st.floats(0, 1, exclude_max=True)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), QUANTILES)
def test_a_proposal_of_a_range_lies_within_it_and_is_as_short_as_it_is_stored(
    low: float, width: float, quantile: float
) -> None:
    assume(width > 1e-8 * (abs(low) + width))
    distribution = Uniform(low=low, high=low + width)
    value = distribution.at(quantile)
    assert contains(distribution, value)
    assert abs(value - (low + quantile * width)) <= 1e-5 * max(abs(low), abs(low + width)) + 1e-12
    assert distribution.rounded(value) == value
    assert float(repr(value)) == value


@given(st.floats(1e-6, 1e3), st.floats(1.01, 1e6), QUANTILES)
def test_a_quantile_of_a_logarithmic_range_is_a_quantile_of_its_factor(
    low: float, factor: float, quantile: float
) -> None:
    distribution = LogUniform(low=low, high=low * factor)
    value = distribution.at(quantile)
    assert contains(distribution, value)
    assert math.log(value / low) == pytest.approx(quantile * math.log(factor), abs=1e-4)


def test_a_value_has_six_digits_and_more_only_in_a_narrow_range() -> None:
    assert LogUniform(low=0.05, high=1).at(0.5) == 0.223607
    assert LogUniform(low=1 / 3, high=1).at(0) == 1 / 3  # rounded, it would lie below the range
    narrow = Uniform(low=1, high=1.0001)
    assert len({narrow.at(number / 10_000) for number in range(10_000)}) == 10_000


@given(st.integers(1, 500), st.integers(1, 500), st.booleans(), QUANTILES)
def test_integers_lie_within_their_range(low: int, width: int, log: bool, quantile: float) -> None:
    distribution = Integers(low=low, high=low + width, log=log)
    assert contains(distribution, distribution.at(quantile))
    assert (distribution.at(0), distribution.at(math.nextafter(1, 0))) == (low, low + width)


def test_integers_and_choices_are_equally_likely_and_logarithmic_ones_by_factors() -> None:
    quantiles = [number / 1200 for number in range(1200)]
    for distribution in (Integers(low=-1, high=2), Choices(values=("a", "b", "c", "d"))):
        drawn = [distribution.at(quantile) for quantile in quantiles]
        assert {value: drawn.count(value) for value in drawn} == dict.fromkeys(
            distribution.every_value(), 300
        )
    assert Integers(low=1, high=128, log=True).at(0.5) == 8  # the root of half to 128 and a half


def test_a_grid_has_both_ends_and_even_steps() -> None:
    assert Uniform(low=0, high=1.5, points=4).grid_values() == [0, 0.5, 1, 1.5]
    assert LogUniform(low=0.01, high=1, points=3).grid_values() == [0.01, 0.1, 1]
    assert LogUniform(low=1 / 3, high=2 / 3, points=2).grid_values() == [1 / 3, 2 / 3]
    assert Integers(low=1, high=8, points=4, log=True).grid_values() == [1, 2, 4, 8]
    assert Integers(low=1, high=3, points=9).grid_values() == [1, 2, 3]
    assert Choices(values=("b", "a")).grid_values() == ["b", "a"]
    with pytest.raises(UserError, match=r"needs points, as points: 4, or a list, for the range 0\.1 to 1"):
        Uniform(low=0.1, high=1).grid_values()


def test_a_listed_value_is_found_again_by_its_place() -> None:
    listed = Choices(values=(1, {"name": "all"}, [2, 3], None, True))
    assert all(listed.value(listed.parameter(value)) is value for value in listed.values)


@pytest.mark.parametrize(
    ("distribution", "message"),
    [
        ({"name": "uniform", "low": 1, "high": 1}, r"low=1 must be below high=1"),
        ({"name": "uniform", "low": 1, "high": 1 + 1e-12}, r"low=1 must be below high=1"),
        ({"name": "log_uniform", "low": 0, "high": 1}, r"low\n.*greater than 0"),
        ({"name": "log_uniform", "low": 2, "high": 1}, r"low=2 must be below high=1"),
        ({"name": "uniform", "low": 0, "high": math.inf}, r"high\n.*finite number"),
        ({"name": "uniform", "low": 0, "high": 1, "points": 1}, r"points\n.*greater than or equal to 2"),
        ({"name": "integers", "low": 3, "high": 3}, r"low=3 must be below high=3"),
        ({"name": "integers", "low": 0, "high": 3, "log": True}, r"low=0: log=true needs a low of 1 or more"),
        ({"name": "integers", "low": 0.5, "high": 3}, r"low\n.*valid integer"),
        ([], r"values\n.*at least 1 item"),
        ([1, [2], 1.0], r"1\.0 is listed twice"),
        ({"name": "grid", "values": [{"a": 1}, {"a": 1}]}, r"\{a: 1\} is listed twice"),
        ({"name": "choices", "values": [1], "log": True}, r"log\n.*not permitted"),
    ],
)
def test_what_is_no_distribution_is_refused(distribution: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        read({"objective.temperature": distribution})
