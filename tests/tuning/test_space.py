from typing import Any

import pytest

from echopair.pipeline.config import compose, validated
from echopair.pipeline.errors import UserError
from echopair.tuning.distributions import Choices, Grid, LogUniform
from echopair.tuning.space import lay_over, nested, space_of
from tests.tuning.spaces import TEMPERATURES, read

BASE = compose().model_dump(mode="json")


def test_keys_may_be_nested_or_dotted_or_both() -> None:
    raw = {
        "objective": {"temperature": TEMPERATURES},
        "augment.policy.name": ["all", "random"],
        "augment": {"strength": [0, 1]},
        "crops": {"positives": {"name": {"name": "grid", "values": ["two_offsets", "neighbours"]}}},
        "pretrain": {"weight_decay": None},
    }
    space = read(raw)
    assert space == {
        "objective.temperature": LogUniform(low=0.05, high=1),
        "augment.policy.name": Choices(values=("all", "random")),
        "augment.strength": Choices(values=(0, 1)),
        "crops.positives.name": Grid(values=("two_offsets", "neighbours")),
    }
    assert read(nested(raw)) == read(space) == space
    stored = {key: one.model_dump(mode="json") for key, one in space.items()}
    assert read(stored) == space


def test_a_name_as_a_key_of_a_run_is_told_from_the_name_of_a_distribution() -> None:
    assert space_of({"augment": {"policy": {"name": ["all", "random"]}}}) == {
        "augment.policy.name": {"name": "choices", "values": ["all", "random"]}
    }


def test_nesting_changes_nothing_that_it_is_given() -> None:
    raw: dict[str, Any] = {"a": {}, "a.b": 1, "c": {"d": {"e": 2}}}
    assert nested(raw) == {"a": {"b": 1}, "c": {"d": {"e": 2}}}
    assert raw == {"a": {}, "a.b": 1, "c": {"d": {"e": 2}}}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"a.b": 1, "a": {"b": 2}}, r"a\.b is given twice"),
        ({"a": [1], "a.b": [2]}, r"a\.b is within a; give one of them"),
        ({"a.b": [2], "a": [1]}, r"a\.b is within a; give one of them"),
        (
            {"objective.temperature": 0.1},
            r"sweep\.space\.objective\.temperature=0\.1 is one value; write a list",
        ),
        ({"seed": "many"}, r"sweep\.space\.seed=many is one value"),
        (
            {"seed": {"low": 1, "high": 3}},
            r"sweep\.space\.seed=\{low: 1, high: 3\} has no name; add name: and one of",
        ),
        (
            {"seed": {"name": "integer", "low": 1}},
            r"no distribution 'integer'; did you mean 'integers'\?; distributions are",
        ),
        (
            {"augment": {"policy": {"name": "random"}}},
            r"sweep\.space\.augment\.policy\.name=\[random, \.\.\.\]",
        ),
    ],
)
def test_what_is_no_space_is_refused(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        space_of(raw)


def test_all_values_of_a_trial_are_laid_at_once() -> None:
    values = {"augment.policy.operations": 3, "augment.policy.name": "random", "pretrain.minutes": 5}
    config = validated(lay_over(BASE, values))
    composed = compose("synthetic", [f"{key}={value}" for key, value in values.items()])
    assert config == composed.model_copy(update={"run_name": config.run_name})
    assert (
        validated(lay_over(BASE, {"augment.policy": {"name": "random", "operations": 3}})).augment
        == config.augment
    )
    assert compose().model_dump(mode="json") == BASE
