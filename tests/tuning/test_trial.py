"""A trial without Ray: what it reads and scores, whatever happens to it, and that it is a run anybody can repeat."""

import json
import random
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from echopair.pipeline.checks import Stage, check
from echopair.pipeline.config import RunConfig, compose, validated
from echopair.pipeline.cores import cpu_threads
from echopair.pipeline.run import RunResult, prepare_corpora, run, train_and_evaluate
from echopair.pipeline.stages import write_atomically
from echopair.pipeline.training.checkpoints import steps_done
from echopair.tuning.config import compose_sweep
from echopair.tuning.context import TrialContext
from echopair.tuning.trial import Origin, run_trial
from echopair.tuning.trial_folder import TrialFolder
from tests.tuning.tones import write_run

TEMPERATURE = "objective.temperature"
VALUES = {TEMPERATURE: 0.1}
RATE_HZ = 16000
MILESTONES = 3
Row = dict[str, Any]


class Killed(BaseException):
    """What ends a trial from outside."""


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> TrialContext:
    """A sweep with its clips prepared."""
    file = write_run(tmp_path_factory.mktemp("trial"))
    settings = compose_sweep(
        [str(file), f"sweep.space.{TEMPERATURE}=[0.1, 0.5]", f"sweep.milestones={MILESTONES}"]
    )
    result = RunResult(settings.run)
    prepare_corpora(settings.run, check(settings.run, Stage.EVALUATE), result)
    clips = {RATE_HZ: {corpus: done.folder for corpus, done in result.clips.items()}}
    return TrialContext(settings, clips, settings.run.work_folder / "sweeps" / "one", steps=None, threads=1)


def changed(context: TrialContext, sweep: Mapping[str, Any] = {}, **run_values: Any) -> TrialContext:
    """Another sweep of the same clips."""
    settings = context.settings
    settings = settings.model_copy(
        update={
            "run": settings.run.model_copy(update=run_values),
            "sweep": type(settings.sweep).model_validate({**settings.sweep.model_dump(), **sweep}),
        }
    )
    folder = settings.run.work_folder / "sweeps" / settings.key
    return replace(context, settings=settings, folder=folder)


def reports(
    context: TrialContext,
    number: int = 0,
    values: Mapping[str, Any] = VALUES,
    origin: Origin | None = None,
    killed_at: int | None = None,
) -> list[Row]:
    """What a trial reports until it ends, or is killed at its first report of a milestone."""
    rows: list[Row] = []

    def report(row: Row) -> None:
        rows.append(row)
        if row["milestone"] == killed_at:
            raise Killed

    try:
        run_trial(context, number, values, report, origin)
    except Killed:
        assert killed_at is not None
    return rows


@pytest.fixture(scope="module")
def told(context: TrialContext) -> list[Row]:
    """What a trial reports that nothing happens to."""
    return reports(context)


def scores_of(rows: list[Row]) -> list[tuple[int, int, float]]:
    return [(row["milestone"], row["step"], row["intermediate_score"]) for row in rows]


def folder_of(context: TrialContext, number: int = 0) -> Path:
    return TrialFolder(context.folder, number).path


def training(context: TrialContext, number: int = 0) -> Path:
    """The one folder of an encoder that a trial has."""
    (folder,) = TrialFolder(context.folder, number).trainings
    return folder


def weights(context: TrialContext, number: int = 0) -> bytes:
    return (training(context, number) / "encoder" / "encoder.safetensors").read_bytes()


def learned(config: RunConfig, context: TrialContext, work_folder: Path) -> RunResult:
    """The stages that a trial does, by the pipeline alone."""
    result = RunResult(config.model_copy(update={"work_folder": work_folder}))
    result.clips = context.clips_of(config)
    with cpu_threads(1):
        train_and_evaluate(result.config, Stage.VALIDATE, result)
    return result


def test_intermediate_scores_come_at_each_milestone_and_the_score_at_the_end(told: list[Row]) -> None:
    assert [(row["milestone"], row["step"], row["steps"]) for row in told] == [
        (1, 2, 6),
        (2, 4, 6),
        (3, 6, 6),
        (3, 6, 6),
    ]
    assert (
        len({row["intermediate_score"] for row in told}) > 1
    )  # what follows would else pass for any reading
    assert all(row["lineage"] == [{"step": 0, "values": VALUES}] for row in told)
    assert ["status" in row for row in told] == [False, False, False, True]
    assert told[-1]["status"] == "finished"
    assert 0 < told[-1]["score"] < 1
    assert told[-1]["score"] != told[-1]["intermediate_score"]


