"""Sweeps on a Ray of their own: what they try, what they leave, and that it can be had again."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from echopair.pipeline import ray_cluster
from echopair.pipeline.checks import Stage
from echopair.pipeline.config import compose
from echopair.pipeline.errors import UserError
from echopair.pipeline.own_ray import LOCAL_ENVIRONMENT, own_ray
from echopair.pipeline.ray_cluster import USAGE, environment
from echopair.pipeline.run import RunResult, run
from echopair.pipeline.tracking.client import load_mlflow
from echopair.pipeline.tracking.runs import RunSummary, tagged_runs
from echopair.tuning.cli import main
from echopair.tuning.config import SweepSettings, compose_sweep
from echopair.tuning.state import SweepState
from echopair.tuning.sweep import TUNE_ENVIRONMENT, sweep, sweep_folder
from echopair.tuning.tracking import ERROR_TAG, PARENT_TAG, RUN_STATUS, STATUS_TAG, SWEEP_TAG, TRIAL_TAG
from echopair.tuning.trial_folder import CONFIG_FILE, REFUSED_FILE, TrialFolder
from echopair.tuning.trials import Status, Trial
from tests.ray_nodes import descendants
from tests.tuning.tones import write_run

TEMPERATURE = "objective.temperature"
RATE = "log_mel.sample_rate_hz"


@dataclass
class Swept:
    """What a command came to."""

    settings: SweepSettings
    exit_status: int
    output: str
    progress: str

    @property
    def folder(self) -> Path:
        return sweep_folder(self.settings)

    @property
    def work(self) -> Path:
        return self.settings.run.work_folder

    @property
    def state(self) -> SweepState:
        return SweepState.open(self.folder)

    @property
    def trials(self) -> list[Trial]:
        return self.state.trials

    @property
    def best(self) -> Trial:
        best = self.state.best
        assert best is not None
        return best

    @property
    def runs(self) -> list[RunSummary]:
        """In MLflow."""
        return tagged_runs(self.settings.run.tracking, self.work, SWEEP_TAG, self.settings.key)

    @property
    def trained(self) -> dict[Path, int]:
        """When each training was done."""
        return {path: path.stat().st_mtime_ns for path in self.work.rglob("encoders/*/done.json")}

    def trial_folder(self, number: int) -> Path:
        return TrialFolder(self.folder, number).path

    def weights(self, number: int) -> bytes:
        """Of a trial that finished."""
        (training,) = TrialFolder(self.folder, number).trainings
        return (training / "encoder" / "encoder.safetensors").read_bytes()


def echopair_sweep(
    arguments: list[str],
    act: Callable[[Path], None] = lambda _folder: None,
    options: Sequence[str] = (),
) -> Swept:
    """`echopair sweep`, in this process; meanwhile something is done to what lies in its folder."""
    settings = compose_sweep(arguments)
    output, progress = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr("sys.argv", ["echopair", "sweep", *arguments, *options])
        with (
            redirect_stdout(output),
            redirect_stderr(progress),
            meanwhile(partial(act, sweep_folder(settings))),
        ):
            main()
    assert isinstance(ended.value.code, int)
    return Swept(settings, ended.value.code, output.getvalue(), progress.getvalue())


@contextmanager
def meanwhile(act: Callable[[], None]) -> Iterator[None]:
    """Do something while a sweep runs; what it raises comes out."""
    with ThreadPoolExecutor(1) as pool:
        acted = pool.submit(act)
        yield
    acted.result()


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A sweep whose trials end in every way: 0 and 4 diverge, 1 and 5 finish, 2 is stopped, 3 crashes."""
    file = write_run(tmp_path_factory.mktemp("sweep"))
    arguments = [
        str(file),
        "sweep.sweep_name=all-ends",
        f"sweep.space.{RATE}=[8000, 16000]",
        f"sweep.space.{TEMPERATURE}=[0.1, 0.5, 1e-39]",
        "sweep.search.name=grid",
        "sweep.scheduler={name: asha, first_milestone: 1, reduction_factor: 2}",
        "sweep.milestones=3",
        "sweep.retries=0",
        "sweep.resources.trials_at_once=1",  # else it were chance which of two is judged first
    ]
    in_the_way = TrialFolder(sweep_folder(compose_sweep(arguments)), 3).path / CONFIG_FILE
    in_the_way.mkdir(parents=True)
    return arguments


@pytest.fixture(scope="module")
def swept(arguments: list[str]) -> Swept:
    return echopair_sweep(arguments)


