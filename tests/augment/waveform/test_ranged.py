import pytest
from pydantic import ValidationError

from echopair.augment.waveform.ranged import within
from echopair.augment.waveform.time_stretch import TimeStretchConfig


def test_ends_in_the_wrong_order_are_refused_with_both_keys_and_values() -> None:
    with pytest.raises(
        ValidationError, match=r"min_rate=1.5 is above max_rate=1.25: lower min_rate or raise"
    ):
        TimeStretchConfig(min_rate=1.5)
    assert TimeStretchConfig(min_rate=1.25).max_rate == 1.25


def test_within_ends_at_the_ends() -> None:
    for value, kept in [(-1.0, 0.0), (0.5, 0.5), (3.0, 2.0)]:
        assert within(value, 0.0, 2.0) == kept, (value, kept)
