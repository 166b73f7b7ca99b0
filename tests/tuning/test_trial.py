"""A trial without Ray: what it reads and scores, whatever happens to it, and that it is a run anybody can repeat."""

import json
import random
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from echopair.pipeline.checks import Stage, check
from echopair.pipeline.config import RunConfig, compose, validated
from echopair.pipeline.cores import cpu_threads
from echopair.pipeline.run import RunResult, learn, prepare_corpora, run
from echopair.pipeline.stages import locked_if_free, write_atomically
from echopair.pipeline.training.checkpoints import steps_done
from echopair.tuning.config import compose_sweep
from echopair.tuning.task import TrialTask, clips_of, trial_config
from echopair.tuning.trial import Inherited, run_trial
from echopair.tuning.trial_folder import (
    crash_reason,
    kept_files,
    refuse,
    set_error_aside,
    trainings_of,
    trial_folder,
)
from tests.tuning.tones import write_run

TEMPERATURE = "objective.temperature"
VALUES = {TEMPERATURE: 0.1}
RATE_HZ = 16000
READINGS = 3
Row = dict[str, Any]


class Killed(BaseException):
    """What ends a trial from outside."""


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> TrialTask:
    """A sweep with its clips prepared."""
    file = write_run(tmp_path_factory.mktemp("trial"))
    settings = compose_sweep(
        [str(file), f"sweep.space.{TEMPERATURE}=[0.1, 0.5]", f"sweep.readings={READINGS}"]
    )
    result = RunResult(settings.run)
    prepare_corpora(settings.run, check(settings.run, Stage.EVALUATE), result)
    clips = {RATE_HZ: {corpus: done.folder for corpus, done in result.clips.items()}}
    return TrialTask(settings, clips, settings.run.work_folder / "sweeps" / "one", steps=None, threads=1)


def changed(task: TrialTask, sweep: Mapping[str, Any] = {}, **run_values: Any) -> TrialTask:
    """Another sweep of the same clips; with another work folder it shares no training."""
    settings = task.settings
    settings = settings.model_copy(
        update={
            "run": settings.run.model_copy(update=run_values),
            "sweep": type(settings.sweep).model_validate({**settings.sweep.model_dump(), **sweep}),
        }
    )
    folder = settings.run.work_folder / "sweeps" / settings.identity
    return replace(task, settings=settings, folder=folder)


def reports(
    task: TrialTask,
    number: int = 0,
    values: Mapping[str, Any] = VALUES,
    inherited: Inherited | None = None,
    killed_at: int | None = None,
) -> list[Row]:
    """What a trial reports until it ends, or is killed at its first report of a milestone."""
    rows: list[Row] = []

    def report(row: Row) -> None:
        rows.append(row)
        if row["milestone"] == killed_at:
            raise Killed

    try:
        run_trial(task, number, values, report, inherited)
    except Killed:
        assert killed_at is not None
    return rows


@pytest.fixture(scope="module")
def told(task: TrialTask) -> list[Row]:
    """What a trial reports that nothing happens to."""
    return reports(task)


def readings_of(rows: list[Row]) -> list[tuple[int, int, float]]:
    return [(row["milestone"], row["step"], row["reading"]) for row in rows]


def training(task: TrialTask, number: int = 0) -> Path:
    """Where a trial trains, or trained at last."""
    return task.settings.run.work_folder / trainings_of(task.folder, number)[-1]


def under_way(task: TrialTask) -> Path:
    """Where a trial trains until it is through."""
    return training(task).with_name(training(task).name + ".partial")


def weights(task: TrialTask, number: int = 0) -> bytes:
    return (training(task, number) / "encoder" / "encoder.safetensors").read_bytes()


def learned(config: RunConfig, task: TrialTask, work_folder: Path) -> RunResult:
    """The stages that a trial does, by the pipeline alone."""
    result = RunResult(config.model_copy(update={"work_folder": work_folder}))
    result.clips = clips_of(task, config)
    with cpu_threads(1):
        learn(result.config, Stage.VALIDATE, result)
    return result


def test_readings_come_at_each_milestone_and_the_score_at_the_end(told: list[Row]) -> None:
    assert [(row["milestone"], row["step"], row["steps"]) for row in told] == [
        (1, 2, 6),
        (2, 4, 6),
        (3, 6, 6),
        (3, 6, 6),
    ]
    assert len({row["reading"] for row in told}) > 1  # what follows would else pass for any reading
    assert all(row["lineage"] == [{"step": 0, "values": VALUES}] for row in told)
    assert ["status" in row for row in told] == [False, False, False, True]
    assert told[-1]["status"] == "finished"
    assert 0 < told[-1]["score"] < 1
    assert told[-1]["score"] != told[-1]["reading"]


