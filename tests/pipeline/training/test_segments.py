import numpy as np
import pytest
import torch

from echopair.augment.policy import AugmentConfig, build_policy
from echopair.pipeline.errors import UserError
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.crops import CropsConfig, PairCrops
from echopair.pipeline.training.recordings import recordings_of
from echopair.pipeline.training.segments import SegmentOrder

PLAIN = build_policy(AugmentConfig.model_validate({"policy": {"name": "all", "augmentations": []}}), 16000)


class Columns:
    """A store of which the groups and sounds alone are known."""

    def __init__(self, groups: list[str | None], sounds: list[str | None]) -> None:
        self.columns = {"group": groups, "sound": sounds}

    def column(self, name: str) -> list[str | None]:
        return self.columns[name]


def numbers(*stores: Columns) -> list[int]:
    return recordings_of(stores).tolist()  # type: ignore[arg-type]


def test_clips_of_a_group_and_copies_of_a_sound_are_of_one_recording() -> None:
    one = Columns(["a", None, "a", None, "b"], ["1", "2", "3", "2", "3"])
    a, alone, also_a, copy, b = numbers(one)
    assert a == also_a == b  # the third and the fifth are one sound
    assert alone == copy != a


def test_a_group_is_one_of_its_corpus_and_a_sound_one_of_all() -> None:
    one, other = Columns(["a", "b"], ["1", "2"]), Columns(["a", "c"], ["3", "2"])
    first, second, same_name, same_sound = numbers(one, other)
    assert len({first, second, same_name}) == 3
    assert same_sound == second


def test_one_recording_alone_is_refused() -> None:
    with pytest.raises(UserError, match=r"cut from one recording.* set crops.recordings_apart=false"):
        numbers(Columns(["a", "a"], ["1", "2"]))


@pytest.mark.parametrize("counts", [[1] * 12, [2] * 6, [5, 4, 1, 1, 1], [30, 1, 1, 1], [3, 3, 3, 2]])
def test_no_step_has_a_recording_twice_and_no_epoch_a_segment(counts: list[int]) -> None:
    recordings = np.repeat(np.arange(len(counts)), counts)
    order = SegmentOrder(len(recordings), 4, 0, recordings)
    steps = order.steps_per_epoch
    for epoch in range(3):
        epoch_order = np.array(
            [order.segments_of(step) for step in range(epoch * steps, (epoch + 1) * steps)]
        )
        assert epoch_order.shape == (steps, 4)
        assert len(np.unique(epoch_order)) == epoch_order.size
        assert all(len(set(recordings[segments])) == 4 for segments in epoch_order)
    # One step more would need a recording twice, or more segments than there are.
    assert sum(min(count, steps + 1) for count in counts) < 4 * (steps + 1)


def test_every_segment_has_its_turn() -> None:
    recordings = np.repeat(np.arange(4), [30, 1, 1, 2])
    order = SegmentOrder(34, 4, 0, recordings)
    used = {int(one) for step in range(400) for one in order.segments_of(step)}
    assert used == set(range(34))
    assert SegmentOrder(34, 16, 0, recordings).pairs == 4


def test_the_order_is_a_function_of_seed_and_step() -> None:
    recordings = np.arange(20) // 2
    one, other = (SegmentOrder(20, 5, 0, recordings) for _ in range(2))
    assert np.array_equal(one.segments_of(9), [other.segments_of(step) for step in (0, 9)][1])
    assert not np.array_equal(one.segments_of(9), SegmentOrder(20, 5, 1, recordings).segments_of(9))


def test_recordings_of_a_store_are_kept_apart_and_given_on_request(store: ClipStore) -> None:
    # Six groups of four clips; without the option a step of six clips has a group twice in nearly all cases.
    apart = PairCrops([store], CropsConfig(recordings_apart=True), PLAIN, 8, 0)
    assert apart.pairs == 6
    assert apart.steps_per_epoch == 4
    groups = store.column("group")
    for step in range(8):
        batch = apart[step]
        assert len({groups[clip] for clip in batch.clips.tolist()}) == 6
    batch = PairCrops([store], CropsConfig(), PLAIN, 8, 0, with_recordings=True)[0]
    assert batch.recordings is not None
    same = batch.recordings[:, None] == batch.recordings
    expected = [
        [groups[one] == groups[other] for other in batch.clips.tolist()] for one in batch.clips.tolist()
    ]
    assert torch.equal(same, torch.tensor(expected))
    assert PairCrops([store], CropsConfig(), PLAIN, 8, 0)[0].recordings is None
