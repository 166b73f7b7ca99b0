"""Sweeps on a Ray of their own: what they try, what they leave, and that it can be had again."""

import json
import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import soundfile
import yaml

from pipeline.checks import Stage
from pipeline.config import compose
from pipeline.errors import UserError
from pipeline.run import run
from pipeline.tracking.client import load_mlflow
from pipeline.tracking.runs import RunSummary, tagged_runs
from tests.tuning.conftest import descendants
from tests.tuning.tones import finished_sweep
from tuning.cli import main
from tuning.config import SweepSettings, compose_sweep
from tuning.ledger import Ledger
from tuning.recorder import PARENT_TAG, STATUS_TAG, SWEEP_TAG, TRIAL_TAG
from tuning.sweep import SweepResult, sweep, sweep_folder
from tuning.trial import trainings_of, trial_folder
from tuning.trials import Status, Trial

TEMPERATURE = "objective.temperature"
RATE = "log_mel.sample_rate_hz"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> SweepSettings:
    return finished_sweep(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def finished(settings: SweepSettings) -> SweepResult:
    return sweep(settings)


@pytest.fixture(scope="module")
def work(finished: SweepResult) -> Path:
    return finished.folder.parents[1]


@pytest.fixture(scope="module")
def file(finished: SweepResult, work: Path) -> Path:
    """Of the run that is swept."""
    return work.parent / "my.yaml"


def by_status(trials: list[Trial]) -> Counter[Status]:
    return Counter(trial.status for trial in trials)


def encoder_of(result: SweepResult, number: int) -> bytes:
    training = result.folder.parents[1] / trainings_of(result.folder, number)[-1]
    return (training / "encoder" / "encoder.safetensors").read_bytes()


def runs_of(settings: SweepSettings) -> list[RunSummary]:
    """In MLflow."""
    return tagged_runs(settings.run.tracking, settings.run.work_folder, SWEEP_TAG, settings.identity)


def elsewhere(work: Path, folder: Path) -> Path:
    """Another work folder, with the same clips and an empty store: to make both takes longer than a trial."""
    shutil.copytree(work / "clips", folder / "clips")
    return folder


def test_a_grid_tries_every_combination_and_what_diverges_is_no_failure(finished: SweepResult) -> None:
    tried = {(trial.values[RATE], trial.values[TEMPERATURE]): trial for trial in finished.trials}
    assert set(tried) == {(8000, 0.1), (16000, 0.1), (8000, 1e-39), (16000, 1e-39)}
    for (_, temperature), trial in tried.items():
        assert trial.attempts == 1
        assert trial.seconds > 0
        if temperature == 1e-39:
            assert (trial.status, trial.score) == (Status.DIVERGED, 0.0)
            assert "the loss of step" in trial.error
        else:
            assert trial.status == Status.FINISHED
            assert [(one.milestone, one.step) for one in trial.readings] == [(1, 2), (2, 4), (3, 6)]
            assert trial.steps == 6
    assert tried[8000, 0.1].readings != tried[16000, 0.1].readings
    assert finished.failed == 0
    assert finished.best is not None
    assert finished.best.score == max(trial.score or 0 for trial in finished.trials)


def test_a_sweep_leaves_what_people_read_and_nothing_else(finished: SweepResult, work: Path) -> None:
    left = {path.name for path in finished.folder.iterdir() if not path.name.startswith(".")}
    pictures = {name for name in left if name.endswith(".png")}
    assert left - pictures == {"best.yaml", "ray_logs", "report.html", "sweep.yaml", "trials", "trials.csv"}
    assert len(pictures) >= 3
    assert {path.name for path in finished.report} == {"report.html", "trials.csv"} | pictures
    assert len((finished.folder / "trials.csv").read_text().splitlines()) == 5
    assert not list(work.glob("encoders/*/checkpoints"))


def test_the_best_trial_s_file_is_a_run_that_gives_its_scores_again(
    finished: SweepResult, work: Path, tmp_path: Path
) -> None:
    assert finished.best is not None
    store = f"tracking.uri=sqlite:///{work}/mlflow.db"
    overrides = [f"work_folder={elsewhere(work, tmp_path)}", store]
    again = run(compose(str(finished.best_file), overrides))
    assert "pretrain" in again.did
    assert again.score == finished.best.score
    assert again.encoder is not None
    assert (again.encoder / "encoder.safetensors").read_bytes() == encoder_of(finished, finished.best.number)
    assert list(finished.probes) == ["tones"]
    assert again.probes["tones"]["features"] == finished.probes["tones"]["features"]
    assert finished.probes["tones"]["protocol"].startswith("test on")
    assert finished.best_file is not None
    assert finished.best_file.read_text().startswith(f"# Trial {finished.best.number} of the sweep finished:")


def test_mlflow_has_a_run_of_the_sweep_and_one_of_each_trial_below_it(
    finished: SweepResult, settings: SweepSettings
) -> None:
    runs = runs_of(settings)
    (parent,) = [one for one in runs if TRIAL_TAG not in one.tags]
    assert (parent.name, parent.status) == ("finished", "FINISHED")
    assert finished.best is not None
    accuracy = finished.probes["tones"]["features"]["pretrained"]["score"]
    assert parent.metrics["best_score"] == finished.best.score
    assert parent.metrics["test/tones/accuracy"] == accuracy
    assert (parent.metrics["trials_finished"], parent.metrics["trials_diverged"]) == (2, 2)
    client = load_mlflow().MlflowClient(f"sqlite:///{settings.run.work_folder}/mlflow.db")
    artifacts = {one.path for one in client.list_artifacts(parent.run_id)}
    assert {path.name for path in finished.report} | {"best.yaml", "sweep.yaml"} == artifacts

    children = {int(one.tags[TRIAL_TAG]): one for one in runs if TRIAL_TAG in one.tags}
    assert sorted(children) == [0, 1, 2, 3]
    for trial in finished.trials:
        child = children[trial.number]
        assert child.tags[PARENT_TAG] == parent.run_id
        assert child.tags[STATUS_TAG] == trial.status
        assert child.status == ("FINISHED" if trial.status == Status.FINISHED else "FAILED")
        assert child.metrics["score"] == trial.score
        assert child.parameters[RATE] == str(trial.values[RATE])
    best = children[finished.best.number]
    assert best.metrics["tones/accuracy"] == accuracy
    history = client.get_metric_history(best.run_id, "reading")
    assert [(one.step, one.value) for one in history] == [
        (one.step, one.score) for one in finished.best.readings
    ]


def test_the_same_command_again_does_nothing_new(
    finished: SweepResult, settings: SweepSettings, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = {one.run_id: one.status for one in runs_of(settings)}
    trained = {path: path.stat().st_mtime_ns for path in work.glob("encoders/*/done.json")}
    report = (finished.folder / "report.html").stat().st_mtime_ns
    again = sweep(settings)
    assert "all 4 trials ended before" in capsys.readouterr().err
    assert again.trials == finished.trials
    assert again.probes == finished.probes
    assert {one.run_id: one.status for one in runs_of(settings)} == runs
    assert {path: path.stat().st_mtime_ns for path in work.glob("encoders/*/done.json")} == trained
    assert (finished.folder / "report.html").stat().st_mtime_ns > report


def test_what_would_fail_is_refused_before_anything_is_begun(file: Path, tmp_path: Path) -> None:
    cases = {
        "sweep.space.log_mel.sample_rate_hz={name: integers, low: 8000, high: 16000}": "list the rates",
        "sweep.space.pretrain.minutes=[1, 2]": "what minutes are depends on the machine",
        "sweep.space.augment.policy.augmentations=[[gain], [{name: background_noise, folder: /nowhere}]]": (
            "augmentation 'background_noise': folder=/nowhere"
        ),
        "sweep.space.encoder=[{name: timm, model: resnet18}, {name: timm, model: resnet81}]": "encoder: ",
        "corpora.tones.root=/nowhere": "corpora.tones.root=/nowhere: there is no such folder",
        "probe.test_folds=['7']": "corpus 'tones' has no fold '7'",
    }
    for override, message in cases.items():
        with pytest.raises(UserError, match=message.replace("(", r"\(")):
            sweep(
                compose_sweep(
                    [str(file), f"work_folder={tmp_path}", f"sweep.space.{TEMPERATURE}=[0.1, 0.2]", override]
                )
            )
    assert not (tmp_path / "encoders").exists()


# What can happen to trials


@contextmanager
def meanwhile(act: Callable[[], None]) -> Iterator[None]:
    """Do something while a sweep runs; what it raises comes out."""
    errors: list[BaseException] = []

    def acting() -> None:
        try:
            act()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=acting, daemon=True)
    thread.start()
    yield
    thread.join(10)
    assert not thread.is_alive()
    if errors:
        raise errors[0]


def readings_in(folder: Path) -> dict[int, int]:
    """How many readings the trials have by now."""
    files = folder.glob("trials/*.json")
    return {int(one.stem): len(json.loads(one.read_text())["readings"]) for one in files}


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@dataclass
class Told:
    """What a command came to."""

    settings: SweepSettings
    trials: list[Trial]
    exit_status: int
    output: str
    progress: str


def echopair_sweep(arguments: list[str], act: Callable[[Path], None] = lambda _folder: None) -> Told:
    """`echopair sweep`, in this process."""
    settings = compose_sweep(arguments)
    folder = sweep_folder(settings)
    output, progress = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr("sys.argv", ["echopair", "sweep", *arguments])
        with redirect_stdout(output), redirect_stderr(progress), meanwhile(lambda: act(folder)):
            main()
    status = ended.value.code
    assert isinstance(status, int)
    return Told(settings, Ledger.open(folder).trials, status, output.getvalue(), progress.getvalue())


AUGMENT = [{"strength": 1.0}, {"strength": 0.2}, {"strength": 3.0}]


@pytest.fixture(scope="module")
def troubled(file: Path) -> Told:
    """Stopped early if they read worse; one trial loses the sounds that it needs."""
    sounds = file.parent / "sounds"
    sounds.mkdir()
    soundfile.write(sounds / "noise.wav", [0.1, -0.1] * 8000, 16000)
    crashes = {
        "policy": {"name": "all", "augmentations": [{"name": "background_noise", "folder": str(sounds)}]}
    }
    space = yaml.safe_dump([*AUGMENT, crashes], default_flow_style=True, width=1000).strip()
    arguments = [
        str(file),
        f"{TEMPERATURE}=0.1",
        "sweep.sweep_name=troubled",
        f"sweep.space.augment={space}",
        "sweep.search.name=grid",
        "sweep.scheduler={name: asha, first_milestone: 1, reduction_factor: 2}",
        "sweep.readings=3",
        "sweep.retries=1",
        "sweep.resources.trials_at_once=1",
    ]

    def act(folder: Path) -> None:
        wait_until(lambda: 0 in readings_in(folder))
        shutil.rmtree(sounds)

    return echopair_sweep(arguments, act)


def test_a_trial_that_always_crashes_fails_alone_and_is_told_of(troubled: Told) -> None:
    (failed,) = [trial for trial in troubled.trials if trial.status == Status.FAILED]
    assert "policy" in failed.values["augment"]
    assert (failed.attempts, failed.score) == (2, None)
    assert failed.error.startswith("it crashed 2 times, at last: ValueError: folder=")
    assert troubled.exit_status == 101
    assert f"1 of 4 trials failed; trial {failed.number}: it crashed 2 times" in troubled.output
    assert f"trial {failed.number} failed: it crashed 2 times, at last: ValueError" in troubled.progress
    (run_of_it,) = [one for one in runs_of(troubled.settings) if one.tags.get(STATUS_TAG) == "failed"]
    assert run_of_it.status == "FAILED"
    assert "there is no such folder" in run_of_it.tags["echopair.error"]


def test_asha_stops_trials_that_read_worse_than_those_before(troubled: Told) -> None:
    stopped = [trial for trial in troubled.trials if trial.status == Status.STOPPED]
    assert stopped
    for trial in stopped:
        last = trial.readings[-1]
        before = [other for other in troubled.trials if other.number < trial.number]
        rivals = [one.score for other in before for one in other.readings if one.milestone == last.milestone]
        assert last.score < max(rivals)
        assert trial.score is None
    best = [trial for trial in troubled.trials if trial.status == Status.FINISHED]
    assert best


def test_trainings_of_another_sweep_are_not_done_again(troubled: Told, finished: SweepResult) -> None:
    (ours,) = [trial for trial in troubled.trials if trial.values["augment"] == AUGMENT[0]]
    (theirs,) = [trial for trial in finished.trials if trial.values == {RATE: 16000, TEMPERATURE: 0.1}]
    folder = sweep_folder(troubled.settings)
    assert trainings_of(folder, ours.number) == trainings_of(finished.folder, theirs.number)
    told = [(one.milestone, one.step, one.score) for one in ours.readings]
    assert told == [(one.milestone, one.step, one.score) for one in theirs.readings][: len(told)]
    if ours.status == Status.FINISHED:
        assert ours.score == theirs.score


def test_a_budget_in_minutes_is_as_many_steps_for_every_trial(file: Path) -> None:
    told = echopair_sweep(
        [
            str(file),
            "pretrain.minutes=0.02",
            "sweep.sweep_name=minutes",
            "sweep.space.seed={name: integers, low: 0, high: 99}",
            f"sweep.space.{TEMPERATURE}={{name: log_uniform, low: 0.05, high: 1}}",
            "sweep.search={name: optuna, trials: 3, startup_trials: 1}",
            "sweep.readings=2",
            "sweep.resources.trials_at_once=2",
        ]
    )
    assert told.exit_status == 0, told.progress
    assert by_status(told.trials) == {Status.FINISHED: 3}
    assert len({json.dumps(trial.values) for trial in told.trials}) == 3
    folder = sweep_folder(told.settings)
    steps = Ledger.open(folder).plan["steps"]
    files = [
        *(trial_folder(folder, trial.number) / "run.yaml" for trial in told.trials),
        folder / "best.yaml",
    ]
    configs = [compose(str(one)) for one in files]
    assert {config.pretrain.steps for config in configs} == {steps}
    assert {config.pretrain.minutes for config in configs} == {None}
    assert [config.seed for config in configs[:3]] == [trial.values["seed"] for trial in told.trials]
    assert f"0.02 minutes a trial are {steps} steps" in told.progress


# Populations


def population(file: Path, work: Path) -> list[str]:
    return [
        str(file),
        f"work_folder={work}",
        "sweep.sweep_name=population",
        f"sweep.space.{TEMPERATURE}=[0.1, 0.2, 0.4, 0.8]",
        "sweep.search={name: random, trials: 4}",
        "sweep.scheduler={name: pbt, interval: 1, quantile_fraction: 0.5}",
        "sweep.readings=3",
        "sweep.resources.trials_at_once=2",
    ]


def outcome(trials: list[Trial]) -> list[Any]:
    """All of them but for how long it took, and how often they were begun."""
    return [trial.model_dump(exclude={"seconds", "attempts", "readings"}) for trial in trials] + [
        [one.model_dump(exclude={"seconds"}) for one in trial.readings] for trial in trials
    ]


@pytest.fixture(scope="module")
def undisturbed(file: Path, work: Path) -> Told:
    return echopair_sweep(population(file, work))


def test_a_population_learns_from_its_best(undisturbed: Told) -> None:
    assert undisturbed.exit_status == 0, undisturbed.progress
    assert by_status(undisturbed.trials) == {Status.FINISHED: 4}
    changed = [trial for trial in undisturbed.trials if trial.lineage]
    assert changed
    for trial in changed:
        steps = [change["step"] for change in trial.lineage]
        assert steps[0] == 0
        assert set(steps[1:]) <= {2, 4}
        assert [one.milestone for one in trial.readings] == [1, 2, 3]
    assert not list(sweep_folder(undisturbed.settings).glob("trials/*/milestone-*"))


def test_a_member_s_run_gives_its_score_again(undisturbed: Told, work: Path, tmp_path: Path) -> None:
    member = max(
        (trial for trial in undisturbed.trials if len(trial.lineage) > 1), key=lambda one: one.score or 0
    )
    config = trial_folder(sweep_folder(undisturbed.settings), member.number) / "run.yaml"
    overrides = [f"work_folder={elsewhere(work, tmp_path)}", f"tracking.uri=sqlite:///{work}/mlflow.db"]
    again = run(compose(str(config), overrides), Stage.VALIDATE)
    assert len(again.config.pretrain.schedule) == len(member.lineage) - 1
    assert again.score == member.score


def test_a_population_whose_trials_are_killed_comes_to_the_same(
    undisturbed: Told, file: Path, work: Path, tmp_path: Path
) -> None:
    def kill_a_trial() -> int:
        for process in descendants(os.getpid()):
            with suppress(OSError):
                if Path(f"/proc/{process}/cmdline").read_bytes().startswith(b"ray::ImplicitFunc.train"):
                    os.kill(process, signal.SIGKILL)
                    return 1
        return 0

    def act(folder: Path) -> None:
        for readings in (1, 5):
            wait_until(lambda count=readings: sum(readings_in(folder).values()) >= count)  # type: ignore[misc]
            wait_until(lambda: kill_a_trial() == 1)

    told = echopair_sweep(population(file, elsewhere(work, tmp_path)), act)
    assert told.exit_status == 0, told.progress
    assert outcome(told.trials) == outcome(undisturbed.trials)
    assert sum(trial.attempts for trial in told.trials) > 4
    assert "begins again, attempt 2" in told.progress