def test_a_trial_is_a_run_that_gives_its_score_again_elsewhere(
    context: TrialContext, told: list[Row], tmp_path: Path
) -> None:
    for folder in context.clips[RATE_HZ].values():
        shutil.copytree(folder, tmp_path / "clips" / folder.name)
    file = folder_of(context) / "run.yaml"
    store = f"tracking.uri=sqlite:///{context.settings.run.work_folder}/mlflow.db"
    result = run(compose(str(file), [f"work_folder={tmp_path}", store]), Stage.VALIDATE)
    assert result.did == ["pretrain", "embed tones, pretrained", "validation tones"]
    assert result.score == told[-1]["score"]
    assert result.encoder is not None
    assert (result.encoder / "encoder.safetensors").read_bytes() == weights(context)


def test_the_score_may_be_the_last_intermediate_one(
    context: TrialContext, told: list[Row], tmp_path: Path
) -> None:
    by_neighbours = changed(context, {"score": "nearest_neighbours"}, work_folder=tmp_path)
    assert reports(by_neighbours)[-1]["score"] == told[-1]["intermediate_score"]


def test_two_trials_of_the_same_values_share_nothing(context: TrialContext, told: list[Row]) -> None:
    assert reports(context, 1) == told
    assert weights(context, 1) == weights(context)
    assert not [*context.settings.run.work_folder.glob("encoders")]


def test_fewer_steps_than_milestones_end_with_the_last_one(context: TrialContext) -> None:
    rows = reports(changed(context, {"milestones": 9}), values={"pretrain.steps": 2})
    assert [(row["milestone"], row["step"]) for row in rows] == [(1, 1), (9, 2), (9, 2)]


def test_a_trial_killed_at_every_milestone_comes_to_the_same(
    context: TrialContext, told: list[Row], tmp_path: Path
) -> None:
    elsewhere = changed(context, work_folder=tmp_path)
    for milestone in range(1, MILESTONES + 1):
        rows = reports(elsewhere, killed_at=milestone)
        assert scores_of(rows) == scores_of(told[:milestone])
        assert steps_done(training(elsewhere)) == rows[-1]["step"]  # the next one goes on from there
    assert reports(elsewhere) == told
    assert weights(elsewhere) == weights(context)


def test_a_trial_that_was_killed_between_a_score_and_its_checkpoint_scores_once(
    context: TrialContext, told: list[Row], tmp_path: Path
) -> None:
    elsewhere = changed(context, work_folder=tmp_path)
    reports(elsewhere, killed_at=1)
    file = folder_of(elsewhere) / "scores.json"
    other = {"milestone": 2, "intermediate_score": 0.123, "step": 4, "steps": 6}  # not what it would score
    file.write_text(json.dumps([*json.loads(file.read_text()), other]))
    on_disk = []

    def report(row: Row) -> None:
        folder = training(elsewhere)
        done = folder.suffix != ".partial" or row["step"] <= steps_done(folder)
        on_disk.append((row["milestone"], row["intermediate_score"], done))

    run_trial(elsewhere, 0, VALUES, report)
    assert [one[:2] for one in on_disk] == [
        (1, told[0]["intermediate_score"]),
        (2, 0.123),
        (3, told[2]["intermediate_score"]),
        (3, told[2]["intermediate_score"]),
    ]
    assert all(checkpoint for _, _, checkpoint in on_disk)


def test_a_trial_whose_checkpoint_is_lost_trains_again_and_comes_to_the_same(
    context: TrialContext, told: list[Row], tmp_path: Path
) -> None:
    elsewhere = changed(context, work_folder=tmp_path)
    reports(elsewhere, killed_at=2)
    shutil.rmtree(training(elsewhere) / "checkpoints")
    assert reports(elsewhere) == told
    assert weights(elsewhere) == weights(context)


def test_a_trial_killed_before_its_end_is_reported_trains_no_more(
    context: TrialContext, told: list[Row]
) -> None:
    done_at = (training(context) / "done.json").stat().st_mtime_ns
    assert reports(context) == told
    assert (training(context) / "done.json").stat().st_mtime_ns == done_at


def run_and_write(context: TrialContext, file: Path) -> None:
    """A trial in a process of its own, which is about to be killed."""
    with file.open("a") as lines:
        run_trial(context, 0, VALUES, lambda row: print(json.dumps(row), file=lines, flush=True))


