"""Every objective that is a loss on projections, by its config."""

from typing import Any, get_args

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from echopair.models.encoders import ResNetConfig, build_encoder
from echopair.models.methods import Batch, LearningData, MethodConfig, ObjectiveConfig
from echopair.models.methods.negatives import NegativesConfig
from echopair.models.methods.projection_loss import ProjectionLossConfig
from echopair.models.methods.temperature import TemperatureConfig
from echopair.models.projection import ProjectionConfig

CONFIGS = [one for one in get_args(get_args(ObjectiveConfig)[0]) if issubclass(one, ProjectionLossConfig)]
every_config = pytest.mark.parametrize("kind", CONFIGS, ids=lambda kind: kind.model_fields["name"].default)

PROJECTIONS = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))


def parsed(**values: Any) -> ProjectionLossConfig:
    config: ProjectionLossConfig = TypeAdapter(ObjectiveConfig).validate_python(values)
    return config


def batch(recordings: tuple[int, ...] = (0, 0, 0, 1, 1, 2)) -> Batch:
    views = [torch.randn(6, 1, 16, 32, generator=torch.Generator().manual_seed(view)) for view in range(2)]
    labels = torch.eye(3, dtype=torch.bool).repeat(2, 1)
    generator = torch.Generator().manual_seed(3)
    waveforms = torch.randn(2, 6, 900, generator=generator)
    return Batch(
        views,
        torch.arange(6),
        labels,
        generator,
        recordings=torch.tensor(recordings),
        waveforms=waveforms,
    )


@every_config
def test_it_trains_encoder_and_head(kind: type[ProjectionLossConfig]) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(ResNetConfig(width=8, blocks=(1,)))
    method = kind().build(encoder, ProjectionConfig(projection_dim=8), LearningData())
    loss, metrics = method.training_step(batch())
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.isfinite()
    assert all(parameter.grad is not None for parameter in method.modules.parameters())
    assert ("loss_chance_level" in metrics()) == (kind().loss_chance_level(2, 6) is not None)


@every_config
def test_each_of_its_numbers_changes_the_loss(kind: type[ProjectionLossConfig]) -> None:
    config = kind()
    loss = config.loss(PROJECTIONS, batch())
    for key, field in kind.model_fields.items():
        value = getattr(config, key)
        if isinstance(value, float):
            assert field.description
            changed = config.model_copy(update={key: value * 1.5})
            assert not torch.equal(changed.loss(PROJECTIONS, batch()), loss), key


@every_config
def test_its_chance_level_is_the_loss_of_equal_projections(kind: type[ProjectionLossConfig]) -> None:
    chance = kind().loss_chance_level(2, 6)
    if (
        chance is not None and kind.model_fields["name"].default != "binary_nce"
    ):  # its level is that of scores of 0
        assert kind().loss(torch.ones(2, 6, 8), batch()).item() == pytest.approx(chance, rel=1e-5)


@every_config
def test_its_advice_names_keys_that_it_has(kind: type[ProjectionLossConfig]) -> None:
    for word in f"{kind.DIVERGED_ADVICE} {kind.COLLAPSED_ADVICE}".replace("=", " ").replace(",", " ").split():
        if word.startswith("objective."):
            assert word.removeprefix("objective.") in kind.model_fields
    assert set(kind.CHANGEABLE) <= set(kind.model_fields)


@pytest.mark.parametrize("kind", [one for one in CONFIGS if issubclass(one, NegativesConfig)])
def test_clips_of_one_recording_are_no_negatives_on_request(kind: type[NegativesConfig]) -> None:
    config = kind.model_validate({"ignore_same_recording": True})
    assert config.reads_recordings
    assert not kind().reads_recordings
    ignored = config.loss(PROJECTIONS, batch())
    assert not torch.equal(ignored, kind().loss(PROJECTIONS, batch()))
    assert torch.equal(
        config.loss(PROJECTIONS, batch(recordings=(0, 1, 2, 3, 4, 5))), kind().loss(PROJECTIONS, batch())
    )


def test_the_ways_to_choose_and_to_sum_differ() -> None:
    for name, key, values in (
        ("triplet", "sampling", ["all", "semi_hard", "hard", "distance_weighted"]),
        ("info_nce", "symmetric", [True, False]),
        ("supervised_contrastive", "sum_over_positives", ["outside", "inside"]),
    ):
        losses = [parsed(name=name, **{key: value}).loss(PROJECTIONS, batch()).item() for value in values]
        assert len(set(losses)) == len(values)


@pytest.mark.parametrize(
    "values",
    [
        {"name": "triplet", "temperature": 0.2},
        {"name": "nt_xent", "margin": 1},
        {"name": "barlow_twins", "ignore_same_recording": True},
        {"name": "triplet", "sampling": "harder"},
        {"name": "contrastive_pairs", "margin": 2.5},
        {"name": "debiased", "positive_prior": 1},
        {"name": "hard_negatives", "hardness": -1},
        {"name": "vicreg", "variance_weight": float("nan")},
    ],
    ids=str,
)
def test_keys_of_others_and_values_out_of_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        parsed(**values)


def test_every_config_has_a_name_of_its_own() -> None:
    kinds = get_args(get_args(ObjectiveConfig)[0])
    assert all(issubclass(kind, MethodConfig) for kind in kinds)
    assert len({kind.model_fields["name"].default for kind in kinds}) == len(kinds)
    assert any(issubclass(kind, TemperatureConfig) for kind in kinds)
