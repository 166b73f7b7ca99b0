"""Trainings by objectives that draw at random, learn a temperature, and read labels or recordings."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.checkpoints import read_metrics
from echopair.pipeline.training.learner import LearningConfig
from echopair.pipeline.training.pretrain import pretrain
from tests.pipeline.training.trainings import Ends, assert_bit_equal, learning, rows_but_timings, weights


def by(objective: dict[str, Any], crops: dict[str, Any] | None = None, **settings: Any) -> LearningConfig:
    values = learning().model_dump(mode="json")
    values["objective"] = objective
    values["crops"] |= crops or {}
    values["pretrain"] |= settings
    return LearningConfig.model_validate(values)


@pytest.mark.parametrize(
    "objective",
    [
        {"name": "triplet", "sampling": "distance_weighted", "ignore_same_recording": True},
        {"name": "supervised_contrastive", "temperature_change": {"name": "learned"}},
    ],
    ids=lambda objective: objective["name"],
)
def test_interrupted_and_run_again_is_bit_equal(
    objective: dict[str, Any], store: ClipStore, tmp_path: Path
) -> None:
    once, twice = tmp_path / "once", tmp_path / "twice"
    once.mkdir()
    twice.mkdir()
    config = by(
        objective,
        {"recordings_apart": True},
        steps=4,
        batch_pairs=4,
        views_at_once=3,
        log_every_steps=1,
        checkpoint_every_seconds=0,
    )
    pretrain([store], config, once)
    with pytest.raises(KeyboardInterrupt):
        pretrain([store], config, twice, Ends(2))
    pretrain([store], config, twice)
    assert_bit_equal(weights(once), weights(twice))
    assert rows_but_timings(once) == rows_but_timings(twice)
    temperatures = {row.get("temperature") for row in read_metrics(once)}
    assert len(temperatures) == (1 if objective["name"] == "triplet" else 4)


def test_views_that_are_encoded_in_chunks_belong_to_what_the_encoder_becomes(
    store: ClipStore, tmp_path: Path
) -> None:
    runs = {}
    for at_once in (None, 100, 3):
        runs[at_once] = tmp_path / str(at_once)
        runs[at_once].mkdir()
        config = by({"name": "nt_xent"}, steps=2, batch_pairs=4, log_every_steps=1, views_at_once=at_once)
        pretrain([store], config, runs[at_once])
    assert_bit_equal(weights(runs[None]), weights(runs[100]))
    whole, chunked = (read_metrics(runs[at_once])[0]["loss"] for at_once in (None, 3))
    assert chunked != whole  # by batch normalisation
    assert chunked == pytest.approx(whole, rel=0.3)
    keys = [by({"name": "nt_xent"}, views_at_once=at_once).key_inputs() for at_once in (None, 3)]
    assert keys[0] != keys[1]
    assert keys[0] == by({"name": "nt_xent"}).key_inputs()


def test_a_schedule_changes_the_values_that_an_objective_says() -> None:
    config = by({"name": "triplet"}, schedule=[{"step": 4, "values": {"objective.margin": 0.5}}])
    assert [config.config_at(step).objective.model_dump()["margin"] for step in (3, 4)] == [0.2, 0.5]
    with pytest.raises(ValidationError, match=r"objective.sampling cannot change .* only objective.margin"):
        by({"name": "triplet"}, schedule=[{"step": 4, "values": {"objective.sampling": "hard"}}])
