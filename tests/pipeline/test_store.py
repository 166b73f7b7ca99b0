import pickle

import numpy as np
import soundfile

from echopair.pipeline.corpora import Recording
from echopair.pipeline.store import ClipStore


def test_clips_are_the_recordings(store: ClipStore, tones: list[Recording]) -> None:
    assert store.column("path") == [one.name for one in tones]
    for clip, recording in enumerate(tones):
        expected, _ = soundfile.read(recording.path, dtype="float32")
        np.testing.assert_allclose(store.read(clip), expected, atol=2 / 32768)


def test_a_crop_is_a_part_of_its_clip(store: ClipStore) -> None:
    clip = int(store.samples.argmax())
    np.testing.assert_array_equal(store.read(clip, 100, 500), store.read(clip)[100:600])


def test_a_short_clip_is_repeated_and_never_runs_into_the_next(store: ClipStore) -> None:
    clip = int(store.samples.argmin())
    whole = store.read(clip)
    crop = store.read(clip, 0, len(whole) + 100)
    np.testing.assert_array_equal(crop, np.concatenate([whole, whole[:100]]))


def test_crops_of_many_clips(store: ClipStore) -> None:
    crops = store.read_crops([3, 0], [10, 0], 200)
    assert crops.dtype == np.float32
    np.testing.assert_array_equal(crops, np.stack([store.read(3, 10, 200), store.read(0, 0, 200)]))


def test_some_of_the_clips_are_a_store_of_their_own(store: ClipStore) -> None:
    part = store.only(np.array([5, 2]))
    assert part.column("path") == [store.column("path")[clip] for clip in (5, 2)]
    for clip, of_whole in enumerate((5, 2)):
        np.testing.assert_array_equal(part.read(clip), store.read(of_whole))
    assert len(store) > len(part) == 2


def test_labels_folds_and_groups_are_kept(store: ClipStore, tones: list[Recording]) -> None:
    assert store.labels() == [one.labels for one in tones]
    assert store.column("fold") == [one.fold for one in tones]
    assert store.column("group") == [one.group for one in tones]
    assert store.column("split") == [None] * len(tones)


def test_a_store_in_a_worker_opens_its_own_map(store: ClipStore) -> None:
    store.read(0)
    content = pickle.dumps(store)
    assert len(content) < 20_000  # no samples in it
    np.testing.assert_array_equal(pickle.loads(content).read(5), store.read(5))