@pytest.fixture(scope="module")
def best_run(swept: Swept) -> RunResult:
    """The best trial, run from its file in the sweep's work folder."""
    return run(compose(str(swept.folder / "best.yaml")))


@pytest.fixture(scope="module")
def file(arguments: list[str]) -> Path:
    """Of the run that is swept."""
    return Path(arguments[0])


def elsewhere(swept: Swept, folder: Path) -> list[str]:
    """Overrides for another work folder with the same clips: to prepare them takes longer than a trial."""
    shutil.copytree(swept.work / "clips", folder / "clips")
    return [f"work_folder={folder}"]


def in_store_of(swept: Swept) -> str:
    """The override by which a run does not have to make a store of its own, which takes as long."""
    return f"tracking.uri=sqlite:///{swept.work}/mlflow.db"


def test_every_combination_is_tried_once_and_ends_as_it_must(swept: Swept) -> None:
    assert [trial.number for trial in swept.trials] == [*range(6)]
    assert {(trial.values[RATE], trial.values[TEMPERATURE]) for trial in swept.trials} == {
        (rate, temperature) for rate in (8000, 16000) for temperature in (0.1, 0.5, 1e-39)
    }
    assert [trial.status.value for trial in swept.trials] == [
        "diverged",
        "finished",
        "stopped",
        "failed",
        "diverged",
        "finished",
    ]
    assert all(trial.attempts == 1 and trial.seconds > 0 for trial in swept.trials)
    assert {trial.steps for trial in swept.trials if trial.intermediate_scores} == {6}


def test_a_trial_that_finished_has_a_score_and_all_readings(swept: Swept) -> None:
    first, second = [trial for trial in swept.trials if trial.status == Status.FINISHED]
    for trial in (first, second):
        assert [(one.milestone, one.step) for one in trial.intermediate_scores] == [(1, 2), (2, 4), (3, 6)]
        assert 0 < (trial.score or 0) < 1
    assert first.values[RATE] != second.values[RATE]
    assert [one.score for one in first.intermediate_scores] != [
        one.score for one in second.intermediate_scores
    ]
    assert swept.best.score == max(first.score or 0, second.score or 0)


def test_asha_stops_a_trial_that_reads_worse_than_the_one_before(swept: Swept) -> None:
    (stopped,) = [trial for trial in swept.trials if trial.status == Status.STOPPED]
    assert len(stopped.intermediate_scores) == 1
    assert stopped.intermediate_scores[0].score < swept.trials[1].intermediate_scores[0].score
    assert stopped.score is None


def test_a_diverged_trial_scores_nothing_and_is_no_failure(swept: Swept) -> None:
    diverged = [trial for trial in swept.trials if trial.status == Status.DIVERGED]
    assert all(trial.score == 0 and "lower pretrain.learning_rate" in trial.error for trial in diverged)
    assert swept.exit_status == 101  # of the one that crashed


def test_a_trial_that_crashes_fails_alone_and_is_told_of(swept: Swept) -> None:
    (failed,) = [trial for trial in swept.trials if trial.status == Status.FAILED]
    assert failed.score is None
    assert failed.error.startswith("it crashed once: IsADirectoryError:")
    assert "1 of 6 trials failed; trial 3: it crashed once: IsADirectoryError" in swept.output
    assert "trial 3 failed: it crashed once: IsADirectoryError" in swept.progress
    assert "Traceback" in (swept.trial_folder(3) / "error.txt").read_text()


def test_what_is_said_is_as_readable_in_a_pipe(swept: Swept) -> None:
    """Results on standard output, progress on the other, a line for each trial, and no escape sequences."""
    lines = swept.output.splitlines()
    assert {"sample", "rate", "hz"} <= set(" ".join(lines[:3]).split())
    rows = lines[3:9]
    assert rows[0].split()[:2] == [str(swept.best.number), f"{100 * (swept.best.score or 0):.1f}"]
    assert "6 trials: 2 finished, 1 stopped early, 2 diverged, 1 failed" in swept.output
    assert f"report    {swept.folder / 'report.html'}" in swept.output
    assert "pretrained" in swept.output
    ended = [line for line in swept.progress.splitlines() if " of 6 ended)" in line]
    assert [line.split()[1] for line in ended] == [*"012345"]
    assert "\x1b" not in swept.output + swept.progress
    assert "Warning" not in swept.progress


