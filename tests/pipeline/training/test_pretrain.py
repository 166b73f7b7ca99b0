import copy
import math
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from echopair.models.encoders import ResNetConfig
from echopair.models.methods.projection_loss import ProjectionLoss
from echopair.pipeline.errors import UserError
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.checkpoints import (
    METRICS_FILE,
    MetricsLog,
    load_plan,
    read_metrics,
)
from echopair.pipeline.training.crops import CropsConfig
from echopair.pipeline.training.learner import PretrainConfig, initial_encoder, learning_rate
from echopair.pipeline.training.pretrain import Diverged, pretrain
from tests.pipeline.training.trainings import (
    EmbedsAtMilestones,
    Ends,
    assert_bit_equal,
    learning,
    rows_but_timings,
    weights,
)


def test_metrics_of_every_few_steps(uninterrupted: Path) -> None:
    rows = read_metrics(uninterrupted)
    assert [row["step"] for row in rows] == [2, 4, 6, 8, 10, 12]
    assert set(rows[0]) == {
        "step",
        "loss",
        "loss_chance_level",
        "retrieval_top1",
        "retrieval_top1_chance_level",
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


def test_a_batch_larger_than_the_corpus_is_all_of_it_and_that_is_said(
    store: ClipStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for pairs in (24, 64):
        (tmp_path / str(pairs)).mkdir()
        pretrain([store], learning(batch_pairs=pairs, steps=2), tmp_path / str(pairs))
        said = "batches of 24 pairs, the segments that the clips have" in capsys.readouterr().err
        assert said == (pairs == 64)
    assert_bit_equal(weights(tmp_path / "24"), weights(tmp_path / "64"))


def test_one_clip_has_no_other_to_be_told_from(store: ClipStore, tmp_path: Path) -> None:
    one = copy.copy(store)
    one.samples = store.samples[:1]
    with pytest.raises(UserError, match=r"have 1 segment, .* lower crops.segment_seconds"):
        pretrain([one], learning(), tmp_path)


def test_a_loss_that_is_not_finite_ends_the_training(
    store: ClipStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No input of a validated store makes it, so a broken front end stands for a training that diverged.
    monkeypatch.setattr(
        "echopair.pipeline.training.batches.make_views",
        lambda *_: [torch.full((8, 1, 64, 32), torch.nan)] * 2,
    )
    with pytest.raises(
        Diverged, match=r"pretrain diverged: the loss of step 1 is nan; lower pretrain.learning_rate"
    ):
        pretrain([store], learning(), tmp_path)
    assert read_metrics(tmp_path) == []
    callback = EmbedsAtMilestones()
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


def test_the_rate_drops_to_a_tenth() -> None:
    config = PretrainConfig(steps=100, learning_rate=1.0, warm_up_share=0, rate_drops=(0.65, 0.85))
    rates = [learning_rate(config, step, 100) for step in range(100)]
    assert rates == pytest.approx([1.0] * 65 + [0.1] * 20 + [0.01] * 15)


def test_initial_weights_depend_on_the_seed_alone() -> None:
    config = ResNetConfig(width=8)
    torch.manual_seed(1)
    first = initial_encoder(config, 0)
    torch.manual_seed(2)
    assert_bit_equal(first.state_dict(), initial_encoder(config, 0).state_dict())
    assert not torch.equal(next(first.parameters()), next(initial_encoder(config, 1).parameters()))


def test_a_collapse_is_warned_of_once(
    store: ClipStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # No short training collapses on demand.
    monkeypatch.setattr(ProjectionLoss, "collapse", lambda _self, row: "rank 1" if row["step"] >= 4 else None)
    pretrain([store], learning(), tmp_path)
    warning = " ".join(capsys.readouterr().err.split())
    assert warning.count("the representation has collapsed at step 4 (rank 1)") == 1
    assert warning.count("collapsed") == 1
    assert "Lower pretrain.learning_rate or objective.temperature" in warning


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
