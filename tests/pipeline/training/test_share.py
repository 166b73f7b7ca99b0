"""Shares of a batch: what several processes make of one step is what one process makes of it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from echopair.models.log_mel import LogMel, LogMelStatistics
from echopair.models.methods import Batch
from echopair.pipeline.log_mel_clips import LogMelClips, write_log_mels
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.batches import Phase
from echopair.pipeline.training.learner import LearningConfig
from echopair.pipeline.training.share import Share
from tests.pipeline.conftest import RATE
from tests.pipeline.training.trainings import AUGMENTED_EVERYWHERE, learning

# Mixed twice, so that a row needs others that need others.
MIXED_TWICE = {"name": "all", "augmentations": [{"name": name} for name in ("mix_back", "tilt", "mixup")]}
CPU = torch.device("cpu")


def batch_of(phase: Phase, step: int) -> Batch:
    statistics = LogMelStatistics(-9.0, 3.0)
    return phase.batch(phase.crops[step], LogMel(phase.config.log_mel), statistics, ())


def phase(store: ClipStore, config: LearningConfig, share: Share | None = None) -> Phase:
    made = Phase([store], config, CPU)
    made.crops.share = share
    return made


@pytest.mark.parametrize(
    "policy",
    [{"name": "all"}, MIXED_TWICE, AUGMENTED_EVERYWHERE],
    ids=["all", "mixed twice", "waveforms too"],
)
@pytest.mark.parametrize("processes", [2, 4])
def test_shares_side_by_side_are_the_batch(
    policy: dict[str, object], processes: int, store: ClipStore
) -> None:
    config = learning(policy=policy)
    whole = batch_of(phase(store, config), 3)
    shape = tuple(whole.views[0].shape[2:])
    shares = [batch_of(phase(store, config, Share(rank, processes, shape)), 3) for rank in range(processes)]  # type: ignore[arg-type]
    for view, one in enumerate(whole.views):
        torch.testing.assert_close(
            torch.cat([share.views[view] for share in shares]), one, rtol=1e-5, atol=1e-5
        )
    assert whole.waveforms is not None
    waveforms = [share.waveforms for share in shares]
    assert torch.equal(torch.cat(waveforms, dim=1), whole.waveforms)  # type: ignore[arg-type]
    for share in shares:
        assert torch.equal(share.segments, whole.segments)  # type: ignore[arg-type]
        assert torch.equal(share.starts, whole.starts)  # type: ignore[arg-type]


def test_shares_of_log_mels_of_whole_clips_are_the_batch(store: ClipStore, tmp_path: Path) -> None:
    config = learning()
    config = config.model_copy(update={"crops": config.crops.model_copy(update={"log_mel_of": "clip"})})
    write_log_mels("tones", store, config.log_mel, tmp_path)
    mapped = ClipStore(store.folder, RATE)
    mapped.log_mels = LogMelClips(tmp_path, mapped, config.log_mel)
    whole = batch_of(phase(mapped, config), 3)
    shape = tuple(whole.views[0].shape[2:])
    shares = [batch_of(phase(mapped, config, Share(rank, 2, shape)), 3) for rank in range(2)]  # type: ignore[arg-type]
    for view, one in enumerate(whole.views):
        torch.testing.assert_close(
            torch.cat([share.views[view] for share in shares]), one, rtol=1e-5, atol=1e-5
        )


def test_a_process_reads_its_own_crops_and_those_that_are_mixed_into_them(store: ClipStore) -> None:
    shape = (64, 33)
    plain, mixed = learning(0.0), learning(policy={"name": "all", "augmentations": [{"name": "mix_back"}]})
    assert phase(store, plain, Share(1, 4, shape)).crops[0].rows.tolist() == [[2, 3]] * 2  # type: ignore[union-attr]
    rows = phase(store, mixed, Share(1, 4, shape)).crops[0].rows
    assert rows is not None
    assert np.array_equal(rows[:, :2], [[2, 3]] * 2)
    assert rows.shape[1] <= 4