def test_a_sweep_leaves_what_people_read_and_nothing_else(swept: Swept) -> None:
    left = {path.name for path in swept.folder.iterdir() if not path.name.startswith(".")}
    pictures = {name for name in left if name.endswith(".png")}
    assert left - pictures == {"best.yaml", "ray_logs", "report.html", "sweep.yaml", "trials", "trials.csv"}
    assert len(pictures) >= 3
    assert len((swept.folder / "trials.csv").read_text().splitlines()) == 1 + 6
    kept = {path.relative_to(swept.folder).parts[1] for path in swept.work.rglob("checkpoints")}
    assert kept <= {"00003"}  # which may be tried again


def test_the_best_trial_s_stages_are_found_by_its_run(swept: Swept, best_run: RunResult) -> None:
    assert best_run.did == []
    assert best_run.score == swept.best.score
    assert best_run.encoder is not None
    assert best_run.encoder.parent.parent == swept.work / "encoders"
    assert (best_run.encoder / "encoder.safetensors").read_bytes() == swept.weights(swept.best.number)
    assert len([*swept.work.glob("encoders/*/")]) == 1


def test_figures_of_positive_pairs_are_drawn_for_the_best_trial_alone(
    swept: Swept, best_run: RunResult
) -> None:
    assert best_run.encoder is not None
    (preview,) = swept.work.rglob("preview")
    assert preview.parent == best_run.encoder.parent
    assert {"pairs.png", "pair-1-a.wav", "training_curves.png"} < {one.name for one in preview.iterdir()}


def test_the_best_trial_s_file_is_a_run_that_gives_its_scores_again(
    swept: Swept, best_run: RunResult, tmp_path: Path
) -> None:
    file = swept.folder / "best.yaml"
    assert file.read_text().startswith(f"# Trial {swept.best.number} of the sweep all-ends: validation score")
    again = run(compose(str(file), [*elsewhere(swept, tmp_path), in_store_of(swept)]))
    assert "pretrain" in again.did
    assert again.score == swept.best.score
    assert again.encoder is not None
    assert (again.encoder / "encoder.safetensors").read_bytes() == swept.weights(swept.best.number)
    probe = best_run.summaries("probe")["tones"]
    assert again.summaries("probe")["tones"]["features"] == probe["features"]
    assert probe["protocol"].startswith("test on")


def test_mlflow_has_a_run_of_the_sweep_and_one_of_each_trial_below_it(
    swept: Swept, best_run: RunResult
) -> None:
    (parent,) = [one for one in swept.runs if TRIAL_TAG not in one.tags]
    assert (parent.name, parent.status) == ("all-ends", "FINISHED")
    accuracy = best_run.summaries("probe")["tones"]["features"]["pretrained"]["score"]
    assert parent.metrics["best_score"] == swept.best.score
    assert parent.parameters["scheduler.reduction_factor"] == "2.0"
    assert parent.metrics["test/tones/accuracy"] == accuracy
    counts = {
        name.removeprefix("trials_"): count for name, count in parent.metrics.items() if "trials_" in name
    }
    assert counts == {"finished": 2, "stopped": 1, "diverged": 2, "failed": 1}
    client = load_mlflow().MlflowClient(f"sqlite:///{swept.work}/mlflow.db")
    artifacts = {one.path for one in client.list_artifacts(parent.run_id)}
    assert {"report.html", "trials.csv", "best.yaml", "sweep.yaml"} < artifacts

    children = {int(one.tags[TRIAL_TAG]): one for one in swept.runs if TRIAL_TAG in one.tags}
    assert len(children) == len(swept.runs) - 1 == 6
    for trial in swept.trials:
        child = children[trial.number]
        assert child.tags[PARENT_TAG] == parent.run_id
        assert child.tags[STATUS_TAG] == trial.status
        assert child.status == RUN_STATUS[trial.status]
        assert child.metrics.get("score") == trial.score
        assert child.parameters[RATE] == str(trial.values[RATE])
    best = children[swept.best.number]
    assert best.metrics["tones/accuracy"] == accuracy
    history = client.get_metric_history(best.run_id, "intermediate_score")
    assert [(one.step, one.value) for one in history] == [
        (one.step, one.score) for one in swept.best.intermediate_scores
    ]


def test_other_recordings_are_not_mixed_into_a_sweep(swept: Swept, arguments: list[str]) -> None:
    recordings = Path(swept.settings.run.corpora["tones"].root)  # type: ignore[union-attr]
    labels = recordings / "labels.csv"
    text = labels.read_text()
    head, first, *rest = text.splitlines()
    name, label, fold = first.split(",")
    other = next(one for one in ("low", "high") if one != label)
    trials = swept.trials
    try:
        labels.write_text("\n".join([head, f"{name},{other},{fold}", *rest]) + "\n")
        with pytest.raises(UserError, match=r"corpus 'tones' \(8000 Hz\): recordings or labels have changed"):
            sweep(compose_sweep(arguments))
        assert swept.trials == trials
        assert (
            sweep_folder(compose_sweep([*arguments, "sweep.sweep_name=other"])) != swept.folder
        )  # what it advises
    finally:
        labels.write_text(text)


