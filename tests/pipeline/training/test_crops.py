from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from echopair.augment.policy import AugmentConfig, Policy, build_policy
from echopair.pipeline.errors import UserError
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.crop_loading import crop_batches
from echopair.pipeline.training.crops import CropsConfig, PairCrops, SegmentIndex


def policy(*names: str) -> Policy:
    listed = {"name": "all", "augmentations": [{"name": name} for name in names]}
    return build_policy(AugmentConfig.model_validate({"policy": listed}), 16000)


def pair_crops(
    store: ClipStore, pairs: int = 8, seed: int = 0, augmentations: Sequence[str] = (), **config: object
) -> PairCrops:
    crops = CropsConfig(crop_seconds=0.25, **config)  # type: ignore[arg-type]
    return PairCrops([store], crops, policy(*augmentations), pairs, seed)


def test_a_step_is_a_function_of_seed_and_step(store: ClipStore) -> None:
    first = pair_crops(store)[5].waveforms
    assert torch.equal(first, pair_crops(store)[5].waveforms)
    assert not torch.equal(first, pair_crops(store)[6].waveforms)
    assert not torch.equal(first, pair_crops(store, seed=1)[5].waveforms)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 4])
def test_the_number_of_workers_changes_nothing(store: ClipStore, workers: int) -> None:
    crops = pair_crops(
        store, augmentations=("polarity", "waveform_gain", "white_noise", "pitch_shift", "tilt")
    )
    expected = [crops[step] for step in range(2, 8)]
    for before, batch in zip(expected, crop_batches(crops, range(2, 8), workers), strict=True):
        assert batch.step == before.step
        assert torch.equal(batch.waveforms, before.waveforms)
        assert torch.equal(batch.chosen, before.chosen)


def test_each_view_of_each_crop_is_augmented_for_itself(store: ClipStore) -> None:
    plain = pair_crops(store, positives={"name": "same_crop"})[3].waveforms
    louder = pair_crops(store, augmentations=["waveform_gain"], positives={"name": "same_crop"})[3].waveforms
    ratios = (louder.norm(dim=2) / plain.norm(dim=2)).flatten()
    assert len(set(ratios.tolist())) == ratios.numel()
    torch.testing.assert_close(louder, plain * ratios.view(2, -1, 1))


def test_an_epoch_uses_every_segment_once(store: ClipStore) -> None:
    crops = pair_crops(store)
    for epoch in range(2):
        steps = range(epoch * crops.steps_per_epoch, (epoch + 1) * crops.steps_per_epoch)
        used = np.concatenate([crops.segments_of(step) for step in steps])
        assert sorted(used.tolist()) == list(range(len(store)))


def test_both_views_are_of_the_same_clip_at_two_places(store: ClipStore) -> None:
    crops = pair_crops(store)
    waveforms = crops[0].waveforms.numpy()
    assert waveforms.shape == (2, 8, 4000)
    for pair, number in enumerate(crops.segments_of(0)):
        clip = store.read(int(crops.segments.table[number, 1]))
        for view in range(2):
            assert contains(clip, waveforms[view, pair])
    assert not np.array_equal(waveforms[0], waveforms[1])


def test_more_views_are_more_crops_of_the_same_clip(store: ClipStore) -> None:
    crops = pair_crops(store, views=4, augmentations=["gain"])
    batch = crops[0]
    assert batch.waveforms.shape == (4, 8, 4000)
    assert batch.chosen.shape == (4, 8, 1)
    for pair, number in enumerate(crops.segments_of(0)):
        clip = store.read(int(crops.segments.table[number, 1]))
        assert all(contains(clip, view[pair]) for view in batch.waveforms.numpy())


def test_positives_of_one_label_are_of_other_clips(store: ClipStore) -> None:
    crops = pair_crops(store, positives={"name": "same_label"})
    labels, places = store.labels(), crops.places_of(0)
    for first, second in places.clip.T:
        assert labels[first] == labels[second]
        assert first != second


def test_a_batch_has_its_clips_and_on_request_their_labels(store: ClipStore) -> None:
    crops = PairCrops([store, store], CropsConfig(), policy(), 8, 0, with_labels=True)
    batch = crops[0]
    assert batch.labels is not None
    classes = sorted({name for names in store.labels() for name in names})
    for pair, clip in enumerate(batch.clips.tolist()):
        place = crops.places_of(0)
        assert clip == place.store[0, pair] * len(store) + place.clip[0, pair]
        names = {name for name, has in zip(classes, batch.labels[pair].tolist(), strict=True) if has}
        assert names == set(store.labels()[clip % len(store)])
    assert pair_crops(store)[0].labels is None


def test_labels_that_no_two_clips_share_teach_nothing(
    store: ClipStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for labels in ([(f"clip {number}",) for number in range(len(store))], [()] * len(store)):
        monkeypatch.setattr(store, "labels", lambda labels=labels: labels)
        with pytest.raises(UserError, match="no two of the 24 pretraining clips share one"):
            PairCrops([store], CropsConfig(), policy(), 8, 0, with_labels=True)


def contains(clip: np.ndarray, crop: np.ndarray) -> bool:
    return any(np.array_equal(clip[s : s + len(crop)], crop) for s in np.flatnonzero(clip == crop[0]))


def test_the_same_crop_may_be_both_views(store: ClipStore) -> None:
    waveforms = pair_crops(store, positives={"name": "same_crop"})[0].waveforms
    assert torch.equal(waveforms[0], waveforms[1])


def test_a_crop_longer_than_every_clip_is_the_clip_repeated(store: ClipStore) -> None:
    waveforms = PairCrops([store], CropsConfig(crop_seconds=3), policy(), 4, 0)[0].waveforms
    assert waveforms.shape == (2, 4, 48000)
    assert torch.equal(waveforms[0], waveforms[1])


def test_a_long_clip_is_several_segments_that_cover_it(store: ClipStore) -> None:
    clip = int(store.samples.argmax())
    table = SegmentIndex([store], 8000).table
    starts, samples = table[table[:, 1] == clip, 2:].T
    assert len(starts) == store.samples[clip] // 8000 > 1
    np.testing.assert_array_equal(starts[1:], (starts + samples)[:-1])
    assert store.samples[clip] - (starts[-1] + samples[-1]) < len(starts)


def test_several_stores_are_one_pool(store: ClipStore) -> None:
    table = SegmentIndex([store, store], 10**9).table
    assert table[[0, len(store) - 1, len(store)], 0].tolist() == [0, 0, 1]
    assert table[len(store), 1] == 0


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sound_damaged_behind_its_header_is_an_error_for_people(
    store: ClipStore, tmp_path: Path, workers: int
) -> None:
    file = tmp_path / "street.flac"
    soundfile.write(file, 0.1 * np.random.default_rng(0).normal(size=64000), 16000)
    content = bytearray(file.read_bytes())
    content[2000:] = bytes(len(content) - 2000)
    file.write_bytes(content)
    listed = {"name": "all", "augmentations": [{"name": "background_noise", "folder": tmp_path}]}
    damaged = build_policy(AugmentConfig.model_validate({"policy": listed}), 16000)
    crops = PairCrops([store], CropsConfig(crop_seconds=0.25), damaged, 8, 0)
    with pytest.raises(UserError, match=r"augment.policy: .*street.flac") as raised:
        list(crop_batches(crops, range(2), workers))
    assert "Traceback" not in str(raised.value)
