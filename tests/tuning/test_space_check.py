import re
from typing import Any

import pytest

from echopair.pipeline.config import RunConfig, as_given, compose, validated
from echopair.pipeline.errors import UserError
from echopair.tuning.distributions import Choices
from echopair.tuning.space_check import check_space
from tests.tuning.spaces import TEMPERATURES, read

BASE = as_given(compose())


def check(raw: dict[str, Any]) -> None:
    check_space(read(raw), BASE, validated)


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
            r"encoder\.blocks\.0=1: encoder\.blocks=.* should be a valid tuple",
        ),
        (
            {"augment.policy.augmentations.0.max_gain_db": [1]},
            r"augment\.policy\.augmentations=.* should be a valid tuple",
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
            r"augment\.policy\.operations is no setting of every augment\.policy\.name; .*"
            r"sweep\.space\.augment\.policy=\[\{name: \.\.\.\}, \{name: \.\.\., operations: 1\}\]",
        ),
        (
            {"augment.policy.name": ["random"], "augment.policy.operations": [2, 99]},
            r"operations=99 do not go together: .*operations=99 is more than the pool's \d+",
        ),
        (
            {"pretrain.steps": [9], "objective.temperature": TEMPERATURES, "pretrain.epochs": [1]},
            r"pretrain\.steps=9, pretrain\.epochs=1 do not go together: pretrain: give one budget",
        ),
        (
            {"crops.crop_seconds": [0.3, 1], "log_mel.window_seconds": [0.05, 0.4], "seed": [1, 2]},
            r": crops\.crop_seconds=0\.3, log_mel\.window_seconds=0\.4 do not go together: .* is shorter than",
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
