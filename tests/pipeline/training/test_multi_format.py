"""Trainings of an encoder of log-mels and one of waveforms."""

from pathlib import Path
from typing import Any

import pytest
import torch

from echopair import AudioEncoder
from echopair.models.encoders import SampleCnnConfig
from echopair.models.log_mel import LogMel, LogMelStatistics
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.batches import Phase
from echopair.pipeline.training.learner import LearningConfig
from tests.pipeline.training.trainings import (
    TONE,
    learning,
    train_whole_and_resumed,
)

POLICY = {"name": "all", "augmentations": ["waveform_gain", "gain", "time_mask"]}


def by(keep: str, **settings: Any) -> LearningConfig:
    values = learning(policy=POLICY, **settings).model_dump(mode="json")
    values["objective"] = {
        "name": "multi_format",
        "keep": keep,
        "waveform_encoder": {"width": 8, "blocks": 4},
    }
    return LearningConfig.model_validate(values)


def test_a_batch_has_the_augmented_waveforms_of_its_views(store: ClipStore) -> None:
    config = by("mel")
    phase = Phase([store], config, torch.device("cpu"))
    crops = phase.crops[2]
    log_mel = LogMel(config.log_mel)
    batch = phase.batch(crops, log_mel, LogMelStatistics(0, 1), [])
    assert batch.waveforms is not None
    assert torch.equal(batch.waveforms, crops.waveforms)
    plain = Phase([store], learning(0.0), torch.device("cpu")).crops[2].waveforms
    ratio = batch.waveforms.norm(dim=2) / plain.norm(dim=2)
    torch.testing.assert_close(batch.waveforms, plain * ratio[..., None])
    assert (ratio - 1).abs().min() > 0


@pytest.mark.parametrize("keep", ["mel", "waveform"])
def test_interrupted_and_run_again_is_bit_equal(keep: str, store: ClipStore, tmp_path: Path) -> None:
    config = by(keep, workers=0, checkpoint_every_seconds=0, steps=6)
    whole = train_whole_and_resumed(store, tmp_path, 2, config)
    kept = AudioEncoder.load(whole / "encoder", device="cpu")
    expected = SampleCnnConfig(width=8, blocks=4) if keep == "waveform" else config.encoder
    assert kept.config.encoder == expected
    assert kept.embed(TONE, 16000).isfinite().all()
