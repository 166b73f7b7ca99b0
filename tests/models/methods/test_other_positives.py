"""Other positives and pretext tasks: twenty steps lower each, also under bfloat16, and a resume is equal."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import pytest
import torch

from echopair.models.encoders import ResNetConfig, VggLikeConfig, build_encoder
from echopair.models.encoders.base import Encoder
from echopair.models.losses.future_frames import future_frames
from echopair.models.methods import (
    Batch,
    CPCConfig,
    CrossEntropyConfig,
    DeepInfoMaxConfig,
    Method,
    MethodConfig,
    RelativePositionConfig,
    TransformationConfig,
)
from echopair.models.methods.method import LearningData
from echopair.models.projection import ProjectionConfig

DATA = LearningData(8, ("bird", "dog", "rain"), ("gain", "tilt"), 16, 48)
METHODS: list[MethodConfig] = [
    CrossEntropyConfig(),
    DeepInfoMaxConfig(),
    CPCConfig(),
    TransformationConfig(),
    RelativePositionConfig(),
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    # These tensors are too small to share out.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


every_method = pytest.mark.parametrize("config", METHODS, ids=lambda config: config.name)


def build(config: MethodConfig) -> Method:
    torch.manual_seed(0)
    encoder = build_encoder(ResNetConfig(width=8, stem="patch", blocks=(1,)))
    return config.build(encoder, ProjectionConfig(projection_dim=16), DATA)


def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    clips = torch.randn(8, 1, 16, 48, generator=generator) + torch.randn(8, 1, 16, 1, generator=generator)
    labels = torch.eye(3, dtype=torch.bool)[torch.arange(8) % 3]
    got = torch.rand(2, 8, 2, generator=generator) < 0.5
    views = [
        clips + 0.1 * torch.randn(clips.shape, generator=generator) + one[:, :1, None, None]
        for one in got.float()
    ]
    # Of two views the one with more energy in the upper bands comes later.
    starts = torch.stack([view[:, 0, 8:].mean((1, 2)) - view[:, 0, :8].mean((1, 2)) for view in views])
    starts = (1000 * starts).long()
    return Batch(views, torch.arange(8), labels, torch.Generator(), augmentations=got, starts=starts)


def train(method: Method, steps: int) -> list[float]:
    optimiser = torch.optim.Adam(method.modules.parameters(), lr=3e-3)
    losses = []
    for _ in range(steps):
        loss = method.training_step(batch()).loss
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    return losses


@every_method
def test_twenty_steps_lower_the_loss_and_train_all_weights(config: MethodConfig) -> None:
    method = build(config)
    losses = train(method, 20)
    assert losses[-1] < losses[0] - 0.05
    assert all(parameter.grad is not None for parameter in method.encoder.parameters())
    _, metrics = method.training_step(batch())
    shown = metrics()
    assert all(math.isfinite(value) for value in shown.values())
    assert all(name.removesuffix("_chance_level") in {"loss", *shown} for name in shown)
    assert method.collapse(shown) is None
    assert method.collapse({**shown, "uniformity": 0.0})


@every_method
def test_it_trains_under_bfloat16_autocast(config: MethodConfig) -> None:
    method = build(config)
    with torch.autocast("cpu", torch.bfloat16):
        loss, metrics = method.training_step(batch())
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert all(math.isfinite(value) for value in metrics().values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in method.modules.parameters())


@every_method
def test_its_state_is_all_that_the_next_step_needs(config: MethodConfig) -> None:
    method, resumed = build(config), build(config)
    train(method, 3)
    resumed.modules.load_state_dict(method.modules.state_dict())
    assert train(resumed, 2) == train(method, 2)


def test_labels_are_told_apart_and_clips_without_any_are_left_out() -> None:
    method = build(CrossEntropyConfig())
    train(method, 20)
    metrics = method.training_step(batch()).metrics()
    assert metrics["label_accuracy_chance_level"] == 3 / 8
    assert metrics["loss_chance_level"] == math.log(3)
    assert metrics["label_accuracy"] > metrics["label_accuracy_chance_level"]
    unlabelled = replace(batch(), labels=torch.zeros(8, 3, dtype=torch.bool))
    assert method.training_step(unlabelled).loss == 0


def test_an_encoder_without_a_feature_map_is_refused() -> None:
    encoder = build_encoder(ResNetConfig(width=8, blocks=(1,)))
    encoder.feature_channels = None
    with pytest.raises(
        ValueError, match=r"deep_infomax .* encoder.name=resnet gives none .* set encoder.name="
    ):
        DeepInfoMaxConfig().check_data(encoder, DATA)


def test_a_step_of_cpc_predicts_the_frames_of_one_view_from_another() -> None:
    method = build(CPCConfig())
    encoder = cast("Encoder", method.encoder)
    encoder.eval()  # no statistics of the batch
    given = batch()
    first, second = (
        torch.stack([encoder.pool(one[..., [t]]) for t in range(12)], dim=1)  # (8, 12, 16)
        for one in map(encoder.features, given.views)
    )
    losses = []
    for past, future in ((first, second), (second, first)):
        contexts, _ = method.modules["context"](past)
        predict = list(cast("torch.nn.ModuleList", method.modules["predictions"]))
        losses.append(future_frames(future, [predict[k - 1](contexts[:, :-k]) for k in (1, 2)])[0])
    loss, metrics = method.training_step(given)
    assert loss.item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-5)
    assert metrics()["loss_chance_level"] == pytest.approx((math.log(8 * 11) + math.log(8 * 10)) / 2)
    assert metrics()["prediction_accuracy_chance_level"] == pytest.approx((1 / 88 + 1 / 80) / 2)


def test_cpc_refuses_crops_without_frames_to_predict_and_keeps_the_encoder() -> None:
    encoder = build_encoder(ResNetConfig(width=8, stem="patch", blocks=(1,)))
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    CPCConfig(steps_ahead=11).check_data(encoder, DATA)
    with pytest.raises(
        ValueError, match=r"objective.steps_ahead=12: .* 12 frames of a crop, .* crops.crop_seconds"
    ):
        CPCConfig(steps_ahead=12).check_data(encoder, DATA)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_cpc_trains_pooling_that_has_weights() -> None:
    torch.manual_seed(0)
    encoder = build_encoder(VggLikeConfig(width=8, embedding_dim=8))
    data = replace(DATA, frames=96)
    CPCConfig().check_data(encoder, data)
    method = CPCConfig().build(encoder, ProjectionConfig(), data)
    views = [torch.randn(4, 1, 16, 96) for _ in range(2)]
    method.training_step(replace(batch(), views=views)).loss.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_transformations_are_told_better_than_by_constant_answers() -> None:
    method = build(TransformationConfig())
    train(method, 30)
    metrics = method.training_step(batch()).metrics()
    assert metrics["augmentation_accuracy"] > metrics["augmentation_accuracy_chance_level"]
    with pytest.raises(ValueError, match=r"all views get the same: set augment.policy.name=random"):
        TransformationConfig().check_data(build_encoder(ResNetConfig(width=8)), LearningData())


def test_a_step_of_relative_position_is_the_cross_entropy_of_a_head_on_both_embeddings() -> None:
    method = build(RelativePositionConfig())
    method.modules.double()
    given = batch()
    given = replace(given, views=[view.double() for view in given.views])
    assert given.starts is not None
    one, other = method.encoder(torch.cat([*given.views])).chunk(2)
    logits = method.modules["head"](torch.cat([one, other], dim=1))[:, 0]
    terms = [
        -math.log(1 / (1 + math.exp(-logit if first < second else logit)))
        for logit, first, second in zip(logits.tolist(), *given.starts.tolist(), strict=True)
    ]
    assert 0 < sum(first < second for first, second in zip(*given.starts.tolist(), strict=True)) < 8
    loss, metrics = method.training_step(given)
    assert loss.item() == pytest.approx(sum(terms) / 8, rel=1e-6)
    assert metrics()["loss_chance_level"] == math.log(2)
    assert metrics()["order_accuracy_chance_level"] == 0.5


def test_which_crop_comes_first_is_learned() -> None:
    method = build(RelativePositionConfig())
    train(method, 40)
    assert method.training_step(batch()).metrics()["order_accuracy"] == 1


def test_relative_position_takes_two_crops_that_do_not_overlap() -> None:
    config = RelativePositionConfig()
    config.check_batch(8, 2, "apart")
    with pytest.raises(ValueError, match=r"positives.name=two_offsets; set crops.positives.name=apart"):
        config.check_batch(8, 2, "two_offsets")
    with pytest.raises(
        ValueError, match=r"crops.views=3 is more than objective.name=relative_position takes"
    ):
        config.check_batch(8, 3, "apart")
