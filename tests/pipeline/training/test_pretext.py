"""Trainings by methods that need labels or augmentations of the batches, and what is refused before them."""

from pathlib import Path

import pytest
import torch

from echopair.models.methods import CPCConfig, CrossEntropyConfig, MethodConfig, TransformationConfig
from echopair.pipeline.errors import UserError
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.checkpoints import CHECKPOINT_FILE, read_metrics
from echopair.pipeline.training.learner import LearningConfig
from echopair.pipeline.training.pretrain import pretrain
from tests.pipeline.training.trainings import learning, train_whole_and_resumed

DRAWN = {"name": "random", "operations": 1, "pool": ["gain", "time_reversal", "waveform_gain", "time_mask"]}


def by(
    objective: MethodConfig, policy: dict[str, object] | None = None, **settings: object
) -> LearningConfig:
    config = learning(policy=policy, **settings)  # type: ignore[arg-type]
    return config.model_copy(update={"objective": objective})


def test_cross_entropy_tells_high_tones_from_low_ones(store: ClipStore, tmp_path: Path) -> None:
    pretrain([store], by(CrossEntropyConfig(), {"name": "all", "augmentations": []}, steps=30), tmp_path)
    last = read_metrics(tmp_path)[-1]
    assert last["label_accuracy"] > last["label_accuracy_chance_level"]
    assert last["loss"] < last["loss_chance_level"]
    assert torch.load(tmp_path / CHECKPOINT_FILE)["method"]["classifier.weight"].shape[0] == 2


def test_transformations_of_both_kinds_are_asked_for_and_a_resume_is_bit_equal(
    store: ClipStore, tmp_path: Path
) -> None:
    config = by(TransformationConfig(), DRAWN, workers=0, checkpoint_every_seconds=0)
    whole = train_whole_and_resumed(store, tmp_path, 6, config)
    assert torch.load(whole / CHECKPOINT_FILE)["method"]["head.3.weight"].shape[0] == 4


def test_what_a_method_cannot_learn_from_is_refused_before_the_training(
    store: ClipStore, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="all views get the same"):
        pretrain([store], by(TransformationConfig()), tmp_path)
    with pytest.raises(UserError, match=r"objective.steps_ahead=4: .* 4 frames of a crop"):
        pretrain([store], by(CPCConfig(steps_ahead=4)), tmp_path)
    assert not any(tmp_path.iterdir())
