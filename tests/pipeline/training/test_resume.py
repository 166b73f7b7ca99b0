import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.checkpoints import (
    CHECKPOINT_FILE,
    METRICS_FILE,
    PLAN_FILE,
    read_metrics,
)
from echopair.pipeline.training.learner import LearningConfig
from echopair.pipeline.training.pretrain import pretrain
from tests.pipeline.training.trainings import (
    AUGMENTED_EVERYWHERE,
    CHANGES,
    EmbedsAtMilestones,
    Ends,
    assert_bit_equal,
    kill,
    learning,
    rows_but_timings,
    weights,
)


def test_interrupted_and_run_again_is_bit_equal(
    uninterrupted: Path, store: ClipStore, tmp_path: Path
) -> None:
    config = learning(checkpoint_every_seconds=0)
    for step in (4, 8):
        with pytest.raises(KeyboardInterrupt):
            pretrain([store], config, tmp_path, Ends(step))
    pretrain([store], config, tmp_path)
    assert_bit_equal(weights(tmp_path), weights(uninterrupted))
    assert rows_but_timings(tmp_path) == rows_but_timings(uninterrupted)


def test_momentum_of_sgd_is_continued(store: ClipStore, tmp_path: Path) -> None:
    settings = {"optimiser": "sgd", "learning_rate": 0.03, "rate_drops": (0.65,)}
    config = learning(checkpoint_every_seconds=0, **settings)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    pretrain([store], config, whole)
    kill(store, killed, 6, config)
    pretrain([store], config, killed)
    assert_bit_equal(weights(killed), weights(whole))


def test_killed_and_run_again_is_bit_equal(uninterrupted: Path, store: ClipStore, tmp_path: Path) -> None:
    config = learning(checkpoint_every_seconds=0)
    kill(store, tmp_path, 6, config)
    pretrain([store], config, tmp_path)
    assert_bit_equal(weights(tmp_path), weights(uninterrupted))
    assert [row["step"] for row in read_metrics(tmp_path)] == [2, 4, 6, 8, 10, 12]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_views_are_the_same_with_worker_processes_and_after_a_kill(store: ClipStore, tmp_path: Path) -> None:
    folders = {workers: tmp_path / str(workers) for workers in (0, 2)}
    for workers, folder in folders.items():
        folder.mkdir()
        config = learning(policy=AUGMENTED_EVERYWHERE, workers=workers, checkpoint_every_seconds=0)
        if workers:
            kill(store, folder, 6, config)
        pretrain([store], config, folder)
    assert_bit_equal(weights(folders[2]), weights(folders[0]))


def test_a_scheduled_training_interrupted_in_any_phase_is_bit_equal(
    scheduled: Path, store: ClipStore, tmp_path: Path
) -> None:
    config = learning(schedule=CHANGES, workers=0, checkpoint_every_seconds=0)
    for step in (2, 6, 10):
        with pytest.raises(KeyboardInterrupt):
            pretrain([store], config, tmp_path, Ends(step))
    pretrain([store], config, tmp_path)
    assert_bit_equal(weights(tmp_path), weights(scheduled))
    assert rows_but_timings(tmp_path) == rows_but_timings(scheduled)


def train_until(step: int, store: ClipStore, config: LearningConfig, folder: Path) -> None:
    with pytest.raises(SystemExit):
        pretrain([store], config, folder, EmbedsAtMilestones(12, ends_saved=(step, SystemExit())))


def take_over(folder: Path, source: Path) -> Path:
    for file in (CHECKPOINT_FILE, PLAN_FILE, METRICS_FILE):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / file, folder / file)
    return folder


def test_a_training_taken_over_with_other_values_is_the_one_that_changes_to_them(
    scheduled: Path, store: ClipStore, tmp_path: Path
) -> None:
    # As population-based training does: each time from the checkpoint of a training without the change.
    train_until(4, store, learning(workers=0), tmp_path)
    second = take_over(tmp_path / "second", tmp_path)
    train_until(7, store, learning(schedule=CHANGES[:1], workers=0), second)
    third = take_over(tmp_path / "third", second)
    pretrain([store], learning(schedule=CHANGES, workers=0), third)
    assert_bit_equal(weights(third), weights(scheduled))
    assert rows_but_timings(third) == rows_but_timings(scheduled)


def test_a_thread_with_worker_processes_trains_the_same(
    scheduled: Path, store: ClipStore, tmp_path: Path
) -> None:
    config = learning(schedule=CHANGES, workers=1)
    first, second = EmbedsAtMilestones(ends_saved=(2, SystemExit())), EmbedsAtMilestones()
    with ThreadPoolExecutor(1) as threads:
        ended = threads.submit(pretrain, [store], config, tmp_path, first)
        assert isinstance(ended.exception(), SystemExit)
        threads.submit(pretrain, [store], config, tmp_path, second).result()
    assert [milestone for milestone, *_ in first.calls + second.calls] == [1, 2, 3, 4]
    assert_bit_equal(weights(tmp_path), weights(scheduled))
