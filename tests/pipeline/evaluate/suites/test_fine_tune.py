"""The suite `fine_tune` on tones, with a small encoder."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from echopair import AudioEncoder
from echopair.models.encoders import ResNetConfig, build_encoder
from echopair.pipeline.evaluate import fine_tuning
from echopair.pipeline.evaluate.fine_tuning import Training, fine_tune, layers_of, mixed, rate_groups
from echopair.pipeline.evaluate.frozen_encoder import OwnEncoder
from echopair.pipeline.evaluate.suites.base import Subject
from echopair.pipeline.evaluate.suites.fine_tune import FineTune, FineTuneConfig
from echopair.pipeline.evaluate.task import Task
from echopair.pipeline.evaluation.probe import ProbeConfig
from echopair.pipeline.store import ClipStore
from tests.pipeline.conftest import audio_encoder

SETTINGS = Training(4, 4, 8, 3e-3, 0.9, 0.0, 0)


def subject_of(store: ClipStore, encoder: AudioEncoder) -> Subject:
    own = OwnEncoder.__new__(OwnEncoder)
    own.name, own._encoder = "pretrained", encoder
    return Subject(own, store, np.zeros((len(store), 1), np.float32), "key")


def test_tones_are_learned_and_the_encoder_stays_as_it_is(store: ClipStore) -> None:
    task, encoder = Task.of("tones", store, ProbeConfig(), 0), audio_encoder()
    before = copy.deepcopy(encoder.encoder.state_dict())
    config = FineTuneConfig(epochs=10, patience=10, batch_clips=8, learning_rate=3e-3)
    results = [FineTune().evaluate(task, subject_of(store, encoder), config) for _ in range(2)]
    assert results[0].metrics["score"].value >= 7 / 8  # of eight clips
    assert results[0].details == results[1].details  # the same training twice
    assert results[0].details["folds"][0]["fold"] == "fold 1"
    assert all(torch.equal(value, before[name]) for name, value in encoder.encoder.state_dict().items())
    assert encoder.training is False


def test_only_clips_to_learn_from_are_learned_from(store: ClipStore, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task.of("tones", store, ProbeConfig(), 0)
    learn, choose = task.folds[0].validation[0]
    seen: set[int] = set()
    crops = fine_tuning._random_crops

    def recorded(of: ClipStore, clips: Any, *more: Any) -> Any:
        seen.update(int(one) for one in clips)
        return crops(of, clips, *more)

    monkeypatch.setattr(fine_tuning, "_random_crops", recorded)
    test = task.folds[0].test
    fine_tune(audio_encoder(), store, task.targets, learn, choose, test, SETTINGS, multilabel=False)
    assert seen == set(learn.tolist())
    assert not seen & {*choose.tolist(), *test.tolist()}


def test_the_epoch_with_the_best_score_is_tested(store: ClipStore, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task.of("tones", store, ProbeConfig(), 0)
    learn, choose = task.folds[0].validation[0]
    given = iter([0.5, 0.8, 0.8, 0.6])
    monkeypatch.setattr(fine_tuning, "score_of", lambda *_: next(given))
    weights: list[torch.Tensor] = []
    settings = SETTINGS._replace(patience=2, epochs=9)
    state = fine_tuning._Classifier.state

    def kept(model: Any) -> Any:
        weights.append(model.head.weight.detach().clone())
        return state(model)

    monkeypatch.setattr(fine_tuning._Classifier, "state", kept)
    done = fine_tune(
        audio_encoder(), store, task.targets, learn, choose, task.folds[0].test, settings, multilabel=False
    )
    assert (done.epoch, len(done.curve)) == (
        2,
        4,
    )  # of equal scores the first, and two epochs without a better one
    assert len(weights) == 3  # before the training, and after epochs 1 and 2


def test_lower_layers_have_smaller_rates() -> None:
    encoder = build_encoder(ResNetConfig(width=8, blocks=(1, 2)))
    model = nn.Module()
    model.encoder, model.head = encoder, nn.Linear(4, 2)
    assert [type(one).__name__ for one in layers_of(encoder)] == ["Sequential", *["BasicBlock"] * 3]
    scales = {id(p): group["scale"] for group in rate_groups(model, 0.5) for p in group["params"]}
    assert scales[id(model.head.weight)] == 1
    assert scales[id(encoder.stages[2].conv1.weight)] == 0.5
    assert scales[id(encoder.stages[0].conv1.weight)] == 0.125
    assert scales[id(encoder.stem[0].weight)] == 0.0625
    assert len(scales) == sum(1 for _ in model.parameters())


def test_mixup_mixes_inputs_and_targets_alike() -> None:
    targets = torch.eye(6)
    inputs = targets.view(6, 1, 2, 3)
    mixed_inputs, mixed_targets = mixed(inputs, targets, 1.0, np.random.default_rng(0))
    torch.testing.assert_close(mixed_inputs.view(6, 6), mixed_targets)
    torch.testing.assert_close(mixed_targets.sum(1), torch.ones(6))
    assert 0 < mixed_targets.diagonal().min() < 1


def test_several_labels_a_clip(store: ClipStore) -> None:
    task = Task.of("tones", store, ProbeConfig(), 0)
    targets = np.column_stack([task.targets, np.ones(len(task.targets), np.int8)])
    learn, choose = task.folds[0].validation[0]
    settings = SETTINGS._replace(mixup=0.2)
    done = fine_tune(
        audio_encoder(), store, targets, learn, choose, task.folds[0].test, settings, multilabel=True
    )
    assert done.scores.shape == (len(task.folds[0].test), 3)
    assert done.scores.sum(1).min() > 1  # probabilities by themselves: the label that all have is near 1


def test_mel_statistics_cannot_be_trained() -> None:
    own = OwnEncoder.__new__(OwnEncoder)
    own._encoder = audio_encoder()
    assert FineTune().takes(own)
    assert not FineTune().takes(type("Mel", (), {"audio_encoder": None})())
