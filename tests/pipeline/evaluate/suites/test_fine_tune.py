"""Fine-tuning: it learns, stops at the best epoch, and keeps test clips, sources and the encoder apart."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from echopair import AudioEncoder
from echopair.models.audio_encoder import AudioEncoderConfig
from echopair.models.encoders import ResNetConfig, SampleCnnConfig
from echopair.models.log_mel_config import LogMelConfig
from echopair.pipeline.evaluate.config import compose_evaluation
from echopair.pipeline.evaluate.fine_tuning import (
    Classifier,
    EarlyStopping,
    FineTuned,
    fine_tune,
    mixed,
    parameter_groups,
)
from echopair.pipeline.evaluate.frozen_encoder import MelStatistics, OwnEncoder
from echopair.pipeline.evaluate.suites.base import Result, Subject
from echopair.pipeline.evaluate.suites.fine_tune import FineTune, FineTuneConfig
from echopair.pipeline.evaluate.task import Task
from echopair.pipeline.evaluation.bootstrap import average_precision
from echopair.pipeline.prepare import PrepareConfig, prepare
from echopair.pipeline.store import ClipStore
from tests.pipeline.conftest import RATE, write_tones
from tests.pipeline.evaluate.making import make_task

RUN = compose_evaluation([], [], None).run
QUICK = FineTuneConfig(epochs=6, batch_clips=4, learning_rate=3e-3, layer_decay=1.0)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    """More tones than other tests need, since a part of them is learned from."""
    tones, folder = tmp_path_factory.mktemp("tones"), tmp_path_factory.mktemp("store")
    prepare("tones", write_tones(tones, clips=80), PrepareConfig(), RATE, folder)
    return ClipStore(folder, RATE)


def small_encoder(network: ResNetConfig | SampleCnnConfig | None = None) -> AudioEncoder:
    torch.manual_seed(0)
    config = AudioEncoderConfig(
        log_mel=LogMelConfig(),
        log_mel_mean=-9.0,
        log_mel_standard_deviation=3.0,
        encoder=network or ResNetConfig(width=8, stem="patch", blocks=(1, 1)),
        crop_seconds=0.32,
        crop_hop_seconds=0.32,
    )
    return AudioEncoder(config, device="cpu", precision="float32")


def tones_task(store: ClipStore) -> Task:
    """Low and high tones, in folds by source."""
    return make_task(store.labels(), [one or "" for one in store.column("group")])


def quietly(*_: Any, **__: Any) -> None:
    pass


def tuned(
    store: ClipStore, task: Task, config: FineTuneConfig = QUICK, encoder: AudioEncoder | None = None
) -> FineTuned:
    return fine_tune(encoder or small_encoder(), store, task, 0, config, quietly)


def suite_result(store: ClipStore, task: Task, config: FineTuneConfig) -> Result:
    encoder = OwnEncoder("small", small_encoder(), None, RUN)
    return FineTune().evaluate(
        task, Subject(encoder, store, np.zeros((len(store), 1), np.float32), ""), config
    )


def test_it_learns_and_repeats_and_leaves_the_encoder_alone(store: ClipStore) -> None:
    task, encoder = tones_task(store), small_encoder()
    before = copy.deepcopy(encoder.state_dict())
    one = tuned(store, task, encoder=encoder)
    torch.manual_seed(5)
    other = tuned(store, task, encoder=encoder)
    assert (one.scores.argmax(1) == task.label[task.folds[0].test]).mean() >= 0.9
    assert one.losses[-1] < one.losses[0]
    np.testing.assert_allclose(one.scores.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(one.scores, other.scores)
    assert one[1:] == other[1:]
    after = encoder.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not encoder.training


def test_sound_and_labels_of_test_clips_change_nothing_that_is_learned_or_chosen(store: ClipStore) -> None:
    task = tones_task(store)
    test = task.folds[0].test
    one = tuned(store, task)
    other_sound = copy.copy(store)
    other_sound._scale = store._scale.copy()
    other_sound._scale[test] *= 0.01
    other = tuned(other_sound, task)
    assert one[1:] == other[1:]
    assert (one.scores != other.scores).any()
    targets = task.targets.copy()
    targets[test] = 1 - targets[test]
    wrong = replace(task, targets=targets)
    np.testing.assert_array_equal(tuned(store, wrong).scores, one.scores)


def test_no_source_is_learned_from_and_chosen_on(store: ClipStore) -> None:
    task = tones_task(store)
    for fold in task.folds:
        learn, choose = fold.validation[0]
        parts = [set(task.sources[clips].tolist()) for clips in (learn, choose, fold.test)]
        assert sum(map(len, parts)) == len(set.union(*parts))
        assert all(parts)


def test_the_first_of_the_best_epochs_is_kept() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    stopping = EarlyStopping(network, patience=3)
    ends = []
    for epoch, score in enumerate([0.5, 0.7, 0.6, 0.7, 0.6], start=1):
        torch.nn.init.constant_(network.weight, epoch)
        ends.append(stopping.ends_after(score))
    assert ends == [False, False, False, False, True]
    stopping.restore()
    assert stopping.epoch == network.weight.item() == 2


def test_training_ends_when_the_score_does_not_rise(store: ClipStore) -> None:
    found = tuned(store, tones_task(store), QUICK.model_copy(update={"epochs": 30, "patience": 2}))
    assert len(found.validation) == len(found.losses) == found.epoch + 2 < 30
    assert found.epoch == np.argmax(found.validation) + 1


def test_rates_fall_with_the_distance_from_the_head() -> None:
    network = Classifier(small_encoder().encoder, 2, multilabel=False)  # type: ignore[arg-type]
    groups = parameter_groups(network, layer_decay=0.5, weight_decay=0.01)
    share = {id(one): group["rate_share"] for group in groups for one in group["params"]}
    assert len(share) == len(list(network.parameters()))
    # A stem and two blocks below the head.
    parts = [network.encoder.stem, *network.encoder.stages, network.head]  # type: ignore[misc]
    for part, expected in zip(parts, [0.125, 0.25, 0.5, 1.0], strict=True):
        assert {share[id(one)] for one in part.parameters()} == {expected}
    decay = {id(one): group["weight_decay"] for group in groups for one in group["params"]}
    assert all(decay[id(one)] == (0.01 if one.ndim > 1 else 0) for one in network.parameters())


def test_mixup_mixes_targets_as_it_mixes_sound() -> None:
    rows = torch.eye(6)
    waveforms, targets = mixed(rows, rows, 0.4, np.random.default_rng(0))
    torch.testing.assert_close(waveforms, targets)
    torch.testing.assert_close(targets.sum(1), torch.ones(6))
    assert ((targets > 0).sum(1) == 2).any()


@pytest.mark.parametrize("network", [None, SampleCnnConfig(width=8, blocks=2)], ids=["log-mel", "waveform"])
def test_clips_with_several_labels(store: ClipStore, network: SampleCnnConfig | None) -> None:
    labels = [(*one, "first half") if n < 12 else one for n, one in enumerate(store.labels())]
    task = make_task(labels, [one or "" for one in store.column("group")])
    config = QUICK.model_copy(update={"mixup": 0.2})
    found = tuned(store, task, config, small_encoder(network))
    assert found.scores.shape == (len(task.folds[0].test), 3)
    assert (found.scores.sum(1) - 1).std() > 1e-3  # each label is a question of its own
    if network is None:
        tones = [task.classes.index(name) for name in ("high", "low")]
        precision = average_precision(found.scores, task.targets[task.folds[0].test])
        assert (precision[tones] > 0.9).all()


def test_only_clips_of_the_folds_that_are_done_are_scored(store: ClipStore) -> None:
    task = tones_task(store)
    result = suite_result(store, task, QUICK)
    (fold,) = result.details["folds"]
    assert fold["fold"] == task.folds[0].name
    found = tuned(store, task)
    correct = found.scores.argmax(1) == task.label[task.folds[0].test]
    assert result.metrics["score"].value == correct.mean()
    (table,) = FineTune().tables(task, {"small": result}, QUICK)
    assert f"{len(task.folds[0].test)} clips, 1 of {task.protocol}" in table.title
    both = suite_result(store, task, QUICK.model_copy(update={"epochs": 1, "folds": 2}))
    assert [one["fold"] for one in both.details["folds"]] == [one.name for one in task.folds[:2]]


def test_a_class_without_tested_clips_is_named(store: ClipStore) -> None:
    store = store.only(np.arange(24))
    labels = ["rare" if n in (0, 23) else one[0] for n, one in enumerate(store.labels())]
    task = make_task(labels, folds=["1" if n in range(4, 12) else "2" if n < 18 else "3" for n in range(24)])
    result = suite_result(store, task, QUICK.model_copy(update={"epochs": 1}))
    assert result.undefined == ("macro accuracy is without 'rare', of which no clip is tested",)


def test_what_cannot_be_fine_tuned() -> None:
    suite = FineTune()
    assert not suite.takes(MelStatistics(RUN))
    assert suite.takes(OwnEncoder("small", small_encoder(), None, RUN))
    one_source_each = make_task(["a", "a", "b", "b"] * 2, folds=list("11112222"), sources=list("aabbccdd"))
    assert "several sources" in suite.lacks(one_source_each, QUICK)
