"""Crops that lie apart, and the training that tells which of them comes first."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from echopair.augment.policy import AugmentConfig, build_policy
from echopair.pipeline.corpora import Recording
from echopair.pipeline.errors import UserError
from echopair.pipeline.prepare import PrepareConfig, prepare
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.checkpoints import read_metrics
from echopair.pipeline.training.crops import CropsConfig, PairCrops
from echopair.pipeline.training.learner import LearningConfig
from echopair.pipeline.training.positives import ApartConfig, place_crops
from echopair.pipeline.training.pretrain import pretrain
from tests.pipeline.training.trainings import learning, train_whole_and_resumed

RATE = 16000
CROP = 4000
PLAIN = build_policy(AugmentConfig.model_validate({"policy": {"name": "all", "augmentations": []}}), RATE)


def prepared(folder: Path, *waveforms: NDArray[np.float64]) -> ClipStore:
    """A store of these clips, made by the real stage."""
    recordings = []
    (folder / "sound").mkdir(parents=True)
    (folder / "clips").mkdir()
    for number, waveform in enumerate(waveforms):
        path = folder / "sound" / f"{number:03d}.wav"
        soundfile.write(path, waveform, RATE)
        recordings.append(Recording(path, path.name, ("a",)))
    prepare("apart", recordings, PrepareConfig(min_seconds=0.01), RATE, folder / "clips")
    return ClipStore(folder / "clips", RATE)


def noise(samples: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(0.1, 0.5, samples)


def pair_crops(store: ClipStore, **positives: Any) -> PairCrops:
    config = CropsConfig(crop_seconds=CROP / RATE, positives=ApartConfig(**positives))
    return PairCrops([store], config, PLAIN, 8, 0)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 900), min_size=1, max_size=6),
    st.integers(2, 5),
    st.integers(0, 50),
    st.integers(0, 2**32),
)
def test_crops_never_overlap_and_keep_their_distance(
    room: list[int], views: int, between: int, seed: int
) -> None:
    config = ApartConfig(min_seconds_between=between / 1000)
    least = config.least_samples(views, 100, 1000)
    assert least == 100 * views + between * (views - 1)
    table = np.array([(0, clip, 7, least + more) for clip, more in enumerate(room)])
    draws = np.random.default_rng(seed).random((views, len(room), 1))
    start = np.sort(place_crops(config, table, np.arange(len(room)), draws, 100, 1000).start, axis=0)
    assert (np.diff(start, axis=0) >= 100 + between).all()
    assert (start >= 7).all()
    assert (start[-1] + 100 <= 7 + least + np.array(room)).all()


def test_all_places_that_lie_apart_are_equally_likely_in_both_orders() -> None:
    room, pairs = 999, 40_000
    table = np.array([(0, 0, 0, room + 100)])
    draws = np.random.default_rng(0).random((2, pairs, 1))
    start = place_crops(ApartConfig(), table, np.zeros(pairs, dtype=np.int64), draws, 100, 1000).start
    tries = np.random.default_rng(1).integers(0, room + 1, (2, 2 * pairs))
    apart = tries[:, np.abs(np.diff(tries, axis=0)[0]) >= 100]
    assert (start[0] < start[1]).mean() == pytest.approx(0.5, abs=0.01)
    for ours, reference in [*zip(start, apart, strict=True), (np.ptp(start, axis=0), np.ptp(apart, axis=0))]:
        for quantile in np.arange(0.1, 1, 0.1):
            assert (ours < np.quantile(reference, quantile)).mean() == pytest.approx(quantile, abs=0.02)


def test_crops_that_do_not_fit_are_refused() -> None:
    table, draws = np.array([(0, 0, 0, 199)]), np.zeros((2, 1, 1))
    with pytest.raises(ValueError, match="2 crops of 100 samples do not fit"):
        place_crops(ApartConfig(), table, np.zeros(1, dtype=np.int64), draws, 100, 1000)


def test_digital_silence_at_the_ends_is_no_place_for_crops(tmp_path: Path) -> None:
    sounds = [
        np.concatenate([np.zeros(3000), noise(2 * CROP + 500), np.zeros(60_000)]),
        np.concatenate([noise(CROP), np.zeros(10), noise(CROP)]),
        np.concatenate([np.zeros(9000), noise(2 * CROP - 1)]),  # one sample too short
        np.concatenate([noise(1), np.zeros(20_000)]),
    ]
    store = prepared(tmp_path, *sounds)
    assert [store.sounding(clip) for clip in range(4)] == [(3000, 8500), (0, 8010), (9000, 7999), (0, 1)]
    crops = pair_crops(store)
    assert crops.segments.table.tolist() == [[0, 0, 3000, 8500], [0, 1, 0, 8010]]
    assert crops.left_out.startswith("2 of 4 pretraining clips are left out: ")
    assert "shorter than the 0.5 s that 2 crops take with crops.positives.name=apart" in crops.left_out
    for step in range(20):
        batch = crops[step]
        assert ((batch.waveforms == 0).sum(2) <= 10).all()
        assert (abs(batch.starts[0] - batch.starts[1]) >= CROP).all()
        assert (batch.starts == crops.places_of(step).start).all()  # type: ignore[attr-defined]


def test_clips_that_are_all_too_short_are_refused_with_the_keys(tmp_path: Path) -> None:
    store = prepared(tmp_path, noise(9000), noise(9100))
    assert len(pair_crops(store).segments) == 2
    with pytest.raises(UserError) as raised:
        pair_crops(store, min_seconds_between=0.1)
    for part in ("2 of 2 ", "0.6 s", "crops.crop_seconds=0.25", "crops.positives.min_seconds_between"):
        assert part in str(raised.value)


def test_long_recordings_are_segments_with_room_for_all_views(tmp_path: Path) -> None:
    store = prepared(tmp_path, noise(40_000))
    config = CropsConfig(crop_seconds=0.25, segment_seconds=0.1, positives=ApartConfig(), views=3)
    assert PairCrops([store], config, PLAIN, 8, 0).segments.table[:, 3].tolist() == [13_333] * 3


def order_learning(**values: Any) -> LearningConfig:
    config = learning(policy={"name": "all", "augmentations": ["waveform_gain"]}, **values)
    whole = config.model_dump(mode="json")
    whole["crops"]["positives"] = {"name": "apart"}
    whole["objective"] = {"name": "relative_position"}
    return LearningConfig.model_validate(whole)


def test_the_order_of_two_crops_is_learned_where_sound_changes(tmp_path: Path) -> None:
    time = np.arange(12_000) / RATE
    rising = [0.3 * np.sin(2 * np.pi * (300 + 20 * n + 2000 * time) * time) for n in range(16)]
    store = prepared(tmp_path, *rising)
    pretrain([store], order_learning(steps=40, workers=0), tmp_path)
    last = read_metrics(tmp_path)[-1]
    assert last["order_accuracy"] > 0.8 > last["order_accuracy_chance_level"]
    assert last["loss"] < last["loss_chance_level"]


def test_interrupted_and_run_again_is_bit_equal(
    store: ClipStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = order_learning(workers=0, checkpoint_every_seconds=0)
    train_whole_and_resumed(store, tmp_path, 6, config)
    assert "24 pretraining clips are left out" in " ".join(capsys.readouterr().err.split())


def test_the_objective_takes_crops_apart_alone() -> None:
    whole = learning().model_dump(mode="json")
    whole["objective"] = {"name": "relative_position"}
    with pytest.raises(ValidationError, match=r"set crops.positives.name=apart"):
        LearningConfig.model_validate(whole)
