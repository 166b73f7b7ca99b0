"""Trainings in several processes on Ray Train, as the real command runs them."""

import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from mlflow import MlflowClient
from pydantic import ValidationError

from echopair.pipeline.config import compose
from echopair.pipeline.errors import UserError
from echopair.pipeline.training.checkpoints import read_metrics, steps_done
from echopair.pipeline.training.ray_pretrain import check_processes
from tests.pipeline.training.trainings import assert_bit_equal, learning, rows_but_timings, weights
from tests.processes import Started, start_echopair
from tests.ray_nodes import RayCluster, descendants

STEPS = 60
SETTINGS = [
    "corpora.sound_events.clips_per_kind=5",
    "crops.crop_seconds=0.32",
    "encoder={name: resnet, width: 8, stem: patch, blocks: [1, 1]}",
    f"pretrain={{steps: {STEPS}, epochs: null, batch_pairs: 8, log_every_steps: 5, device: cpu, precision: float32}}",
    "pretrain.checkpoint_every_seconds=0",
]


def start_training(folder: Path, *settings: str, environment: Mapping[str, str] | None = None) -> Started:
    arguments = ["pretrain", "synthetic", f"work_folder={folder / 'work'}", *SETTINGS, *settings]
    return start_echopair(folder, *arguments, environment=environment)


def training(folder: Path) -> Path:
    """Its folder, also while it goes on."""
    (found,) = (one for one in (folder / "work" / "encoders").glob("resnet-*") if one.is_dir())
    return found


def trained(folder: Path, *settings: str) -> Path:
    process = start_training(folder, *settings)
    assert process.wait() == 0, process.said
    return training(folder)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("together"), "pretrain.processes=2")


@pytest.mark.timeout(300)
def test_two_processes_train_what_one_does(together: Path, tmp_path: Path) -> None:
    alone = trained(tmp_path)
    assert together.name == alone.name  # the key of the stage
    assert {file.name for file in together.iterdir()} == {file.name for file in alone.iterdir()}
    rows, expected = rows_but_timings(together), rows_but_timings(alone)
    assert len(rows) == STEPS // 5
    for row, other in zip(rows[:4], expected[:4], strict=True):  # later, rounding grows
        assert row == pytest.approx(other, rel=1e-3, abs=1e-5)


def test_the_run_in_mlflow_is_one_and_has_all_metrics(together: Path) -> None:
    client = MlflowClient(f"sqlite:///{together.parents[1] / 'mlflow.db'}")
    (run,) = client.search_runs([one.experiment_id for one in client.search_experiments()])
    assert run.info.status == "FINISHED"
    history = client.get_metric_history(run.info.run_id, "pretrain/loss")
    assert [(one.step, one.value) for one in history] == [
        (row["step"], row["loss"]) for row in read_metrics(together)
    ]


def wait_for_steps(steps: int, folder: Path, process: Started) -> None:
    """Wait until the training's checkpoint has so many, and not all."""
    done = 0
    while done < steps:
        assert not process.ended, process.said
        time.sleep(0.02)
        with suppress(ValueError):  # no folder yet
            done = steps_done(training(folder))
    assert done < STEPS


def train_workers(parent: int) -> list[int]:
    """Ray Train's processes below a process."""
    found = []
    for one in descendants(parent):
        with suppress(OSError):  # it ended
            if b"TrainWorker" in Path(f"/proc/{one}/cmdline").read_bytes():
                found.append(one)
    return found


def assert_equal_but_continued(process: Started, folder: Path, undisturbed: Path) -> None:
    assert process.wait() == 0, process.said
    assert "pretrain: continues after step" in process.said
    assert_bit_equal(weights(training(folder)), weights(undisturbed))
    assert rows_but_timings(training(folder)) == rows_but_timings(undisturbed)


@pytest.mark.timeout(300)
def test_a_training_whose_process_is_killed_comes_to_the_same(together: Path, tmp_path: Path) -> None:
    process = start_training(tmp_path, "pretrain.processes=2")
    wait_for_steps(10, tmp_path, process)
    _, second = train_workers(process.pid)
    os.kill(second, signal.SIGKILL)
    assert_equal_but_continued(process, tmp_path, together)


@pytest.mark.nodes
@pytest.mark.timeout(300)
def test_a_training_whose_node_is_killed_goes_on_at_another(
    together: Path, ray_cluster: RayCluster, tmp_path: Path
) -> None:
    ray_cluster.add_node()
    settings = ["pretrain.processes=2", f"ray.address={ray_cluster.address}"]
    process = start_training(tmp_path, *settings, environment=ray_cluster.environment)
    wait_for_steps(10, tmp_path, process)
    _, *others = ray_cluster.nodes  # without the head, which the command has joined
    used = [node for node in others if train_workers(node.process.pid)]
    ray_cluster.kill(used[0])
    assert_equal_but_continued(process, tmp_path, together)


@pytest.mark.timeout(300)
def test_what_a_process_finds_wrong_ends_the_command_with_its_message(tmp_path: Path) -> None:
    settings = [
        "objective.name=vicreg",
        "pretrain.optimiser=sgd",
        "pretrain.learning_rate=1",
        "pretrain.momentum=0.99",
    ]
    process = start_training(tmp_path, "pretrain.processes=2", *settings)
    assert process.wait() == 2
    assert "error: pretrain diverged: the loss of step" in process.said


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"processes": 3},
            r"batch_pairs=8 does not divide by pretrain.processes=3.*; set pretrain.batch_pairs=9",
        ),
        ({"processes": 2, "views_at_once": 4}, r"views_at_once=4 is for a single process"),
    ],
)
def test_batches_that_cannot_be_shared_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        learning(**settings)


def test_more_processes_than_cores_are_refused(tmp_path: Path) -> None:
    config = compose(
        "synthetic", [f"work_folder={tmp_path}", "pretrain.batch_pairs=4096", "pretrain.processes=4096"]
    )
    with pytest.raises(
        UserError, match=r"processes=4096 is more than the \d+ (CPU cores|GPUs) .*; set pretrain.proc"
    ):
        check_processes(config)


def test_the_key_of_a_training_holds_what_changes_its_result() -> None:
    one, two, apart, alone = (
        learning(processes=processes, synchronise_batch_norm=synchronised).key_inputs()
        for processes, synchronised in ((1, True), (2, True), (2, False), (1, False))
    )
    assert one == two == alone
    assert apart != one


@pytest.mark.timeout(120)
def test_a_cluster_without_room_is_refused_in_seconds(ray_cluster: RayCluster, tmp_path: Path) -> None:
    for settings, message in (
        (["pretrain.processes=4"], "pretrain.processes=4 is more than the 2 CPU cores of the cluster"),
        (
            ["pretrain.processes=2", "pretrain.device=cuda"],
            "pretrain.processes=2 is more than the 0 GPUs of the cluster",
        ),
    ):
        address = f"ray.address={ray_cluster.address}"
        process = start_training(tmp_path, *settings, address, environment=ray_cluster.environment)
        assert process.wait(60) == 2
        assert message in " ".join(process.said.split())
        assert not (tmp_path / "work" / "clips").exists()