def test_the_same_command_again_does_nothing_new(swept: Swept, arguments: list[str]) -> None:
    before = swept.trials, {one.run_id: one.status for one in swept.runs}, swept.trained
    report = (swept.folder / "report.html").stat().st_mtime_ns
    again = echopair_sweep(arguments)
    assert (again.exit_status, again.output) == (swept.exit_status, swept.output)
    assert "all 6 trials ended before" in again.progress
    assert (again.trials, {one.run_id: one.status for one in again.runs}, again.trained) == before
    assert (again.folder / "report.html").stat().st_mtime_ns > report


def test_what_would_fail_is_refused_before_anything_is_begun(
    swept: Swept, file: Path, tmp_path: Path
) -> None:
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
    space = f"sweep.space.{TEMPERATURE}=[0.1, 0.2]"
    for override, message in cases.items():
        with pytest.raises(UserError, match=message):
            sweep(compose_sweep([str(file), f"work_folder={tmp_path}", in_store_of(swept), space, override]))
    assert not (tmp_path / "encoders").exists()


@pytest.fixture(scope="module")
def shared_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Ray for the sweeps that follow, since starting and ending one takes as long as some trials.

    The first sweep has started its own, as `test_kills.py` and `test_ray_cluster.py` do.
    """
    with ExitStack() as stack:
        with environment({**USAGE, **TUNE_ENVIRONMENT, **LOCAL_ENVIRONMENT}):
            address = stack.enter_context(own_ray(tmp_path_factory.mktemp("ray_logs")))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(ray_cluster, "own_ray", lambda _logs: nullcontext(address))
        yield


def test_a_failed_trial_is_tried_again_when_that_is_asked_for(
    swept: Swept, shared_ray: None, arguments: list[str]
) -> None:
    before = swept.trials
    (swept.trial_folder(3) / CONFIG_FILE).rmdir()
    allow = swept.trial_folder(3) / REFUSED_FILE
    allow.write_text("it took too much memory")  # as well; both are mended
    again = echopair_sweep(arguments, options=["--retry-failed"])
    assert again.exit_status == 0, again.progress
    assert [trial for trial in again.trials if trial.number != 3] == [t for t in before if t.number != 3]
    tried = again.trials[3]
    assert tried.status in (Status.FINISHED, Status.STOPPED)
    assert (tried.error, tried.attempts) == ("", 2)
    (run_of_it,) = [one for one in again.runs if one.tags.get(TRIAL_TAG) == "3"]
    assert run_of_it.status == "FINISHED"
    assert (run_of_it.tags[STATUS_TAG], run_of_it.tags[ERROR_TAG]) == (tried.status.value, "")


def readings_in(folder: Path) -> int:
    """How many readings the trials have by now."""
    return sum(
        len(json.loads(one.read_text())["intermediate_scores"]) for one in folder.glob("trials/*.json")
    )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_budget_in_minutes_is_as_many_steps_for_every_trial(shared_ray: None, file: Path) -> None:
    swept = echopair_sweep(
        [
            str(file),
            "pretrain.minutes=0.02",
            "sweep.sweep_name=minutes",
            "sweep.space.seed={name: integers, low: 0, high: 99}",
            f"sweep.space.{TEMPERATURE}={{name: log_uniform, low: 0.05, high: 1}}",
            "sweep.search={name: optuna, trials: 2, startup_trials: 1}",
            "sweep.milestones=2",
            "sweep.resources.trials_at_once=1",
        ]
    )
    assert swept.exit_status == 0, swept.progress
    assert [trial.status for trial in swept.trials] == [Status.FINISHED] * 2
    assert len({json.dumps(trial.values) for trial in swept.trials}) == 2
    steps = swept.state.plan["steps"]
    files = [swept.trial_folder(trial.number) / "run.yaml" for trial in swept.trials]
    configs = [compose(str(one)) for one in [*files, swept.folder / "best.yaml"]]
    assert {config.pretrain.steps for config in configs} == {steps}
    assert {config.pretrain.minutes for config in configs} == {None}
    assert [config.seed for config in configs[:2]] == [trial.values["seed"] for trial in swept.trials]
    said = f"0.02 minutes a trial are {steps} steps here; 2 trials, 1 at once, train for 2 s at most"
    assert said in " ".join(swept.progress.split())


def test_a_trial_that_takes_too_much_memory_says_so_though_it_has_no_second_attempt(
    shared_ray: None, file: Path
) -> None:
    swept = echopair_sweep(
        [
            str(file),
            "sweep.sweep_name=memory",
            f"sweep.space.{TEMPERATURE}=[0.3]",
            "pretrain.steps=500",
            "sweep.search.name=grid",
            "sweep.retries=0",
            "sweep.resources={trials_at_once: 1, memory_gb_per_trial: 0.01}",
        ]
    )
    assert swept.exit_status == 101
    (trial,) = swept.trials
    assert (trial.status, trial.attempts) == (Status.FAILED, 1)
    assert trial.error.startswith("the trial took ")
    assert "GB of memory, more than the 0.0 GB it may" in trial.error
    assert "--retry-failed" in swept.output


# Populations


def population(file: Path) -> list[str]:
    """A population in which members come to each other's values: there are but four of them."""
    return [
        str(file),
        "sweep.sweep_name=population",
        f"sweep.space.{TEMPERATURE}=[0.1, 0.2, 0.4, 0.8]",
        "sweep.search={name: random, trials: 4}",
        "sweep.scheduler={name: pbt, interval: 1, quantile_fraction: 0.5}",
        "sweep.milestones=3",
        "sweep.resources.cpus_per_trial=1",  # whatever the number at once
    ]