def test_a_trial_is_a_run_that_gives_its_score_again_elsewhere(
    task: TrialTask, told: list[Row], tmp_path: Path
) -> None:
    for folder in task.clips[RATE_HZ].values():
        shutil.copytree(folder, tmp_path / "clips" / folder.name)
    file = trial_folder(task.folder, 0) / "run.yaml"
    store = f"tracking.uri=sqlite:///{task.settings.run.work_folder}/mlflow.db"
    result = run(compose(str(file), [f"work_folder={tmp_path}", store]), Stage.VALIDATE)
    assert result.did == ["pretrain", "embed tones, pretrained", "validate tones"]
    assert result.score == told[-1]["score"]
    assert result.encoder is not None
    assert (result.encoder / "encoder.safetensors").read_bytes() == weights(task)

    after_the_run = reports(changed(task, work_folder=tmp_path))
    assert readings_of(after_the_run) == readings_of(told[-1:])
    assert after_the_run[0]["score"] == told[-1]["score"]


def test_a_training_that_another_sweep_did_gives_all_its_readings(task: TrialTask, told: list[Row]) -> None:
    begun_at = time.time_ns()
    assert reports(changed(task, {"seed": 1})) == told
    assert (training(task) / "done.json").stat().st_mtime_ns < begun_at
    by_neighbours = reports(changed(task, {"score": "nearest_neighbours"}))[-1]
    assert by_neighbours["score"] == told[-1]["reading"]


def run_and_say_when_ready(
    task: TrialTask, number: int, ready: Barrier, told: SimpleQueue[list[Row]]
) -> None:
    """A trial in a process of its own, beside others."""
    ready.wait()
    told.put(reports(task, number))


@pytest.mark.parametrize("readings_are_there", [True, False])
def test_trials_that_come_to_one_training_at_once_tell_the_same(
    task: TrialTask, told: list[Row], tmp_path: Path, readings_are_there: bool
) -> None:
    elsewhere = changed(task, work_folder=tmp_path)
    reports(elsewhere)
    (file,) = training(elsewhere).glob("readings-*.jsonl")
    if not readings_are_there:
        file.unlink()
    processes = get_context("forkserver")
    processes.set_forkserver_preload([run_and_say_when_ready.__module__])
    ready, queue = processes.Barrier(4), processes.SimpleQueue()
    trials = [
        processes.Process(target=run_and_say_when_ready, args=(elsewhere, number, ready, queue))
        for number in range(4)
    ]
    for process in trials:
        process.start()
    for process in trials:
        process.join()
    assert [process.exitcode for process in trials] == [0] * 4
    for _ in trials:
        rows = queue.get()
        # Whoever finds a reading tells it; without the earlier ones the last is told with the score alone.
        assert rows == told if readings_are_there else readings_of(rows[-1:]) == readings_of(told[-1:])
    kept = [json.loads(line)["milestone"] for line in file.read_text().splitlines()]
    assert kept == ([1, 2, 3] if readings_are_there else [3])


def test_fewer_steps_than_readings_end_with_the_last_milestone(task: TrialTask) -> None:
    rows = reports(changed(task, {"readings": 9}), values={"pretrain.steps": 2})
    assert [(row["milestone"], row["step"]) for row in rows] == [(1, 1), (9, 2), (9, 2)]


def test_a_trial_killed_at_every_milestone_reads_and_scores_the_same(
    task: TrialTask, told: list[Row], tmp_path: Path
) -> None:
    elsewhere = changed(task, work_folder=tmp_path)
    for milestone in range(1, READINGS + 1):
        rows = reports(elsewhere, killed_at=milestone)
        assert readings_of(rows) == readings_of(told[:milestone])
        assert steps_done(under_way(elsewhere)) == rows[-1]["step"]  # the next one goes on from there
    assert reports(elsewhere) == told
    assert weights(elsewhere) == weights(task)


