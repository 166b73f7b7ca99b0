from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from echopair.augment.policy import AugmentConfig
from echopair.models.encoders import ResNetConfig
from echopair.models.log_mel_config import LogMelConfig
from echopair.models.methods import SimCLRConfig
from echopair.models.projection import ProjectionConfig
from echopair.pipeline.config import compose
from echopair.pipeline.training.crops import CropsConfig
from echopair.pipeline.training.learner import LearningConfig, PretrainConfig
from echopair.pipeline.training.schedule import ScheduledChange, check_schedulable, phases


def learning(*changes: tuple[int, dict[str, Any]], policy: str = "all") -> LearningConfig:
    return LearningConfig(
        seed=0,
        log_mel=LogMelConfig(),
        crops=CropsConfig(),
        augment=AugmentConfig.model_validate({"policy": {"name": policy}}),
        encoder=ResNetConfig(),
        projection=ProjectionConfig(),
        objective=SimCLRConfig(),
        pretrain=PretrainConfig.model_validate(
            {"steps": 100, "schedule": [{"step": step, "values": values} for step, values in changes]}
        ),
    )


def test_later_changes_lie_over_earlier_ones() -> None:
    config = learning(
        (10, {"objective.temperature": 0.1, "augment.strength": 2}),
        (20, {"objective.temperature": 0.5, "augment.policy.operations": 3}),
        policy="random",
    )
    at = {step: config.config_at(step) for step in (0, 9, 10, 19, 20, 99)}
    assert [at[step].objective.temperature for step in at] == [0.2, 0.2, 0.1, 0.1, 0.5, 0.5]
    assert [at[step].augment.strength for step in at] == [1, 1, 2, 2, 2, 2]
    assert [at[step].augment.policy.operations for step in at] == [2, 2, 2, 2, 3, 3]  # type: ignore[union-attr]
    assert config.config_at(0) == learning(policy="random")
    assert at[20].augment.policy.pool == config.augment.policy.pool  # type: ignore[union-attr]


def test_a_list_is_changed_as_a_whole() -> None:
    config = learning((10, {"augment.policy.augmentations": ["gain", {"name": "tilt", "probability": 0.5}]}))
    policy = config.config_at(10).augment.policy
    assert [(one.name, one.probability) for one in policy.augmentations] == [("gain", 1), ("tilt", 0.5)]  # type: ignore[union-attr]


def test_keys_of_a_learned_policy_change_one_by_one() -> None:
    values = learning().model_dump(mode="json")
    values["augment"]["policy"] = {"name": "learned", "operations": {"tilt": {}, "gain": {"magnitude": 2}}}
    changes = {
        "augment.policy.operations.tilt.magnitude": 0.5,
        "augment.policy.operations.gain.probability": 0.1,
    }
    values["pretrain"]["schedule"] = [{"step": 1, "values": changes}]
    policy = (
        LearningConfig.model_validate(values).config_at(1).augment.policy.model_dump(exclude_defaults=True)
    )
    assert policy["operations"] == {"tilt": {"magnitude": 0.5}, "gain": {"magnitude": 2, "probability": 0.1}}


@pytest.mark.parametrize(
    "key", ["objective.temperature", "augment.strength", "augment.policy.operations.tilt.magnitude"]
)
def test_objective_augmentations_and_rates_may_change(key: str) -> None:
    for one in (key, "pretrain.learning_rate", "pretrain.weight_decay"):
        check_schedulable(one)


@pytest.mark.parametrize(
    "key",
    [
        "objective",
        "objective.name",
        "augment.policy.name",
        "augment.policy.file",
        "pretrain.batch_pairs",
        "pretrain.warm_up_share",
        "pretrain.schedule",
        "encoder.width",
        "crops.views",
        "seed",
    ],
)
def test_what_weights_data_and_length_depend_on_may_not_change(key: str) -> None:
    with pytest.raises(
        ValueError, match=rf"^{key} cannot change .*objective\.\*, augment\.\*.*learning_rate"
    ):
        check_schedulable(key)
    with pytest.raises(ValidationError, match=f"{key} cannot change"):
        ScheduledChange(step=1, values={key: 1})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"augment.strength": 2, "objective.temperature": -1}, "objective.temperature=-1: Input should be greater"),
        ({"objective.temprature": 0.1}, "objective.temprature=0.1: there is no such key"),
        ({"pretrain.learning_rate": "fast"}, "pretrain.learning_rate='fast': Input should be a valid number"),
        ({"augment.policy.operations": 50}, "augment.policy.operations=50: operations=50 is more than the pool's"),
        ({"augment.policy.pool": ["tlit"]}, r"augment.policy.pool=\['tlit'\]: Input tag 'tlit'"),
        ({"augment.policy.pool.0.probability": 1}, "augment.policy.pool.0.probability=1: pool has no keys"),
    ],
)  # fmt: skip
def test_a_change_that_does_not_fit_is_refused_by_step_key_and_value(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=f"pretrain.schedule: from step 20 on, {message}"):
        learning((10, {"augment.strength": 2}), (20, values), policy="random")


def test_several_values_are_given_a_line_each() -> None:
    with pytest.raises(ValidationError, match=r"augment.policy is given several values; give each a line"):
        learning((10, {"augment.policy": {"name": "random", "operations": 3}}))


@pytest.mark.parametrize("steps", [(20, 10), (10, 10)])
def test_changes_come_by_rising_step(steps: tuple[int, int]) -> None:
    with pytest.raises(ValidationError, match=f"pretrain.schedule: step {steps[1]} follows step {steps[0]}"):
        learning(*((step, {"augment.strength": 2}) for step in steps))


def test_a_training_without_a_schedule_is_identified_as_before_there_were_any() -> None:
    pretrain = learning().key_inputs()["pretrain"]
    assert set(pretrain) == {  # type: ignore[call-overload]
        "batch_pairs", "steps", "epochs", "minutes", "learning_rate", "weight_decay", "warm_up_share", "precision"
    }  # fmt: skip
    assert learning().config_at(50) == learning()
    one, other = learning((10, {"augment.strength": 2})), learning((11, {"augment.strength": 2}))
    assert one.key_inputs() != other.key_inputs()


def test_phases_begin_where_values_change() -> None:
    schedule = [ScheduledChange(step=step, values={"augment.strength": 2}) for step in (3, 5, 10)]
    assert phases(schedule, 0, 10) == [range(3), range(3, 5), range(5, 10)]
    assert phases(schedule, 3, 12) == [range(3, 5), range(5, 10), range(10, 12)]
    assert phases(schedule, 4, 7) == [range(4, 5), range(5, 7)]
    assert phases([], 2, 7) == [range(2, 7)]
    assert phases(schedule, 12, 12) == []


def test_a_schedule_is_written_in_yaml(tmp_path: Path) -> None:
    file = tmp_path / "found.yaml"
    file.write_text(
        """
preset: synthetic
pretrain:
  steps: 100
  schedule:
    - {step: 40, values: {objective.temperature: 0.1}}
    - {step: 70, values: {augment.strength: 2, pretrain.learning_rate: 0.002}}
"""
    )
    config = compose(str(file))
    assert config.learning.config_at(80).pretrain.learning_rate == 0.002
    again = tmp_path / "again.yaml"
    again.write_text(config.model_dump_json())
    assert compose(str(again)) == config
    assert compose(
        "synthetic", ["pretrain.steps=9", "pretrain.schedule=[{step: 4, values: {augment.strength: 2}}]"]
    )
