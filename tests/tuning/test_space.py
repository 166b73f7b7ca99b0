import math
import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pipeline.config import RunConfig, compose, validated
from pipeline.errors import UserError
from tuning.domains import Choices, Domain, Grid, Integers, LogUniform, Uniform
from tuning.space import lay_over, nested, space_of
from tuning.space_check import check_space

SPACE: TypeAdapter[dict[str, Domain]] = TypeAdapter(dict[str, Domain])
BASE = compose().model_dump(mode="json")
TEMPERATURES = {"name": "log_uniform", "low": 0.05, "high": 1}
SHARES = st.floats(0, 1, exclude_max=True)


def read(raw: dict[str, Any]) -> dict[str, Domain]:
    return SPACE.validate_python(space_of(raw))


def check(raw: dict[str, Any]) -> None:
    check_space(read(raw), BASE, validated)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), SHARES)
def test_a_proposal_of_a_range_lies_within_it_and_is_as_short_as_it_is_stored(
    low: float, width: float, share: float
) -> None:
    assume(width > 1e-8 * (abs(low) + width))
    domain = Uniform(low=low, high=low + width)
    value = domain.at(share)
    assert domain.contains(value)
    assert abs(value - (low + share * width)) <= 1e-5 * max(abs(low), abs(low + width)) + 1e-12
    assert domain.rounded(value) == value
    assert float(repr(value)) == value


@given(st.floats(1e-6, 1e3), st.floats(1.01, 1e6), SHARES)
def test_a_share_of_a_logarithmic_range_is_a_share_of_its_factor(
    low: float, factor: float, share: float
) -> None:
    domain = LogUniform(low=low, high=low * factor)
    value = domain.at(share)
    assert domain.contains(value)
    assert math.log(value / low) == pytest.approx(share * math.log(factor), abs=1e-4)


def test_a_value_has_six_digits_and_more_only_in_a_narrow_range() -> None:
    assert LogUniform(low=0.05, high=1).at(0.5) == 0.223607
    assert LogUniform(low=1 / 3, high=1).at(0) == 1 / 3  # rounded, it would lie below the range
    narrow = Uniform(low=1, high=1.0001)
    assert len({narrow.at(number / 10_000) for number in range(10_000)}) == 10_000


@given(st.integers(1, 500), st.integers(1, 500), st.booleans(), SHARES)
def test_integers_lie_within_their_range(low: int, width: int, log: bool, share: float) -> None:
    domain = Integers(low=low, high=low + width, log=log)
    assert domain.contains(domain.at(share))
    assert (domain.at(0), domain.at(math.nextafter(1, 0))) == (low, low + width)


def test_integers_and_choices_are_equally_likely_and_logarithmic_ones_by_factors() -> None:
    shares = [number / 1200 for number in range(1200)]
    for domain in (Integers(low=-1, high=2), Choices(values=("a", "b", "c", "d"))):
        drawn = [domain.at(share) for share in shares]
        assert {value: drawn.count(value) for value in drawn} == dict.fromkeys(domain.every_value(), 300)
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


def test_a_domain_knows_its_values_and_no_others() -> None:
    listed = Choices(values=(1, {"name": "all"}, [2, 3], None))
    assert all(
        listed.contains(value) and listed.values[listed.place(value)] == value for value in listed.values
    )
    assert not any(listed.contains(value) for value in (True, 2, "all", {"name": "random"}))
    assert not any(Integers(low=0, high=5).contains(value) for value in (2.5, 2.0, True, "2", 6))
    assert not any(Uniform(low=0, high=5).contains(value) for value in (True, "2", None, 5.1))


def test_a_domain_in_words() -> None:
    domains = read(
        {
            "a": TEMPERATURES,
            "b": {"name": "uniform", "low": 0, "high": 1.5},
            "c": {"name": "integers", "low": 1, "high": 8, "log": True},
            "d": [{"name": "random", "operations": 3}, "x", None],
            "e": {"name": "grid", "values": [0, 1]},
        }
    )
    assert [domain.describe() for domain in domains.values()] == [
        "0.05 to 1, log",
        "0 to 1.5",
        "1 to 8, whole, log",
        "{name: random, operations: 3}, x, null",
        "each of 0, 1",
    ]


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
    stored = {key: domain.model_dump(mode="json") for key, domain in space.items()}
    assert read(stored) == space