def outcome(trials: list[Trial]) -> list[Any]:
    """All that is told of them but for how long it took, and how often they were begun."""
    kept = {"number", "values", "status", "score", "steps", "lineage", "error"}
    readings = [
        [(one.milestone, one.step, one.score) for one in trial.intermediate_scores] for trial in trials
    ]
    return [[trial.model_dump(include=kept) for trial in trials], readings]


@pytest.fixture(scope="module")
def undisturbed(shared_ray: None, file: Path) -> Swept:
    return echopair_sweep([*population(file), "sweep.resources.trials_at_once=1"])


def test_a_population_learns_from_its_best(undisturbed: Swept) -> None:
    assert undisturbed.exit_status == 0, undisturbed.progress
    assert [trial.status for trial in undisturbed.trials] == [Status.FINISHED] * 4
    assert {trial.attempts for trial in undisturbed.trials} == {1}  # however often they waited for each other
    changed = [trial for trial in undisturbed.trials if trial.lineage]
    assert changed
    for trial in changed:
        first, *later = [change["step"] for change in trial.lineage]
        assert first == 0
        assert set(later) <= {2, 4}
        assert [one.milestone for one in trial.intermediate_scores] == [1, 2, 3]
    assert not list(undisturbed.folder.glob("trials/*/milestone-*"))
    assert not list(undisturbed.work.rglob("checkpoints"))


def test_a_member_s_run_gives_its_score_again(undisturbed: Swept, tmp_path: Path) -> None:
    member = next(trial for trial in undisturbed.trials if len(trial.lineage) > 1)
    config = undisturbed.trial_folder(member.number) / "run.yaml"
    overrides = [*elsewhere(undisturbed, tmp_path), in_store_of(undisturbed)]
    again = run(compose(str(config), overrides), Stage.VALIDATE)
    assert len(again.config.pretrain.schedule) == len(member.lineage) - 1
    assert again.score == member.score


def test_a_population_whose_trials_are_killed_comes_to_the_same(
    undisturbed: Swept, file: Path, tmp_path: Path
) -> None:
    def a_trial_is_killed() -> bool:
        for process in descendants(os.getpid()):
            with suppress(OSError):
                if Path(f"/proc/{process}/cmdline").read_bytes().startswith(b"ray::ImplicitFunc.train"):
                    os.kill(process, signal.SIGKILL)
                    return True
        return False

    def act(folder: Path) -> None:
        for readings in (1, 5):
            wait_until(lambda: readings_in(folder) >= readings)  # noqa: B023
            wait_until(a_trial_is_killed)

    at_once = "sweep.resources.trials_at_once=2"
    again = echopair_sweep([*population(file), at_once, *elsewhere(undisturbed, tmp_path)], act)
    assert again.exit_status == 0, again.progress
    assert outcome(again.trials) == outcome(undisturbed.trials)
    assert sum(trial.attempts for trial in again.trials) > 4
    assert "begins again, attempt 2: its process was killed" in again.progress
