import math
import multiprocessing
import os
import shutil
import signal
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from echopair import AudioEncoder
from echopair.augment.policy import AugmentConfig
from echopair.models.encoders import ResNetConfig
from echopair.models.log_mel import LogMelConfig
from echopair.models.objectives import NTXentConfig
from echopair.models.projection import ProjectionConfig
from echopair.pipeline.errors import UserError
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.callback import TrainingCallback
from echopair.pipeline.training.checkpoints import (
    CHECKPOINT_FILE,
    METRICS_FILE,
    PLAN_FILE,
    MetricsLog,
    load_plan,
    read_metrics,
)
from echopair.pipeline.training.crops import CropsConfig
from echopair.pipeline.training.learner import LearningConfig, PretrainConfig, initial_encoder, learning_rate
from echopair.pipeline.training.pretrain import Diverged, evaluation_steps, pretrain
from echopair.pipeline.training.training_metrics import is_collapsed

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
        objective=NTXentConfig(),
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


@pytest.fixture(scope="module")
def uninterrupted(store: ClipStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    pretrain([store], learning(), folder)
    return folder


def test_metrics_of_every_few_steps(uninterrupted: Path) -> None:
    rows = read_metrics(uninterrupted)
    assert [row["step"] for row in rows] == [2, 4, 6, 8, 10, 12]
    assert set(rows[0]) == {
        "step",
        "loss",
        "loss_chance_level",
        "retrieval_top1",
        "alignment",
        "uniformity",
        "effective_rank",
        "embedding_spread",
        "learning_rate",
        "pairs_per_second",
        "data_wait_share",
    }
    assert all(0 <= row["data_wait_share"] <= 1 for row in rows)


def test_the_same_seed_gives_the_same_encoder(uninterrupted: Path, store: ClipStore, tmp_path: Path) -> None:
    pretrain([store], learning(), tmp_path)
    assert_bit_equal(weights(tmp_path), weights(uninterrupted))


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


def kill(store: ClipStore, folder: Path, step: int, config: LearningConfig) -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=pretrain, args=([store], config, folder, Kills(step))
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (folder / "encoder").exists()


def test_killed_and_run_again_is_bit_equal(uninterrupted: Path, store: ClipStore, tmp_path: Path) -> None:
    config = learning(checkpoint_every_seconds=0)
    kill(store, tmp_path, 6, config)
    pretrain([store], config, tmp_path)
    assert_bit_equal(weights(tmp_path), weights(uninterrupted))
    assert [row["step"] for row in read_metrics(tmp_path)] == [2, 4, 6, 8, 10, 12]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_views_are_the_same_for_0_1_and_4_workers_and_after_a_kill(store: ClipStore, tmp_path: Path) -> None:
    folders = {workers: tmp_path / str(workers) for workers in (0, 1, 4)}
    for workers, folder in folders.items():
        folder.mkdir()
        config = learning(policy=AUGMENTED_EVERYWHERE, workers=workers, checkpoint_every_seconds=0)
        if workers:
            kill(store, folder, 6, config)
        pretrain([store], config, folder)
    assert_bit_equal(weights(folders[1]), weights(folders[0]))
    assert_bit_equal(weights(folders[4]), weights(folders[0]))


@pytest.mark.parametrize("steps", [1, 7, 100])
@pytest.mark.parametrize("evaluations", [1, 5, 40])
def test_evaluations_come_at_equal_distances_and_the_last_at_the_end(steps: int, evaluations: int) -> None:
    after = evaluation_steps(steps, evaluations)
    assert after == sorted(set(after))
    assert len(after) == min(steps, evaluations)
    assert after[0] >= 1
    assert after[-1] == steps
    if evaluations <= steps:
        assert all(
            abs(step - steps / evaluations * share) <= 0.5 for share, step in enumerate(after, start=1)
        )


class Evaluates(TrainingCallback):
    """Embeds a tone at each evaluation; ends the training at one of them, or after its checkpoint."""

    def __init__(
        self,
        evaluations: int = 4,
        folder: Path | None = None,
        ends: tuple[int, BaseException] | None = None,
        ends_saved: tuple[int, BaseException] | None = None,
    ) -> None:
        self.evaluations = evaluations
        self.calls: list[tuple[int, int, int]] = []
        self.saved_before: list[int] = []
        self.embedding = torch.empty(0)
        self._folder = folder
        self._ends = ends
        self._ends_saved = ends_saved

    def on_evaluation(self, evaluation: int, step: int, steps: int, encoder: AudioEncoder) -> None:
        assert not any(module.training for module in encoder.modules())
        self.calls.append((evaluation, step, steps))
        if self._folder:
            self.saved_before.append(steps_saved(self._folder))
        self.embedding = encoder.embed(TONE, 16000)
        assert torch.equal(self.embedding, encoder.embed(TONE, 16000))  # embedding changes no weight
        if self._ends and self._ends[0] == evaluation:
            raise self._ends[1]

    def on_checkpoint(self, evaluation: int) -> None:
        if self._ends_saved and self._ends_saved[0] == evaluation:
            raise self._ends_saved[1]


def test_evaluations_are_given_the_encoder_and_change_no_result(
    uninterrupted: Path, store: ClipStore, tmp_path: Path
) -> None:
    callback = Evaluates(folder=tmp_path)
    pretrain([store], learning(), tmp_path, callback)
    assert callback.calls == [(1, 3, 12), (2, 6, 12), (3, 9, 12), (4, 12, 12)]
    assert callback.saved_before == [0, 3, 6, 9]  # an evaluation comes before the checkpoint of its step
    assert_bit_equal(weights(tmp_path), weights(uninterrupted))
    assert rows_but_timings(tmp_path) == rows_but_timings(uninterrupted)
    loaded = AudioEncoder.load(tmp_path / "encoder", device="cpu")
    assert torch.equal(callback.embedding, loaded.embed(TONE, 16000))


@pytest.mark.parametrize(
    ("callback", "saved", "evaluated_again"),
    [
        (Evaluates(ends_saved=(2, SystemExit())), 6, [3, 4]),
        (Evaluates(ends=(2, KeyboardInterrupt())), 3, [2, 3, 4]),
    ],
)
def test_a_training_that_a_callback_ends_goes_on_after_its_last_checkpoint(
    callback: Evaluates,
    saved: int,
    evaluated_again: list[int],
    uninterrupted: Path,
    store: ClipStore,
    tmp_path: Path,
) -> None:
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        pretrain([store], learning(), tmp_path, callback)
    assert steps_saved(tmp_path) == saved
    second = Evaluates()
    pretrain([store], learning(), tmp_path, second)
    assert [evaluation for evaluation, *_ in second.calls] == evaluated_again
    assert_bit_equal(weights(tmp_path), weights(uninterrupted))


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


@pytest.fixture(scope="module")
def scheduled(store: ClipStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scheduled")
    pretrain([store], learning(schedule=CHANGES, workers=0), folder)
    return folder


@pytest.mark.parametrize(
    "changed",
    [
        {"objective.temperature": 0.5},
        {"augment.strength": 2},
        {"pretrain.learning_rate": 0.005},
        {"pretrain.weight_decay": 0.5},
    ],
    ids=str,
)
def test_a_change_holds_from_its_step_on(
    changed: dict[str, float], uninterrupted: Path, store: ClipStore, tmp_path: Path
) -> None:
    pretrain([store], learning(schedule=[{"step": 10, "values": changed}]), tmp_path)
    rows, unchanged = rows_but_timings(tmp_path), rows_but_timings(uninterrupted)
    assert rows[:5] == unchanged[:5]  # up to step 10
    one, other = weights(tmp_path), weights(uninterrupted)
    assert any(not torch.equal(one[name], other[name]) for name in one)
    rate = changed.get("pretrain.learning_rate", 1e-3)
    assert rows[5]["learning_rate"] == learning_rate(PretrainConfig(steps=12, learning_rate=rate), 11, 12)


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
        pretrain([store], config, folder, Evaluates(12, ends_saved=(step, SystemExit())))


def take_over(folder: Path, source: Path) -> Path:
    for file in (CHECKPOINT_FILE, PLAN_FILE, METRICS_FILE):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / file, folder / file)
    return folder


def test_a_training_taken_over_with_other_values_is_the_one_that_changes_to_them(
    scheduled: Path, store: ClipStore, tmp_path: Path
) -> None:
    # As population-based training does: each time from the checkpoint of one that never heard of the change.
    train_until(4, store, learning(workers=0), tmp_path)
    second = take_over(tmp_path / "second", tmp_path)
    train_until(7, store, learning(schedule=CHANGES[:1], workers=0), second)
    third = take_over(tmp_path / "third", second)
    pretrain([store], learning(schedule=CHANGES, workers=0), third)
    assert_bit_equal(weights(third), weights(scheduled))
    assert rows_but_timings(third) == rows_but_timings(scheduled)


def test_a_thread_with_reader_processes_trains_the_same(
    scheduled: Path, store: ClipStore, tmp_path: Path
) -> None:
    config = learning(schedule=CHANGES, workers=1)
    first, second = Evaluates(ends_saved=(2, SystemExit())), Evaluates()
    with ThreadPoolExecutor(1) as threads:
        ended = threads.submit(pretrain, [store], config, tmp_path, first)
        assert isinstance(ended.exception(), SystemExit)
        threads.submit(pretrain, [store], config, tmp_path, second).result()
    assert [evaluation for evaluation, *_ in first.calls + second.calls] == [1, 2, 3, 4]
    assert_bit_equal(weights(tmp_path), weights(scheduled))


def test_learning_beats_chance(store: ClipStore, tmp_path: Path) -> None:
    pretrain([store], learning(strength=0, steps=60, learning_rate=3e-3), tmp_path)
    first, last = read_metrics(tmp_path)[0], read_metrics(tmp_path)[-1]
    assert last["loss"] < last["loss_chance_level"] - 0.5
    assert last["retrieval_top1"] > 1.5 * first["retrieval_top1"]


def test_four_views_near_each_other_are_learned_from(store: ClipStore, tmp_path: Path) -> None:
    crops = {"crop_seconds": 0.32, "views": 4, "positives": {"name": "neighbours", "max_seconds_apart": 0.2}}
    config = learning(strength=0, steps=60, learning_rate=3e-3)
    pretrain([store], config.model_copy(update={"crops": CropsConfig.model_validate(crops)}), tmp_path)
    first, last = read_metrics(tmp_path)[0], read_metrics(tmp_path)[-1]
    assert first["loss_chance_level"] == pytest.approx(math.log(4 * 8 - 1))
    assert last["loss"] < last["loss_chance_level"] - 0.5


def test_epochs_are_passes_over_the_segments(store: ClipStore, tmp_path: Path) -> None:
    pretrain([store], learning(epochs=2), tmp_path)
    plan = load_plan(tmp_path)
    assert plan is not None
    assert plan.steps == 2 * (len(store) // 8)


def test_minutes_become_steps_once(store: ClipStore, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        pretrain([store], learning(minutes=0.05, log_every_steps=1), tmp_path, Ends(1))
    plan = load_plan(tmp_path)
    assert plan is not None
    assert 2 <= plan.steps < 3000
    pretrain([store], learning(minutes=0.05), tmp_path)
    assert load_plan(tmp_path) == plan


def test_calibration_leaves_the_learner_as_it_was(store: ClipStore, tmp_path: Path) -> None:
    for budget in ("minutes", "steps"):
        (tmp_path / budget).mkdir()
    pretrain([store], learning(minutes=0.02), tmp_path / "minutes")
    plan = load_plan(tmp_path / "minutes")
    assert plan is not None
    pretrain([store], learning(steps=plan.steps), tmp_path / "steps")
    assert_bit_equal(weights(tmp_path / "minutes"), weights(tmp_path / "steps"))


def test_more_pairs_than_clips_are_refused(store: ClipStore, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pretrain.batch_pairs=64 is more than the 24 segments"):
        pretrain([store], learning(batch_pairs=64), tmp_path)


def test_a_loss_that_is_not_finite_ends_the_training(
    store: ClipStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No input of a validated store makes it, so a broken front end stands for a training that diverged.
    monkeypatch.setattr(
        "echopair.pipeline.training.pretrain.make_views", lambda *_: torch.full((2, 8, 1, 64, 32), torch.nan)
    )
    with pytest.raises(
        Diverged, match=r"pretrain diverged: the loss of step 1 is nan; lower pretrain.learning_rate"
    ):
        pretrain([store], learning(), tmp_path)
    assert read_metrics(tmp_path) == []
    callback = Evaluates()
    with pytest.raises(Diverged, match="the loss of step 2 is nan"):
        pretrain([store], learning(log_every_steps=50), tmp_path, callback)
    assert callback.calls == []
    assert issubclass(Diverged, UserError)


def test_rows_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    (tmp_path / METRICS_FILE).write_text(
        '{"step": 2, "loss": 1.0}\n{"step": 4, "loss": 0.9}\n{"step": 6, "lo'
    )
    log = MetricsLog(tmp_path, steps_done=3)
    assert [row["step"] for row in log.rows] == [2]
    log.append({"step": 4, "loss": 0.8})
    assert [row["loss"] for row in read_metrics(tmp_path)] == [1.0, 0.8]


def test_warm_up_and_cosine() -> None:
    config = PretrainConfig(steps=100, learning_rate=1.0, warm_up_share=0.1)
    rates = [learning_rate(config, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert 0 < rates[-1] < 0.001


def test_initial_weights_depend_on_the_seed_alone() -> None:
    config = ResNetConfig(width=8)
    torch.manual_seed(1)
    first = initial_encoder(config, 0)
    torch.manual_seed(2)
    assert_bit_equal(first.state_dict(), initial_encoder(config, 0).state_dict())
    assert not torch.equal(next(first.parameters()), next(initial_encoder(config, 1).parameters()))


@pytest.mark.parametrize(
    ("uniformity", "rank", "collapsed"), [(-2.0, 20.0, False), (-0.01, 20.0, True), (-2.0, 1.2, True)]
)
def test_collapse(uniformity: float, rank: float, collapsed: bool) -> None:
    assert is_collapsed({"uniformity": uniformity, "effective_rank": rank}) is collapsed


def test_collapse_is_said_aloud_once(
    store: ClipStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "echopair.pipeline.training.training_metrics.is_collapsed", lambda row: row["step"] >= 4
    )
    pretrain([store], learning(), tmp_path)
    said = capsys.readouterr().err
    assert said.count("the representation has collapsed") == 1
    assert "at step 4" in said


@pytest.mark.parametrize("budget", [{}, {"steps": 1, "minutes": 1}])
def test_one_budget_is_wanted(budget: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="give one budget"):
        PretrainConfig(**budget)  # type: ignore[arg-type]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_trains_and_resumes_on_cuda(store: ClipStore, tmp_path: Path) -> None:
    config = learning(
        device="cuda", precision="auto", steps=40, checkpoint_every_seconds=0, learning_rate=3e-3
    )
    with pytest.raises(KeyboardInterrupt):
        pretrain([store], config, tmp_path, Ends(20))
    pretrain([store], config, tmp_path)
    rows = read_metrics(tmp_path)
    assert [row["step"] for row in rows] == list(range(2, 41, 2))
    assert rows[-1]["loss"] < rows[-1]["loss_chance_level"]
