from pathlib import Path

import pytest
import torch

from echopair import AudioEncoder
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.pretrain import milestone_steps, pretrain
from tests.pipeline.training.trainings import (
    TONE,
    EmbedsAtMilestones,
    assert_bit_equal,
    learning,
    rows_but_timings,
    steps_saved,
    weights,
)


@pytest.mark.parametrize("steps", [1, 7, 100])
@pytest.mark.parametrize("milestones", [1, 5, 40])
def test_milestones_come_at_equal_distances_and_the_last_at_the_end(steps: int, milestones: int) -> None:
    after = milestone_steps(steps, milestones)
    assert after == sorted(set(after))
    assert len(after) == min(steps, milestones)
    assert after[0] >= 1
    assert after[-1] == steps
    if milestones <= steps:
        assert all(
            abs(step - steps / milestones * number) <= 0.5 for number, step in enumerate(after, start=1)
        )


def test_milestones_are_given_the_encoder_and_change_no_result(
    uninterrupted: Path, store: ClipStore, tmp_path: Path
) -> None:
    callback = EmbedsAtMilestones(folder=tmp_path)
    pretrain([store], learning(), tmp_path, callback)
    assert callback.calls == [(1, 3, 12), (2, 6, 12), (3, 9, 12), (4, 12, 12)]
    assert callback.saved_before == [0, 3, 6, 9]  # a milestone comes before the checkpoint of its step
    assert_bit_equal(weights(tmp_path), weights(uninterrupted))
    assert rows_but_timings(tmp_path) == rows_but_timings(uninterrupted)
    loaded = AudioEncoder.load(tmp_path / "encoder", device="cpu")
    assert torch.equal(callback.embedding, loaded.embed(TONE, 16000))


@pytest.mark.parametrize(
    ("callback", "saved", "come_again"),
    [
        (EmbedsAtMilestones(ends_saved=(2, SystemExit())), 6, [3, 4]),
        (EmbedsAtMilestones(ends=(2, KeyboardInterrupt())), 3, [2, 3, 4]),
    ],
)
def test_a_training_that_a_callback_ends_goes_on_after_its_last_checkpoint(
    callback: EmbedsAtMilestones,
    saved: int,
    come_again: list[int],
    uninterrupted: Path,
    store: ClipStore,
    tmp_path: Path,
) -> None:
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        pretrain([store], learning(), tmp_path, callback)
    assert steps_saved(tmp_path) == saved
    second = EmbedsAtMilestones()
    pretrain([store], learning(), tmp_path, second)
    assert [milestone for milestone, *_ in second.calls] == come_again
    assert_bit_equal(weights(tmp_path), weights(uninterrupted))
