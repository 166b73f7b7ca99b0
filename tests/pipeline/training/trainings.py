"""Small trainings of the tests, and callbacks that end or evaluate them."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from echopair import AudioEncoder
from echopair.augment.policy import AugmentConfig
from echopair.models.encoders import ResNetConfig
from echopair.models.log_mel_config import LogMelConfig
from echopair.models.methods import SimCLRConfig
from echopair.models.projection import ProjectionConfig
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.callback import TrainingCallback
from echopair.pipeline.training.checkpoints import (
    CHECKPOINT_FILE,
    read_metrics,
)
from echopair.pipeline.training.crops import CropsConfig
from echopair.pipeline.training.learner import LearningConfig, PretrainConfig
from echopair.pipeline.training.pretrain import pretrain
from tests.processes import start

AUGMENTED_EVERYWHERE = {
    "name": "stacked",
    "operations": 2,
    "pool": [
        {"name": name} for name in ("white_noise", "time_stretch", "low_pass", "gaussian_noise", "mixup")
    ],
    "augmentations": [{"name": name} for name in ("waveform_gain", "mix_back", "time_mask")],
}

TONE = np.sin(np.arange(16000, dtype=np.float32))


def learning(
    strength: float = 1.0, policy: Mapping[str, object] | None = None, **settings: object
) -> LearningConfig:
    budget = {} if {"steps", "epochs", "minutes"} & set(settings) else {"steps": 12}
    defaults = {"batch_pairs": 8, "log_every_steps": 2, "device": "cpu", "precision": "float32"}
    return LearningConfig(
        seed=3,
        log_mel=LogMelConfig(),
        crops=CropsConfig(crop_seconds=0.32),
        augment=AugmentConfig.model_validate({"strength": strength, "policy": policy or {"name": "all"}}),
        encoder=ResNetConfig(width=8, stem="patch", blocks=(1, 1)),
        projection=ProjectionConfig(projection_dim=16),
        objective=SimCLRConfig(),
        pretrain=PretrainConfig(**(budget | defaults | settings)),  # type: ignore[arg-type]
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return AudioEncoder.load(folder / "encoder", device="cpu").encoder.state_dict()


def assert_bit_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def rows_but_timings(folder: Path) -> list[dict[str, float]]:
    timings = {"pairs_per_second", "data_wait_share"}
    return [
        {name: value for name, value in row.items() if name not in timings} for row in read_metrics(folder)
    ]


def steps_saved(folder: Path) -> int:
    file = folder / CHECKPOINT_FILE
    return int(torch.load(file)["steps_done"]) if file.is_file() else 0


class Ends(TrainingCallback):
    """Ends a training by raising once it has logged a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_metrics(self, rows: list[dict[str, float]]) -> None:
        if rows and rows[-1]["step"] >= self.step:
            self.end()

    def end(self) -> None:
        raise KeyboardInterrupt


class Kills(Ends):
    """Kills the process of the training instead."""

    def end(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def kill(store: ClipStore, folder: Path, step: int, config: LearningConfig) -> None:
    process = start(folder.with_name(f"{folder.name} said"), pretrain, [store], config, folder, Kills(step))
    assert process.wait() == -signal.SIGKILL, process.said
    assert not (folder / "encoder").exists()


def train_whole_and_resumed(store: ClipStore, folder: Path, step: int, config: LearningConfig) -> Path:
    """Train undisturbed, and interrupted at a step and resumed; both must be equal. Returns the first one's folder."""
    whole, resumed = folder / "whole", folder / "resumed"
    for one in (whole, resumed):
        one.mkdir()
    pretrain([store], config, whole)
    with pytest.raises(KeyboardInterrupt):
        pretrain([store], config, resumed, Ends(step))
    pretrain([store], config, resumed)
    assert_bit_equal(weights(resumed), weights(whole))
    assert rows_but_timings(resumed) == rows_but_timings(whole)
    return whole


class EmbedsAtMilestones(TrainingCallback):
    """Embeds a tone at each milestone; ends the training at one of them, or after its checkpoint."""

    def __init__(
        self,
        milestones: int = 4,
        folder: Path | None = None,
        ends: tuple[int, BaseException] | None = None,
        ends_saved: tuple[int, BaseException] | None = None,
    ) -> None:
        self.milestones = milestones
        self.calls: list[tuple[int, int, int]] = []
        self.saved_before: list[int] = []
        self.embedding = torch.empty(0)
        self._folder = folder
        self._ends = ends
        self._ends_saved = ends_saved

    def on_milestone(self, milestone: int, step: int, steps: int, encoder: AudioEncoder) -> None:
        assert not any(module.training for module in encoder.modules())
        self.calls.append((milestone, step, steps))
        if self._folder:
            self.saved_before.append(steps_saved(self._folder))
        self.embedding = encoder.embed(TONE, 16000)
        assert torch.equal(self.embedding, encoder.embed(TONE, 16000))  # embedding changes no weight
        if self._ends and self._ends[0] == milestone:
            raise self._ends[1]

    def on_checkpoint(self, milestone: int) -> None:
        if self._ends_saved and self._ends_saved[0] == milestone:
            raise self._ends_saved[1]


CHANGES: list[dict[str, Any]] = [
    {"step": 4, "values": {"objective.temperature": 0.5, "pretrain.weight_decay": 0.5}},
    {
        "step": 7,
        "values": {
            "augment.strength": 2.0,
            "augment.policy.augmentations": ["waveform_gain", "tilt"],
            "pretrain.learning_rate": 0.005,
        },
    },
]
