import numpy as np

from echopair.pipeline.augmentation_page.preview import preview_clips
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.crops import CropsConfig

CROPS = CropsConfig(crop_seconds=0.25)


def test_the_loudest_crop_of_a_few_recordings_is_shown(store: ClipStore) -> None:
    shown = preview_clips([store], CROPS, seed=0)
    assert len({clip.name for clip in shown}) == 4
    paths = store.column("path")
    for clip in shown:
        waveform = store.read(paths.index(clip.name))
        starts = range(0, max(1, len(waveform) - 4000 + 1), 800)
        loudest = max(float(np.square(waveform[start : start + 4000]).sum()) for start in starts)
        assert clip.waveform.shape == (4000,)
        np.testing.assert_allclose(np.square(clip.waveform).sum(), loudest, rtol=1e-4)


def test_the_seed_draws_the_recordings(store: ClipStore) -> None:
    names = [[clip.name for clip in preview_clips([store], CROPS, seed)] for seed in (0, 0, 1)]
    assert names[0] == names[1] != names[2]


def test_recordings_shorter_than_a_crop_fill_it(store: ClipStore) -> None:
    shown = preview_clips([store], CropsConfig(crop_seconds=3.0), seed=0)
    assert all(clip.waveform.shape == (48000,) for clip in shown)