def test_a_process_killed_at_any_moment_costs_no_more_than_time(
    context: TrialContext, told: list[Row], tmp_path: Path
) -> None:
    file = tmp_path / "reports.jsonl"
    file.touch()
    elsewhere = changed(context, work_folder=tmp_path / "work")
    processes = get_context("forkserver")
    processes.set_forkserver_preload([run_and_write.__module__])
    draw = random.Random(0)
    exit_codes = set()
    for _ in range(6):
        told_before = file.stat().st_size
        process = processes.Process(target=run_and_write, args=(elsewhere, file))
        process.start()
        while process.is_alive() and file.stat().st_size == told_before:
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.2))
        process.kill()
        process.join()
        exit_codes.add(process.exitcode)
    assert -signal.SIGKILL in exit_codes
    rows = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]
    assert {one for row in rows for one in scores_of([row])} <= set(scores_of(told))
    assert reports(elsewhere) == told
    assert weights(elsewhere) == weights(context)


@pytest.mark.parametrize(
    ("values", "status", "score", "error"),
    [
        ({TEMPERATURE: 1e-39}, "diverged", 0.0, "is nan; lower pretrain.learning_rate"),
        ({"log_mel.hop_seconds": 0.06}, "failed", None, "crops of 5 frames"),
        ({"log_mel.window_seconds": 0.5}, "failed", None, "crops.crop_seconds=0.32 is shorter than"),
    ],
)
def test_values_that_cannot_work_end_a_trial_without_a_second_try(
    context: TrialContext, values: dict[str, Any], status: str, score: float | None, error: str
) -> None:
    number = 7
    (row,) = reports(context, number, values)
    assert (row["milestone"], row["status"], row["score"]) == (MILESTONES, status, score)
    assert error in row["error"]
    assert not (folder_of(context, number) / "error.txt").exists()


def test_a_trial_that_was_refused_is_not_tried_again(context: TrialContext) -> None:
    folder_of(context, 8).mkdir(parents=True)
    TrialFolder(context.folder, 8).refuse("it took 9.0 GB")
    (row,) = reports(context, 8)
    assert (row["status"], row["score"], row["error"]) == ("failed", None, "it took 9.0 GB")
    assert not TrialFolder(context.folder, 8).trainings


def test_a_crash_is_written_down_and_raised_and_the_trial_can_begin_again(
    context: TrialContext, tmp_path: Path
) -> None:
    sounds = tmp_path / "sounds"
    values = {"augment.policy.augmentations": [{"name": "background_noise", "folder": str(sounds)}]}
    with pytest.raises(ValueError, match="no such folder"):
        reports(context, 9, values)
    folder = TrialFolder(context.folder, 9)
    error = folder.path / "error.txt"
    assert "Traceback" in error.read_text()
    assert folder.crash_reason.startswith(f"ValueError: folder={sounds}: there is no such folder")
    crash = folder.archive_error(attempt=1)
    assert crash.startswith("ValueError: folder=")
    assert "error-of-attempt-1.txt has the rest" in crash
    assert folder.archive_error(attempt=2) == "its process was killed"
    sounds.mkdir()
    soundfile.write(sounds / "noise.wav", [0.1, -0.1] * 8000, RATE_HZ)
    assert reports(context, 9, values)[-1]["status"] == "finished"
    assert not error.exists()


def rewritten(context: TrialContext, folder: Path, change: Callable[[Row], Row]) -> Path:
    """A copy of the clips with other annotations."""
    shutil.copytree(context.clips[RATE_HZ]["tones"], folder)
    manifest = pq.read_table(folder / "manifest.parquet")
    rows = [change(row) for row in manifest.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=manifest.schema), folder / "manifest.parquet")
    marker = json.loads((folder / "done.json").read_text())
    write_atomically(folder / "done.json", json.dumps({**marker, "annotations_digest": folder.name}))
    return folder


def test_labels_of_test_clips_are_never_read(context: TrialContext, told: list[Row], tmp_path: Path) -> None:
    def reports_with_rubbish_in(fold: str) -> list[Row]:
        def rubbish(row: Row) -> Row:
            return {**row, "labels": ["rubbish"]} if row["fold"] == fold else row

        clips = rewritten(context, tmp_path / f"rubbish-{fold}", rubbish)
        return reports(replace(elsewhere, clips={RATE_HZ: {"tones": clips}}))

    elsewhere = changed(context, work_folder=tmp_path / "work")
    assert reports_with_rubbish_in("3") == told
    assert reports_with_rubbish_in("2")[-1]["score"] != told[-1]["score"]


def test_labels_of_clips_to_be_tested_on_are_not_learned_from(context: TrialContext, tmp_path: Path) -> None:
    """Though the score comes from another corpus."""
    other = rewritten(
        context, tmp_path / "other", lambda row: {**row, "samples_sha256": row["samples_sha256"][::-1]}
    )
    run_values = context.settings.run.model_dump(mode="json")
    run_values["corpora"]["other"] = run_values["corpora"]["tones"]
    run_values["probe"] |= {"corpora": ["tones"], "validation_corpora": ["other"]}
    run_values["pretrain"] |= {"corpora": ["tones"], "batch_pairs": 2}
    run_values["crops"]["positives"] = {"name": "same_label"}
    config = validated(run_values)
    settings = context.settings.model_copy(update={"run": config})
    clips = {RATE_HZ: {**context.clips[RATE_HZ], "other": other}}
    (row,) = reports(replace(context, settings=settings, clips=clips), 10)
    assert row["status"] == "failed"
    assert "a probe would be tested on them" in row["error"]


