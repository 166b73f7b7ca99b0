"""Trials as a node runs them that does not see the driver's disk."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from echopair.pipeline.checks import Stage, check
from echopair.pipeline.config import validated
from echopair.pipeline.run import RunResult, learn, prepare_corpora
from echopair.pipeline.stages import read_done
from echopair.pipeline.training.checkpoints import METRICS_FILE, read_metrics, steps_done
from echopair.tuning.cluster import RayConfig, ray_session
from echopair.tuning.config import SweepConfig, compose_sweep
from echopair.tuning.courier import Courier, courier_for
from echopair.tuning.course import READINGS_PREFIX
from echopair.tuning.task import Report, TrialTask, clips_of
from echopair.tuning.trial import Inherited, run_trial
from echopair.tuning.trial_folder import CONFIG_FILE, ERROR_FILE, kept_files, refuse, trial_folder
from tests.pipeline.test_run import write_config

VALUES = {"objective.temperature": 0.2, "augment.strength": 1.0}
OTHERS = {"objective.temperature": 0.3, "augment.strength": 1.0}
READINGS = 3
PBT = {"name": "pbt", "interval": 1}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> TrialTask:
    """A sweep whose trials take seconds, its clips prepared."""
    file = write_config(tmp_path_factory.mktemp("sweep"))
    settings = compose_sweep([str(file), f"sweep.readings={READINGS}", "pretrain.log_every_steps=1"])
    result = RunResult(settings.run)
    prepare_corpora(settings.run, check(settings.run, Stage.EVALUATE), result)
    clips = {16000: {corpus: done.folder for corpus, done in result.clips.items()}}
    return TrialTask(settings, clips, settings.run.work_folder / "sweeps" / "tones", None, threads=1)


@pytest.fixture(scope="module")
def reference(prepared: TrialTask, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the trial of VALUES reports on one machine."""
    rows: list[dict[str, Any]] = []
    run_trial(elsewhere(prepared, tmp_path_factory.mktemp("reference")), 0, VALUES, rows.append)
    return rows


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with ray_session(RayConfig(), tmp_path_factory.mktemp("logs")):
        yield


@pytest.fixture
def task(prepared: TrialTask, tmp_path: Path) -> TrialTask:
    """The sweep in a work folder of its own."""
    work = tmp_path / "driver"
    shutil.copytree(prepared.settings.run.work_folder / "clips", work / "clips")
    task = elsewhere(prepared, work)
    clips = {corpus: work / "clips" / folder.name for corpus, folder in prepared.clips[16000].items()}
    task.folder.mkdir(parents=True)
    return replace(task, clips={16000: clips})


@pytest.fixture
def courier(session: None, task: TrialTask, tmp_path: Path) -> Iterator[Courier]:
    """As it comes to a trial on another node."""
    config = RayConfig(storage="copied", node_folder=tmp_path / "node")
    with courier_for(config, task.settings.run, task.folder, list(task.clips[16000].values())) as courier:
        assert courier is not None
        yield replace(courier, home="another node")


def elsewhere(task: TrialTask, work: Path) -> TrialTask:
    run = task.settings.run.model_copy(update={"work_folder": work})
    return replace(
        task,
        settings=task.settings.model_copy(update={"run": run}),
        folder=work / task.folder.relative_to(task.settings.run.work_folder),
    )


def run_away(
    courier: Courier,
    task: TrialTask,
    number: int,
    values: Mapping[str, Any],
    report: Report,
    inherited: Inherited | None = None,
) -> None:
    with courier.away(task, number) as away:
        if inherited is not None:
            files = away.task.folder / inherited.files.relative_to(task.folder)
            inherited = replace(inherited, files=files)
        away.fetch(values, inherited)
        run_trial(away.task, number, values, away.reporting(report), inherited)


def training_of(task: TrialTask) -> Path:
    """The one training on the driver's disk, done or not."""
    (training,) = (task.settings.run.work_folder / "encoders").glob("[!.]*")
    return training


def leftovers(*folders: Path) -> list[Path]:
    """What a copy that was broken off leaves behind; and trials of a node."""
    hidden = [path for folder in folders for path in folder.rglob(".*") if path.is_dir()]
    return hidden + [path for folder in folders for path in folder.glob("echopair-*/trials/[!.]*")]


def test_a_trial_away_reports_the_same_bit_for_bit_and_all_of_it_lies_on_the_driver_s_disk(
    courier: Courier, task: TrialTask, reference: list[dict[str, Any]], tmp_path: Path
) -> None:
    rows: list[dict[str, Any]] = []

    def report(row: dict[str, Any]) -> None:
        rows.append(row)
        training = training_of(task)
        (file,) = training.glob(f"{READINGS_PREFIX}*")
        told = [json.loads(line)["step"] for line in file.read_text().splitlines()]
        assert told[-1] == row["step"]
        assert [row["step"] for row in read_metrics(training)] == list(range(1, told[-1] + 1))
        if "status" not in row:
            assert steps_done(training) == row["step"]

    run_away(courier, task, 7, VALUES, report)
    assert rows == reference
    work = task.settings.run.work_folder
    written = yaml.safe_load((trial_folder(task.folder, 7) / CONFIG_FILE).read_text())
    assert written["work_folder"] == str(work)
    for stage in ("encoders", "embeddings", "evaluations"):
        (folder,) = (work / stage).glob("[!.]*")
        assert read_done(folder) is not None
    assert not leftovers(tmp_path / "node", work / "encoders", work / "embeddings")
    # The driver has all that a run of this config would make.
    config = validated(written)
    result = RunResult(config)
    result.clips = clips_of(task, config)
    learn(config, Stage.VALIDATE, result)
    assert result.did == []
    assert result.score == rows[-1]["score"]