def test_a_trial_that_was_killed_between_a_reading_and_its_checkpoint_reads_it_once(
    task: TrialTask, told: list[Row], tmp_path: Path
) -> None:
    elsewhere = changed(task, work_folder=tmp_path)
    reports(elsewhere, killed_at=1)
    partial = under_way(elsewhere)
    (file,) = partial.glob("readings-*.jsonl")
    with file.open("a") as lines:  # another value than it would read, and half of a line
        lines.write(json.dumps({"milestone": 2, "reading": 0.123, "step": 4, "steps": 6}) + "\n")
        lines.write('{"milestone": 3, "rea')
    on_disk = []

    def report(row: Row) -> None:
        done = training(elsewhere).exists()
        on_disk.append((row["milestone"], row["reading"], done or row["step"] <= steps_done(partial)))

    run_trial(elsewhere, 0, VALUES, report)
    assert [one[:2] for one in on_disk] == [
        (1, told[0]["reading"]),
        (2, 0.123),
        (3, told[2]["reading"]),
        (3, told[2]["reading"]),
    ]
    assert all(checkpoint for _, _, checkpoint in on_disk)


def test_a_training_that_was_given_up_is_read_as_it_was_when_it_is_done_again(
    task: TrialTask, told: list[Row], tmp_path: Path
) -> None:
    """A trial that was stopped early leaves its readings, and no checkpoint."""
    elsewhere = changed(task, work_folder=tmp_path)
    reports(elsewhere, killed_at=2)
    shutil.rmtree(under_way(elsewhere) / "checkpoints")
    assert reports(elsewhere) == told
    assert weights(elsewhere) == weights(task)


def run_and_write(task: TrialTask, file: Path) -> None:
    """A trial in a process of its own, which is about to be killed."""
    with file.open("a") as lines:
        run_trial(task, 0, VALUES, lambda row: print(json.dumps(row), file=lines, flush=True))


@pytest.mark.parametrize("scheduler", ["fifo", "asha"])
def test_a_process_killed_at_any_moment_costs_no_more_than_time(
    task: TrialTask, told: list[Row], tmp_path: Path, scheduler: str
) -> None:
    file = tmp_path / "reports.jsonl"
    file.touch()
    elsewhere = changed(task, {"scheduler": {"name": scheduler}}, work_folder=tmp_path / "work")
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
    assert {one for row in rows for one in readings_of([row])} <= set(readings_of(told))
    assert reports(elsewhere) == told
    assert weights(elsewhere) == weights(task)


@pytest.mark.parametrize(
    ("values", "status", "score", "error"),
    [
        ({TEMPERATURE: 1e-39}, "diverged", 0.0, "is nan; lower pretrain.learning_rate"),
        ({"pretrain.batch_pairs": 1000}, "failed", None, "pretrain.batch_pairs=1000 is more than the"),
        ({"log_mel.window_seconds": 0.5}, "failed", None, "crops.crop_seconds=0.32 is shorter than"),
    ],
)
def test_values_that_cannot_work_end_a_trial_without_a_second_try(
    task: TrialTask, values: dict[str, Any], status: str, score: float | None, error: str
) -> None:
    number = 7
    (row,) = reports(task, number, values)
    assert (row["milestone"], row["status"], row["score"]) == (READINGS, status, score)
    assert error in row["error"]
    assert not (trial_folder(task.folder, number) / "error.txt").exists()


def test_a_trial_that_was_refused_is_not_tried_again(task: TrialTask) -> None:
    trial_folder(task.folder, 8).mkdir(parents=True)
    refuse(task.folder, 8, "it took 9.0 GB")
    (row,) = reports(task, 8)
    assert (row["status"], row["score"], row["error"]) == ("failed", None, "it took 9.0 GB")
    assert not trainings_of(task.folder, 8)


def test_a_crash_is_written_down_and_raised_and_the_trial_can_begin_again(
    task: TrialTask, tmp_path: Path
) -> None:
    sounds = tmp_path / "sounds"
    values = {"augment.policy.augmentations": [{"name": "background_noise", "folder": str(sounds)}]}
    with pytest.raises(ValueError, match="no such folder"):
        reports(task, 9, values)
    error = trial_folder(task.folder, 9) / "error.txt"
    assert "Traceback" in error.read_text()
    assert crash_reason(task.folder, 9).startswith(f"ValueError: folder={sounds}: there is no such folder")
    crash = set_error_aside(task.folder, 9, attempt=1)
    assert crash.startswith("ValueError: folder=")
    assert "error-of-attempt-1.txt has the rest" in crash
    assert set_error_aside(task.folder, 9, attempt=2) == "its process was killed"
    sounds.mkdir()
    soundfile.write(sounds / "noise.wav", [0.1, -0.1] * 8000, RATE_HZ)
    assert reports(task, 9, values)[-1]["status"] == "finished"
    assert not error.exists()