def test_a_name_as_a_key_of_a_run_is_told_from_the_name_of_a_domain() -> None:
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
        ({"a": [1], "a.b": [2]}, r"a\.b lies within a; give one of them"),
        ({"a.b": [2], "a": [1]}, r"a\.b lies within a; give one of them"),
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
            r"no domain 'integer'; did you mean 'integers'\?; domains are",
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


@pytest.mark.parametrize(
    ("domain", "message"),
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
def test_what_is_no_domain_is_refused(domain: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        read({"objective.temperature": domain})


def test_all_values_of_a_trial_are_laid_at_once() -> None:
    values = {"augment.policy.operations": 3, "augment.policy.name": "random", "pretrain.minutes": 5}
    config = validated(lay_over(BASE, values))
    assert config == compose("synthetic", [f"{key}={value}" for key, value in values.items()])
    assert (
        validated(lay_over(BASE, {"augment.policy": {"name": "random", "operations": 3}})).augment
        == config.augment
    )
    assert compose().model_dump(mode="json") == BASE


@pytest.mark.parametrize(
    "raw",
    [
        {"objective.temperature": TEMPERATURES, "seed": {"name": "grid", "values": [0, 1, 2]}},
        {
            "pretrain": [
                {"batch_pairs": 64, "learning_rate": 0.001},
                {"batch_pairs": 128, "learning_rate": 0.002},
            ]
        },
        {"pretrain.steps": [100, 200]},
        {"pretrain.batch_pairs": {"name": "integers", "low": 16, "high": 512, "log": True}},
        {"projection.hidden_dim": [None, 256], "encoder.blocks": [[1, 1, 1, 1], [2, 2, 2, 2]]},
        {"augment.policy.operations": [1, 2], "augment.policy.name": ["random", "stacked"]},
        {"augment.policy": [{"name": "all"}, {"name": "random", "operations": 3}]},
        {"log_mel.sample_rate_hz": [8000, 16000], "log_mel.max_hz": [3900]},  # neither by itself fits the run
        {f"pretrain.{key}": TEMPERATURES for key in ("learning_rate", "weight_decay", "warm_up_share")}
        | {"pretrain.warm_up_share": {"name": "uniform", "low": 0, "high": 0.5}},
    ],
)
def test_spaces_that_fit_a_run(raw: dict[str, Any]) -> None:
    check(raw)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({}, r"sweep\.space is empty; give at least one key"),
        (
            {"objective.temprature": [0.1]},
            r"unknown key 'objective\.temprature'; did you mean 'objective\.temperature'",
        ),
        ({"temperature": [0.1]}, r"unknown key 'temperature'; did you mean 'objective\.temperature'"),
        ({"nothing.here": [1], "encoder.widht": [8]}, r"unknown key '(nothing\.here|encoder\.widht)'"),
        (
            {"encoder.blocks.0": [1]},
            r"unknown key 'encoder\.blocks\.0': encoder\.blocks has no keys below it",
        ),
        (
            {"augment.policy.augmentations.0.max_gain_db": [1]},
            r"augment\.policy\.augmentations has no keys below it; sweep it as a whole",
        ),
        ({"objective.temperature": [0.1, -1]}, r"objective\.temperature=-1: input should be greater than 0"),
        (
            {"objective.temperature": ["warm"]},
            r"objective\.temperature='warm': input should be a valid number",
        ),
        (
            {"augment.strength": {"name": "uniform", "low": 0, "high": 5}},
            r"augment\.strength=5\.0: .*equal to 4",
        ),
        (
            {"augment.strength": {"name": "uniform", "low": -1, "high": 4}},
            r"augment\.strength=-1\.0: .*equal to 0",
        ),
        (
            {"seed": {"name": "grid", "values": [0, -1]}},
            r"seed=-1: input should be greater than or equal to 0",
        ),
        ({"encoder.name": ["resnet", "resnett"]}, r"encoder\.name=resnett: .*'resnet', 'vgg_like'"),
        (
            {"pretrain.batch_pairs": {"name": "log_uniform", "low": 31.5, "high": 256}},
            r"it takes whole numbers: \{name: integers, low: 32, high: 256, log: true\}",
        ),
        (
            {
                "encoder.width": {"name": "integers", "low": 16, "high": 528}
            },  # evenly spaced values would all do
            r"encoder\.width=\d+: .*multiple of 8; list the values .* as sweep\.space\.encoder\.width=\[16, 528\]",
        ),
        (
            {"encoder.width": {"name": "integers", "low": 12, "high": 20}},
            r"encoder\.width=12: .*multiple of 8$",
        ),
        (
            {"augment.policy.name": ["random", "all"], "augment.policy.operations": [1]},
            r"augment\.policy\.operations is no setting of augment\.policy\.name=all; .*"
            r"sweep\.space\.augment\.policy=\[\{name: \.\.\.\}, \{name: \.\.\., operations: 1\}\]",
        ),
        (
            {"augment.policy.name": ["random"], "augment.policy.operations": [2, 99]},
            r"operations=99 is more than the pool's \d+.* \(with augment\.policy\.name=random\)",
        ),
        (
            {"pretrain.steps": [9], "objective.temperature": TEMPERATURES, "pretrain.epochs": [1]},
            r"pretrain\.steps=9, pretrain\.epochs=1 do not go together: pretrain: give one budget",
        ),
        (
            {"crops.crop_seconds": [0.1, 1], "log_mel.window_seconds": [0.05, 0.2], "seed": [1, 2]},
            r": crops\.crop_seconds=0\.1, log_mel\.window_seconds=0\.2 do not go together: .* is shorter than",
        ),
    ],
)
def test_a_space_that_does_not_fit_the_run_is_refused(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check(raw)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("corpora.sound_events.seed", "what the score means"),
        ("prepare.min_seconds", "what the score means"),
        ("embed.batch_crops", "what the score means"),
        ("probe.folds", "what the score means"),
        ("tracking.uri", "where things are"),
        ("work_folder", "where things are"),
        ("run_name", "named after its number"),
        ("threads", r"sweep\.resources decides"),
        ("pretrain.device", "how fast a trial trains"),
        ("pretrain.schedule", "population-based training"),
    ],
)
def test_what_is_not_swept_is_refused_with_its_reason(key: str, reason: str) -> None:
    with pytest.raises(UserError, match=rf"{re.escape(key)} cannot be swept: .*{reason}"):
        check({key: [1, 2]})


def test_what_is_not_swept_is_refused_within_a_mapping_too() -> None:
    with pytest.raises(UserError, match=r"sweep\.space\.pretrain: pretrain\.workers cannot be swept"):
        check({"pretrain": [{"weight_decay": 0.1}, {"workers": 2}]})
    check({"pretrain.precision": ["float32", "bfloat16"]})  # it changes what is learned


def test_a_large_space_is_tried_in_a_bounded_number_of_trials() -> None:
    tried = 0

    def make(values: dict[str, Any]) -> RunConfig:
        nonlocal tried
        tried += 1
        return validated(values)

    rates = {
        f"pretrain.{key}": [number / 100 for number in range(1, 40)]
        for key in ("learning_rate", "weight_decay")
    }
    space = read({**rates, "objective.temperature": TEMPERATURES, "seed": list(range(40))})
    check_space(space, BASE, make)
    assert 1000 < tried < 2000
    decays = Choices(values=(*(number / 1000 for number in range(99)), 7))
    with pytest.raises(UserError, match=r"pretrain\.weight_decay=7: "):  # the one value of many
        check_space({**space, "pretrain.weight_decay": decays}, BASE, make)
