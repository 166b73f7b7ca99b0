"""A training by a method with a momentum encoder and a queue, and a bank sized by the corpus, through the real loop."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.checkpoints import CHECKPOINT_FILE, read_metrics
from echopair.pipeline.training.learner import LearningConfig
from echopair.pipeline.training.pretrain import pretrain
from tests.pipeline.training.trainings import assert_bit_equal, kill, learning, rows_but_timings, weights


def learning_by(
    objective: dict[str, object], views: int = 2, schedule: object = (), **settings: object
) -> LearningConfig:
    values = learning(**settings).model_dump(mode="json")  # type: ignore[arg-type]
    values["objective"] = objective
    values["crops"]["views"] = views
    values["pretrain"]["schedule"] = schedule
    return LearningConfig.model_validate(values)


def by_moco(views: int = 2, schedule: object = (), **settings: object) -> LearningConfig:
    return learning_by({"name": "moco", "queue_keys": 20}, views, schedule, **settings)


@pytest.fixture(scope="module")
def uninterrupted_moco(store: ClipStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("moco")
    pretrain([store], by_moco(), folder)
    return folder


def saved_method(folder: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(folder / CHECKPOINT_FILE)["method"]
    return state


def test_killed_and_run_again_is_bit_equal(
    uninterrupted_moco: Path, store: ClipStore, tmp_path: Path
) -> None:
    config = by_moco(checkpoint_every_seconds=0)
    kill(store, tmp_path, 6, config)
    pretrain([store], config, tmp_path)
    assert_bit_equal(weights(tmp_path), weights(uninterrupted_moco))
    assert_bit_equal(saved_method(tmp_path), saved_method(uninterrupted_moco))
    assert rows_but_timings(tmp_path) == rows_but_timings(uninterrupted_moco)


def test_momentum_copy_and_queue_are_checkpointed_and_not_given_to_the_optimiser(
    uninterrupted_moco: Path,
) -> None:
    checkpoint = torch.load(uninterrupted_moco / CHECKPOINT_FILE)
    state = checkpoint["method"]
    assert not torch.equal(state["momentum.0.stem.0.weight"], state["encoder.stem.0.weight"])
    assert_bit_equal(  # what is exported is the encoder of the queries
        weights(uninterrupted_moco),
        {
            name.removeprefix("encoder."): value
            for name, value in state.items()
            if name.startswith("encoder.")
        },
    )
    assert state["queue.keys"].shape == (20, 16)
    assert 0 <= state["queue.sources"].min() <= state["queue.sources"].max() < 24
    trained = [name for name in state if name.endswith(("weight", "bias")) and "momentum." not in name]
    assert len(checkpoint["optimiser"]["state"]) == len(trained)


def test_it_learns(store: ClipStore, tmp_path: Path) -> None:
    pretrain([store], by_moco(strength=0, steps=60, learning_rate=3e-3), tmp_path)
    last = read_metrics(tmp_path)[-1]
    assert last["loss"] < last["loss_chance_level"] - 0.5
    assert last["queue_top1"] > 2 * last["queue_top1_chance_level"]


def test_a_memory_bank_has_an_entry_for_each_segment(store: ClipStore, tmp_path: Path) -> None:
    values = learning_by({"name": "memory_bank"}, views=3, steps=2).model_dump(mode="json")
    values["crops"]["segment_seconds"] = 0.5  # several of a clip
    pretrain([store], LearningConfig.model_validate(values), tmp_path)
    segments = int((store.samples // 8000).clip(1).sum())
    assert segments > len(store)
    assert saved_method(tmp_path)["bank.entries"].shape == (segments, 16)


def test_its_own_keys_decide_what_a_schedule_may_change() -> None:
    by_moco(schedule=[{"step": 4, "values": {"objective.temperature": 0.5}}])
    with pytest.raises(
        ValidationError,
        match=r"objective.queue_keys cannot change .* change only objective.temperature, objective.momentum,",
    ):
        by_moco(schedule=[{"step": 4, "values": {"objective.queue_keys": 30}}])


def test_more_views_than_it_takes_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"crops.views=4 is more than objective.name=moco takes"):
        by_moco(views=4)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ({"name": "moco", "queue_keys": 7}, r"objective.queue_keys=7 is less than pretrain.batch_pairs=8, "),
        (
            {"name": "mochi", "queue_keys": 9, "hardest": 10},
            r"objective.hardest=10 is more than objective.queue_keys=9",
        ),
        ({"name": "moco", "momentum": 1}, r"objective.moco.momentum\n  Input should be less than 1 "),
        ({"name": "byol", "momentum": 1}, r"objective.byol.momentum\n  Input should be less than 1 "),
        ({"name": "simsiam", "temperature": 1}, r"objective.simsiam.temperature\n  Extra inputs"),
    ],
)
def test_what_does_not_fit_is_refused(objective: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        learning_by(objective)