def test_a_trial_that_was_stopped_goes_on_on_another_node(
    courier: Courier, task: TrialTask, reference: list[dict[str, Any]], tmp_path: Path
) -> None:
    def stop(row: dict[str, Any]) -> None:
        if row["milestone"] == 2:
            raise SystemExit

    with pytest.raises(SystemExit):
        run_away(courier, task, 7, VALUES, stop)
    metrics = (training_of(task) / METRICS_FILE).read_bytes()
    assert not leftovers(tmp_path / "node")

    rows: list[dict[str, Any]] = []
    run_away(replace(courier, node_folder=tmp_path / "other"), task, 7, VALUES, rows.append)
    assert rows == reference
    # The rows hold times: they were not made again.
    assert (training_of(task) / METRICS_FILE).read_bytes().startswith(metrics)


def test_clips_are_copied_once_for_all_trials_of_a_node(
    courier: Courier, task: TrialTask, tmp_path: Path
) -> None:
    copies = []
    for number in (1, 2):
        run_away(courier, task, number, VALUES, lambda _row: None)
        copies.append({file: file.stat().st_ino for file in tmp_path.glob("node/*/clips/[!.]*/*")})
    assert {"done.json", "manifest.parquet"} <= {file.name for file in copies[0]}
    assert copies[0] == copies[1]
    # Others are not taken for them.
    (folder,) = task.clips[16000].values()
    (folder / "done.json").write_text((folder / "done.json").read_text() + " ")
    courier.clips(folder)
    (copied,) = tmp_path.glob("node/*/clips/[!.]*/done.json")
    assert copied.read_text() == (folder / "done.json").read_text()


def test_why_a_trial_crashed_is_on_the_driver_s_disk_until_it_is_tried_again(
    courier: Courier, task: TrialTask
) -> None:
    def crash(_row: dict[str, Any]) -> None:
        raise RuntimeError("the GPU fell off the bus")

    with pytest.raises(RuntimeError):
        run_away(courier, task, 7, VALUES, crash)
    error = trial_folder(task.folder, 7) / ERROR_FILE
    assert "the GPU fell off the bus" in error.read_text()
    run_away(courier, task, 7, VALUES, lambda _row: None)
    assert not error.exists()


def test_a_trial_that_took_too_much_memory_is_refused_on_every_node(
    courier: Courier, task: TrialTask
) -> None:
    with courier.away(task, 7) as away:
        away.fetch(VALUES, None)
        refuse(away.task.folder, 7, "too much memory")
        away.push()
    rows: list[dict[str, Any]] = []
    run_away(courier, task, 7, VALUES, rows.append)
    assert [(row["status"], row["error"]) for row in rows] == [("failed", "too much memory")]


def test_what_keeps_a_trial_from_its_clips_is_said_by_the_trial(courier: Courier, task: TrialTask) -> None:
    (folder,) = task.clips[16000].values()
    (folder / "moved.int16").symlink_to("/dev/null")
    rows: list[dict[str, Any]] = []
    run_away(courier, task, 7, VALUES, rows.append)
    assert [row["status"] for row in rows] == ["failed"]
    assert rows[0]["error"].startswith(f"{folder}/moved.int16 leads out of")


def test_a_training_that_the_driver_has_is_not_done_again(
    courier: Courier, task: TrialTask, reference: list[dict[str, Any]]
) -> None:
    run_trial(task, 0, VALUES, lambda _row: None)
    done = (training_of(task) / "done.json").read_bytes()
    (readings,) = training_of(task).glob(f"{READINGS_PREFIX}*")
    readings.unlink()  # as after a run, which reads nothing
    rows: list[dict[str, Any]] = []
    run_away(courier, task, 1, VALUES, rows.append)
    assert rows == reference[-1:]
    assert (training_of(task) / "done.json").read_bytes() == done
    assert json.loads(readings.read_text())["reading"] == rows[0]["reading"]


def test_a_member_of_a_population_goes_on_from_another_one_s_files(
    courier: Courier, task: TrialTask, prepared: TrialTask, tmp_path: Path
) -> None:
    def population(trial_of: Callable[..., None], task: TrialTask) -> list[dict[str, Any]]:
        sweep = SweepConfig.model_validate({**task.settings.sweep.model_dump(), "scheduler": PBT})
        task = replace(task, settings=task.settings.model_copy(update={"sweep": sweep}))
        rows: list[dict[str, Any]] = []
        trial_of(task, 1, VALUES, rows.append)
        donor = rows[1]
        files = kept_files(task.folder, 1, donor["milestone"])
        assert steps_done(files) == donor["step"]
        assert len(list(files.parent.glob("milestone-*"))) == 2
        trial_of(task, 2, OTHERS, rows.append, Inherited(donor["lineage"], donor["step"], files))
        return rows

    here = population(run_trial, elsewhere(prepared, tmp_path / "here"))
    assert [row["milestone"] for row in here] == [1, 2, 3, 3, 3, 3]
    assert population(partial(run_away, courier), task) == here
    assert not leftovers(tmp_path / "node", tmp_path / "driver")


def test_nothing_is_copied_where_all_nodes_see_the_work_folder(session: None, task: TrialTask) -> None:
    for storage in ("auto", "shared"):
        with courier_for(RayConfig(storage=storage), task.settings.run, task.folder, []) as courier:
            assert courier is None
    with courier_for(RayConfig(storage="copied"), task.settings.run, task.folder, []) as courier:
        assert courier is not None
        (folder,) = task.clips[16000].values()
        assert courier.clips(folder) == folder  # on the driver's own node


def test_a_node_s_folder_must_be_absolute() -> None:
    with pytest.raises(ValidationError, match="absolute path"):
        RayConfig(node_folder=Path("scratch"))
