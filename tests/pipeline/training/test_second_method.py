"""What a second method costs: its file (tests/models/methods/moco.py), one line below, and these tests."""

import math
from pathlib import Path

import pytest
import torch
from pydantic import Field, ValidationError

from echopair.models.methods import ObjectiveConfig
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.checkpoints import CHECKPOINT_FILE, read_metrics
from echopair.pipeline.training.learner import LearningConfig
from echopair.pipeline.training.pretrain import pretrain
from tests.models.methods.moco import MoCoConfig
from tests.pipeline.training.trainings import assert_bit_equal, kill, learning, rows_but_timings, weights


class LearningByEither(LearningConfig, frozen=True):
    objective: ObjectiveConfig | MoCoConfig = Field(discriminator="name")  # type: ignore[assignment]


def by_moco(views: int = 2, schedule: object = (), **settings: object) -> LearningByEither:
    values = learning(**settings).model_dump(mode="json")  # type: ignore[arg-type]
    values["objective"] = {"name": "moco", "queue_keys": 20}
    values["crops"]["views"] = views
    values["pretrain"]["schedule"] = schedule
    return LearningByEither.model_validate(values)


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


def test_its_figures_are_logged_with_their_chance_levels(uninterrupted_moco: Path) -> None:
    for row in read_metrics(uninterrupted_moco):
        assert row["loss_chance_level"] == math.log(1 + 20)
        assert row["retrieval_top1_chance_level"] == 1 / (1 + 20)
        assert -1 <= row["queue_similarity"] <= 1
        assert "uniformity" not in row


def test_momentum_copy_and_queue_are_checkpointed_and_not_given_to_the_optimiser(
    uninterrupted_moco: Path,
) -> None:
    checkpoint = torch.load(uninterrupted_moco / CHECKPOINT_FILE)
    state = checkpoint["method"]
    assert not torch.equal(state["key.0.stem.0.weight"], state["encoder.stem.0.weight"])
    assert state["queue.keys"].shape == (20, 16)
    trained = [name for name in state if name.endswith(("weight", "bias")) and not name.startswith("key.")]
    assert len(checkpoint["optimiser"]["state"]) == len(trained)


def test_it_learns(store: ClipStore, tmp_path: Path) -> None:
    pretrain([store], by_moco(strength=0, steps=60, learning_rate=3e-3), tmp_path)
    last = read_metrics(tmp_path)[-1]
    assert last["loss"] < last["loss_chance_level"] - 0.5
    assert last["retrieval_top1"] > 2 * last["retrieval_top1_chance_level"]


def test_its_own_keys_decide_what_a_schedule_may_change() -> None:
    by_moco(schedule=[{"step": 4, "values": {"objective.temperature": 0.5}}])
    with pytest.raises(
        ValidationError, match=r"objective.queue_keys cannot change .* change only objective.temperature,"
    ):
        by_moco(schedule=[{"step": 4, "values": {"objective.queue_keys": 30}}])


def test_more_views_than_it_takes_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"crops.views=4 is more than objective.name=moco takes"):
        by_moco(views=4)
