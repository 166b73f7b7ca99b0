"""What a person types to sweep, and what they are told when it is wrong; no test here starts Ray."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from echopair.tuning.cli import main
from echopair.tuning.config import compose_sweep
from echopair.tuning.state import SweepState
from echopair.tuning.sweep import sweep_folder
from echopair.tuning.trials import Status, Trial
from tests.tuning.tones import write_run

TEMPERATURE = "objective.temperature"
SPACE = f"sweep.space.{TEMPERATURE}={{name: log_uniform, low: 0.1, high: 0.5}}"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("cli"))


@pytest.fixture
def echopair(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run a command; returns its exit status."""

    def command(*arguments: str | Path) -> int:
        monkeypatch.setattr(sys, "argv", ["echopair", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return ended.value.code

    return command


def begun(file: Path, name: str, *statuses: Status) -> Path:
    """The folder of a sweep whose trials ended so, though nobody ran them."""
    trials = f"sweep.search={{name: random, trials: {len(statuses)}}}"
    settings = compose_sweep([str(file), SPACE, trials, f"sweep.sweep_name={name}"])
    folder = sweep_folder(settings)
    folder.mkdir(parents=True)
    state = SweepState.create(folder, settings)
    state.fix_plan(threads=1)
    for number, status in enumerate(statuses):
        score = 0.0 if status == Status.DIVERGED else None
        values = {TEMPERATURE: 0.1 + number / 100}
        error = f"{status.value} as it was told to"
        state.propose(
            Trial(number=number, values=values, status=status, score=score, error=error, attempts=1)
        )
    return folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep", "my.yaml", "sweep.serach.trials=3"], "unknown key 'sweep.serach'; did you mean"),
        (["sweep", "my.yaml", "sweep.search.trails=3"], "unknown key 'sweep.search.trails'; did you mean"),
        (["sweep", "my.yaml", "objective.temprature=1"], "did you mean 'objective.temperature'?"),
        (["sweep", "my.yaml", "sweep.space.objective.temprature=[1, 2]"], "objective.temprature"),
        (["sweep", "my.yaml", "sweep.space.objective.temperature=[cold]"], "objective.temperature='cold'"),
        (["sweep", "my.yaml", "sweep.space.seed={name: unifrom, low: 0, high: 1}"], "did you mean 'uniform'"),
        (["sweep", "my.yaml", SPACE, "ray.adress=auto"], "unknown key 'ray.adress'"),
        (["sweep", "first-lok"], "first-look"),
        (["sweep", "my.yaml", SPACE, "sweep.scheduler.name=pbt", "sweep.search.trials=3"], "at least 4"),
        (["sweep", "my.yaml", SPACE, "corpora.tones.root=/nowhere"], "there is no such folder"),
        (["sweep", "my.yaml", SPACE, "tracking.uri=http://127.0.0.1:9"], "http://127.0.0.1:9"),
        (["sweep", "--resume", "work", "seed=1"], "--resume takes its settings from the folder"),
        (["sweep", "--resume", "nowhere"], "nowhere is no sweep's folder (sweep.yaml is missing)"),
        (["sweep", "--resume", "recordings"], "recordings is no sweep's folder (sweep.yaml is missing)"),
        (["sweep", "--resum", "work"], "No such option: --resum"),
    ],
)
def test_what_is_wrong_is_said_in_a_line_or_two_and_nothing_is_begun(
    echopair: Callable[..., int],
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(file.parent)
    assert echopair(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert len(said.err.strip().splitlines()) <= 3
    assert message in " ".join(said.err.split())
    assert not list(file.parent.glob("work/encoders"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], "sweep.yaml cannot be"),
        (lambda _text: "", "its format is not echopair-sweep/2"),
        (
            lambda text: text.replace("log_uniform", "uniform"),
            "its settings were changed after the sweep began",
        ),
        (lambda _text: yaml.safe_dump({"seed": 1}), "its format is not echopair-sweep/2"),
    ],
    ids=["cut", "empty", "changed", "foreign"],
)
def test_a_damaged_sweep_is_not_gone_on_with(
    echopair: Callable[..., int],
    file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[str], str],
    message: str,
) -> None:
    folder = shutil.copytree(begun(file, tmp_path.name, Status.DIVERGED), tmp_path / "sweeps" / "one")
    settings = folder / "sweep.yaml"
    settings.write_text(damage(settings.read_text()))
    assert echopair("sweep", "--resume", folder) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert len(said.strip().splitlines()) == 1
    assert message in said


def test_what_is_wrong_is_found_without_ray_and_mlflow(file: Path) -> None:
    program = """
import sys
from echopair.tuning.cli import main
for arguments in (["--resume", "nowhere"], ["my.yaml", "sweep.serach=1"], ["--resume", "work", "seed=1"]):
    sys.argv = ["echopair", "sweep", *arguments]
    try:
        main()
    except SystemExit as ended:
        assert ended.code == 2
print(*{"ray", "mlflow", "optuna", "matplotlib"} & set(sys.modules))
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=file.parent)
    assert done.stderr.count("error: ") == 3
    assert done.stdout == "\n"


@pytest.mark.parametrize(
    ("name", "statuses", "exit_status", "said"),
    [
        ("diverged", [Status.DIVERGED] * 2, 1, "2 trials: 2 diverged"),
        (
            "failed",
            [Status.FAILED, Status.DIVERGED],
            101,
            "1 of 2 trials failed; trial 0: failed as it was told to",
        ),
        ("many-failed", [Status.FAILED] * 30, 125, "30 of 30 trials failed; trial 0: failed as"),
    ],
)
def test_the_exit_status_tells_how_the_trials_ended(
    echopair: Callable[..., int],
    file: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    statuses: list[Status],
    exit_status: int,
    said: str,
) -> None:
    folder = begun(file, name, *statuses)
    assert echopair("sweep", "--resume", folder) == exit_status
    output = capsys.readouterr()
    assert said in output.out
    assert f"all {len(statuses)} trials ended before" in output.err
    assert str(folder / "report.html") in output.out
    assert not (folder / "best.yaml").exists()
    assert (folder / "trials.csv").is_file()


def test_presets_of_runs_and_sweeps_are_shown_on_a_line_each(
    echopair: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert echopair("presets") == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines]
    assert {"us8k-to-esc10", "folder", "first-look", "temperature-strength"} <= set(names)
    assert all(
        line.split()[1] == "Sweep:" for line in lines if line.startswith(("first-look", "temperature-"))
    )