def test_a_trial_s_config_has_what_the_sweep_settled(context: TrialContext) -> None:
    minutes = context.settings.run.pretrain.model_copy(update={"minutes": 5.0, "steps": None})
    settled = replace(changed(context, pretrain=minutes, run_name="base"), steps=77, threads=3)
    schedule = [{"step": 4, "values": {TEMPERATURE: 0.5}}]
    config = settled.run_of(12, [{"step": 0, "values": VALUES}, *schedule])
    assert (config.run_name, config.threads, config.probe.test_split) == ("sweep-12", 3, True)
    assert (config.pretrain.minutes, config.pretrain.steps) == (None, 77)
    assert [change.model_dump() for change in config.pretrain.schedule] == schedule
    assert config.learning.config_at(3).objective.temperature == 0.1
    assert config.learning.config_at(4).objective.temperature == 0.5


# Populations

OTHER = {TEMPERATURE: 0.5}
PBT = {"scheduler": {"name": "pbt", "interval": 1}}
LINEAGE = [{"step": 0, "values": VALUES}]


@pytest.fixture(scope="module")
def population(context: TrialContext, tmp_path_factory: pytest.TempPathFactory) -> TrialContext:
    """A population in which trial 0 is paused at milestone 2."""
    population = changed(context, PBT, work_folder=tmp_path_factory.mktemp("population"))
    reports(population, killed_at=2)
    return population


def test_a_member_that_continues_from_another_is_a_run_with_a_schedule(
    population: TrialContext, told: list[Row], tmp_path: Path
) -> None:
    assert reports(population, 1, OTHER, killed_at=2)[0]["origin"] == 0
    own = training(population, 1)
    rows = reports(population, 1, OTHER, Origin(0, 2, 4, LINEAGE))
    assert [(row["milestone"], row["step"], row["origin"]) for row in rows] == [(3, 6, 2), (3, 6, 2)]
    assert all(row["lineage"] == [*LINEAGE, {"step": 4, "values": OTHER}] for row in rows)
    assert rows[-1]["intermediate_score"] != told[-1]["intermediate_score"]
    assert not own.exists()

    config = compose(str(folder_of(population, 1) / "run.yaml"))
    assert [change.model_dump() for change in config.pretrain.schedule] == [{"step": 4, "values": OTHER}]
    result = learned(config, population, tmp_path)
    assert result.score == rows[-1]["score"]
    assert result.encoder is not None
    assert (result.encoder / "encoder.safetensors").read_bytes() == weights(population, 1)


def test_a_member_that_copies_another_trains_from_there_on_however_often_it_is_killed(
    population: TrialContext, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = reports(population, 2, OTHER, Origin(0, 1, 2, LINEAGE))
    assert "continues after step 2 of 6" in capsys.readouterr().err
    for milestone in (2, 3):
        reports(population, 3, OTHER, Origin(0, 1, 2, LINEAGE), killed_at=milestone)
    assert reports(population, 3, OTHER, Origin(0, 1, 2, LINEAGE)) == expected
    assert weights(population, 3) == weights(population, 2)


def test_a_member_whose_donor_s_files_are_gone_comes_to_the_same(population: TrialContext) -> None:
    expected = reports(population, 4, OTHER, Origin(0, 2, 4, LINEAGE))
    assert reports(population, 5, OTHER, Origin(99, 2, 4, LINEAGE)) == expected
    assert weights(population, 5) == weights(population, 4)


def test_a_member_keeps_its_training_of_two_milestones(population: TrialContext) -> None:
    context = changed(population, {"milestones": 6})
    reports(context, 5, {TEMPERATURE: 0.6})
    kept = folder_of(context, 5).glob("milestone-*")
    assert sorted(steps_done(folder) for folder in kept) == [4, 5]


def test_a_training_is_kept_though_the_process_died_before(population: TrialContext) -> None:
    values = {TEMPERATURE: 0.4}
    reports(population, 6, values, killed_at=2)
    kept = TrialFolder(population.folder, 6).copy_at(2)
    shutil.rmtree(kept)  # killed between the checkpoint and its copy
    reports(population, 6, values, killed_at=2)
    assert steps_done(kept) == 4