def rewritten(task: TrialTask, folder: Path, change: Callable[[Row], Row]) -> Path:
    """A copy of the clips with other annotations."""
    shutil.copytree(task.clips[RATE_HZ]["tones"], folder)
    manifest = pq.read_table(folder / "manifest.parquet")
    rows = [change(row) for row in manifest.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=manifest.schema), folder / "manifest.parquet")
    marker = json.loads((folder / "done.json").read_text())
    write_atomically(folder / "done.json", json.dumps({**marker, "annotations_digest": folder.name}))
    return folder


def test_labels_of_test_clips_are_never_read(task: TrialTask, told: list[Row], tmp_path: Path) -> None:
    def reports_with_rubbish_in(fold: str) -> list[Row]:
        def rubbish(row: Row) -> Row:
            return {**row, "labels": ["rubbish"]} if row["fold"] == fold else row

        clips = rewritten(task, tmp_path / f"rubbish-{fold}", rubbish)
        return reports(replace(elsewhere, clips={RATE_HZ: {"tones": clips}}))

    elsewhere = changed(task, work_folder=tmp_path / "work")
    assert reports_with_rubbish_in("3") == told
    assert reports_with_rubbish_in("2")[-1]["score"] != told[-1]["score"]


def test_labels_of_clips_to_be_tested_on_are_not_learned_from(task: TrialTask, tmp_path: Path) -> None:
    """Though the score comes from another corpus."""
    other = rewritten(
        task, tmp_path / "other", lambda row: {**row, "samples_sha256": row["samples_sha256"][::-1]}
    )
    run_values = task.settings.run.model_dump(mode="json")
    run_values["corpora"]["other"] = run_values["corpora"]["tones"]
    run_values["probe"] |= {"corpora": ["tones"], "validation_corpora": ["other"]}
    run_values["pretrain"] |= {"corpora": ["tones"], "batch_pairs": 2}
    run_values["crops"]["positives"] = {"name": "same_label"}
    config = validated(run_values)
    settings = task.settings.model_copy(update={"run": config})
    clips = {RATE_HZ: {**task.clips[RATE_HZ], "other": other}}
    (row,) = reports(replace(task, settings=settings, clips=clips), 10)
    assert row["status"] == "failed"
    assert "would know its test clips" in row["error"]


def test_a_trial_s_config_has_what_the_sweep_settled(task: TrialTask) -> None:
    minutes = task.settings.run.pretrain.model_copy(update={"minutes": 5.0, "steps": None})
    settled = replace(changed(task, pretrain=minutes, run_name="base"), steps=77, threads=3)
    schedule = [{"step": 4, "values": {TEMPERATURE: 0.5}}]
    config = trial_config(settled, 12, VALUES, schedule)
    assert (config.run_name, config.threads, config.probe.test_split) == ("sweep-12", 3, True)
    assert (config.pretrain.minutes, config.pretrain.steps) == (None, 77)
    assert [change.model_dump() for change in config.pretrain.schedule] == schedule
    assert config.learning.config_at(3).objective.temperature == 0.1
    assert config.learning.config_at(4).objective.temperature == 0.5


def free_at(task: TrialTask) -> tuple[list[Row], set[int]]:
    """What a trial reports, and the milestones at which nobody holds its training."""
    rows, free = [], set()

    def report(row: Row) -> None:
        rows.append(row)
        with locked_if_free(training(task)) as is_free:
            free.update({row["milestone"]} if is_free else ())

    run_trial(task, 0, VALUES, report)
    return rows, free


@pytest.mark.parametrize(
    ("scheduler", "decides"),
    [
        ({"name": "asha", "reduction_factor": 2}, {1, 2}),
        ({"name": "asha", "first_milestone": 2}, {2}),
        ({"name": "pbt", "interval": 1}, {1, 2}),
    ],
)
def test_a_trial_that_may_be_stopped_or_paused_holds_nothing_that_others_wait_for(
    task: TrialTask, told: list[Row], tmp_path: Path, scheduler: Row, decides: set[int]
) -> None:
    """Ray leaves its function where it reported, for as long as no other trial needs the process."""
    elsewhere = changed(task, {"scheduler": scheduler}, work_folder=tmp_path)
    rows, free = free_at(elsewhere)
    assert free - {READINGS} == decides
    assert rows == told
    assert weights(elsewhere) == weights(task)


@pytest.mark.parametrize(
    "scheduler", [{"name": "asha", "first_milestone": 2}, {"name": "pbt", "interval": 2}]
)
def test_what_is_reported_again_may_be_decided_on_anywhere(
    task: TrialTask, told: list[Row], tmp_path: Path, scheduler: Row
) -> None:
    """A member of a population waits at every milestone for as long as the others have not come as far."""
    elsewhere = changed(task, {"scheduler": scheduler}, work_folder=tmp_path)
    reports(elsewhere, killed_at=2)
    rows, free = free_at(elsewhere)
    assert rows == told
    assert free >= {1, 2}


@pytest.mark.parametrize(
    "scheduler", [{"name": "asha", "reduction_factor": 2}, {"name": "pbt", "interval": 2}]
)
def test_what_others_trained_past_may_be_decided_on_at_the_next_milestone(
    task: TrialTask, told: list[Row], tmp_path: Path, scheduler: Row
) -> None:
    elsewhere = changed(task, {"scheduler": scheduler, "readings": 6}, work_folder=tmp_path)
    reports(elsewhere, killed_at=2)
    (file,) = under_way(elsewhere).glob("readings-*.jsonl")
    file.unlink()  # it was a run, or a sweep with other readings
    rows, free = free_at(elsewhere)
    assert [row["milestone"] for row in rows] == [3, 4, 5, 6, 6]
    assert 3 in free
    assert weights(elsewhere) == weights(task)


# Populations

OTHER = {TEMPERATURE: 0.5}
PBT = {"scheduler": {"name": "pbt", "interval": 1}}
LINEAGE = [{"step": 0, "values": VALUES}]


@pytest.fixture(scope="module")
def donor(task: TrialTask, tmp_path_factory: pytest.TempPathFactory) -> TrialTask:
    """A population in which trial 0 is paused at milestone 2."""
    population = changed(task, PBT, work_folder=tmp_path_factory.mktemp("population"))
    reports(population, killed_at=2)
    return population


def test_a_member_that_goes_on_from_another_is_a_run_with_a_schedule(
    donor: TrialTask, told: list[Row], tmp_path: Path
) -> None:
    inherited = Inherited(LINEAGE, 4, kept_files(donor.folder, 0, 2))
    assert inherited.files.is_dir()
    rows = reports(donor, 1, OTHER, inherited)
    assert [(row["milestone"], row["step"]) for row in rows] == [(3, 6), (3, 6)]
    assert all(row["lineage"] == [*LINEAGE, {"step": 4, "values": OTHER}] for row in rows)
    assert rows[-1]["reading"] != told[-1]["reading"]

    config = compose(str(trial_folder(donor.folder, 1) / "run.yaml"))
    assert [change.model_dump() for change in config.pretrain.schedule] == [{"step": 4, "values": OTHER}]
    result = learned(config, donor, tmp_path)
    assert result.score == rows[-1]["score"]
    assert result.encoder is not None
    assert (result.encoder / "encoder.safetensors").read_bytes() == weights(donor, 1)


def test_a_member_whose_donor_s_files_are_gone_comes_to_the_same(donor: TrialTask, tmp_path: Path) -> None:
    expected = reports(donor, 1, OTHER, Inherited(LINEAGE, 4, kept_files(donor.folder, 0, 2)))
    elsewhere = changed(donor, work_folder=tmp_path)
    rows = reports(elsewhere, 1, OTHER, Inherited(LINEAGE, 4, tmp_path / "gone"))
    assert rows == expected
    assert weights(elsewhere, 1) == weights(donor, 1)


def test_a_member_that_comes_to_the_values_of_another_reads_the_same_and_can_be_copied(
    donor: TrialTask,
) -> None:
    """Both have one training: the one that is behind must not go beyond where the other waits."""
    inherited = Inherited(LINEAGE, 2, kept_files(donor.folder, 0, 1))
    rows = reports(donor, 2, VALUES, inherited, killed_at=2)
    assert readings_of(rows) == readings_of(reports(donor, 0, killed_at=2))[1:]
    assert rows[0]["lineage"] == LINEAGE
    ours, theirs = (kept_files(donor.folder, number, 2) / "checkpoints" / "latest.pt" for number in (2, 0))
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_member_keeps_its_files_of_two_milestones(donor: TrialTask) -> None:
    task = changed(donor, {"readings": 6})
    reports(task, 5, {TEMPERATURE: 0.6})
    kept = trial_folder(task.folder, 5).glob("milestone-*")
    assert sorted(steps_done(folder) for folder in kept) == [4, 5]


def test_files_are_kept_though_the_process_died_before(donor: TrialTask) -> None:
    values = {TEMPERATURE: 0.4}
    reports(donor, 4, values, killed_at=2)
    kept = kept_files(donor.folder, 4, 2)
    shutil.rmtree(kept)  # killed between the checkpoint and its copy
    reports(donor, 4, values, killed_at=2)
    assert steps_done(kept) == 4
