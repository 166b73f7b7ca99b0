"""What a person types, and what they are told when it is wrong."""

import signal
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from echopair.pipeline.cli import main
from tests.pipeline.test_run import write_config
from tests.processes import start_echopair


@pytest.fixture(scope="module")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("cli"))


def echopair(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["echopair", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
        sys.exit(0)
    return int(ended.value.code or 0)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Run a command that must be refused; returns its message in one line."""

    def run(*arguments: str | Path) -> str:
        assert echopair(monkeypatch, *arguments) == 2
        message = capsys.readouterr().err
        assert "Traceback" not in message
        assert message.startswith("error: ")
        assert len(message.strip().splitlines()) <= 3
        return " ".join(message.split())

    return run


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "objective.temprature=0.1",
            "unknown key 'objective.temprature'; did you mean 'objective.temperature'?",
        ),
        ("corpora.tones.root=/nowhere", "corpora.tones.root=/nowhere: there is no such folder"),
        (
            "crops.positives=same_crop",
            "crops.positives is now chosen by name: crops.positives.name=same_crop",
        ),
        (
            "crops.positives.name=same_label",
            "same_label learns from the labels of 'tones', and a probe would be tested",
        ),
        (
            "augment.policy.name=rand",
            "'rand' found using 'name' does not match any of the expected tags: 'all'",
        ),
        ("augment.policy={name: random, operations: 99}", "operations=99 is more than the pool's 15"),
        (
            "augment.policy={name: learned, file: nowhere.yaml}",
            "file=nowhere.yaml cannot be read as YAML: No such file",
        ),
        ("augment.policy.augmentations=[gian]", "'gian' found using 'name' does not match"),
        (
            "augment.policy.augmentations=[{name: background_noise, folder: /nowhere}]",
            "augment.policy: augmentation 'background_noise': folder=/nowhere",
        ),
        ("pretrain.device=cuda", "pretrain.device: device=cuda, but torch sees no CUDA GPU"),
        ("encoder={name: timm, model: resnet81}", "encoder: "),
        ("tracking.uri=http://127.0.0.1:9", "http://127.0.0.1:9"),
        ("tracking.uri=./mlruns", "mlruns"),
        ("work_folder=/proc/echopair", "work_folder=/proc/echopair cannot be written to"),
        ("probe.test_folds=[3]", "probe.test_folds=['3']: corpus 'tones' has no fold '3'; it has no folds"),
    ],
)
def test_bad_config(refused, config_file: Path, override: str, message: str) -> None:  # type: ignore[no-untyped-def]
    if "device=cuda" in override and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert message in refused("run", config_file, override)


def test_an_unwritable_folder_of_another(refused, config_file: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "file").touch()
    assert f"work_folder={tmp_path}/file/work cannot be written to" in refused(
        "run", config_file, f"work_folder={tmp_path}/file/work"
    )


def test_without_a_command_the_help_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert echopair(monkeypatch) == 0
    assert "Usage: echopair" in capsys.readouterr().out
    assert echopair(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"echopair {version('echopair')}\n"


def test_recordings_where_a_preset_belongs(refused, config_file: Path) -> None:  # type: ignore[no-untyped-def]
    folder = config_file.parent / "recordings" / "low"
    command = f"`echopair run folder corpora.recordings.root={folder}`"
    for given, kind in ((folder, "a folder"), (next(folder.iterdir()), "a recording")):
        message = refused("run", given)
        assert f"{given} is {kind}" in message
        assert command in message


def test_a_work_folder_that_does_not_exist_is_not_made(refused, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for command in ("compare", "ui"):
        assert "work does not exist" in refused(command, f"work_folder={tmp_path / 'work'}")
    assert not (tmp_path / "work").exists()


def test_a_busy_port_names_the_option(refused, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with socket.create_server(("127.0.0.1", 0)) as busy:
        assert "--port" in refused("ui", f"work_folder={tmp_path}", "--port", str(busy.getsockname()[1]))


def test_a_key_that_a_preset_gave_is_said_to_be_its(refused, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "labels.csv").write_text("filename,category,fold,src_file\na.wav,x,1,s\n")
    file = tmp_path / "my.yaml"
    file.write_text(f"corpora: {{esc10: {{name: table, root: {tmp_path}, table: labels.csv}}}}")
    message = refused("run", "esc10", file, f"work_folder={tmp_path}")
    assert "corpora.esc10.where comes from preset 'esc10'" in message
    file.write_text("objective: {temperature: -1}")
    assert f"objective.temperature comes from {file}" in refused("config", file, "synthetic")
    assert "comes from" not in refused("config", file, "objective.temperature=-2")


def test_keys_of_before_name_the_new_ones(refused) -> None:  # type: ignore[no-untyped-def]
    assert "probe.held_out is now called probe.test_split" in refused("config", "probe.held_out=true")
    assert "probe.strengths is now called probe.C" in refused("config", "probe.strengths=[1]")


def test_presets_that_name_each_other(refused, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    a, b = tmp_path / "a.yaml", tmp_path / "b.yaml"
    a.write_text(f"preset: {b}")
    b.write_text(f"preset: {a}")
    assert f"{a} starts from {b} starts from {a}: they name each other" in refused("config", a)


def test_a_name_that_is_too_long_for_the_system(refused, config_file: Path) -> None:  # type: ignore[no-untyped-def]
    name = "x" * 300
    assert "File name too long" in refused("run", name)
    assert "File name too long" in refused("prepare", config_file, f"work_folder={config_file.parent}/{name}")
    assert "at most 100 letters" in refused("config", config_file, f"corpora.{name}.name=synthetic")


def test_passwords_are_not_shown(refused, config_file: Path) -> None:  # type: ignore[no-untyped-def]
    for override in (
        "tracking.uri=http://me:se:cr/et@127.0.0.1:9",
        "tracking.uri=ftp://me:se@cret@host",
        "tracking.uri={uri: 'http://me:secret@host'}",
        "tracking.uri=http://me:secret@host: x",
        "tracking={uri: 'postgresql://127.0.0.1:9/runs?password=secret'}",
    ):
        message = refused("run", config_file, override)
        assert "cret" not in message
        assert "cr/et" not in message


def test_an_unknown_command(refused) -> None:  # type: ignore[no-untyped-def]
    assert "No such command 'runn'" in refused("runn")


def test_a_silent_server_is_given_up(refused, config_file: Path) -> None:  # type: ignore[no-untyped-def]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert uri in refused("run", config_file, f"tracking.uri={uri}", "tracking.connect_seconds=1")


def corpus(folder: Path, *names: str) -> str:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return f"corpora={{tones: {{name: folder, root: {folder}}}}}"


def test_corpora_that_no_probe_can_use(refused, config_file: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "empty").mkdir()
    cases = {
        corpus(tmp_path / "empty"): "no audio below this folder",
        corpus(tmp_path / "one", "a/1.wav", "a/2.wav", "b/3.wav"): "class 'b' (b/3.wav) has one clip",
        corpus(tmp_path / "same", "a/1.wav", "a/2.wav"): "every recording is labelled 'a'",
        corpus(tmp_path / "flat", "1.wav", "2.wav"): "2 of 2 recordings have no label, first 1.wav",
    }
    for override, message in cases.items():
        assert message in refused("run", config_file, override)


def test_too_many_refused_recordings_are_an_error_after_the_report(  # type: ignore[no-untyped-def]
    refused, config_file: Path, tmp_path: Path
) -> None:
    for label in "ab":
        (tmp_path / "c" / label).mkdir(parents=True)
        for n in range(4):
            (tmp_path / "c" / label / f"{n}.wav").write_bytes(b"no audio")
    message = refused(
        "run", config_file, f"corpora.tones.root={tmp_path / 'c'}", f"work_folder={tmp_path / 'w'}"
    )
    assert "8 of 8 recordings refused" in message
    assert "prepare.max_refused_share=0.1" in message
    report = next(part for part in message.split() if part.endswith("report.html"))
    assert "8" in Path(report).read_text()


def test_refused_recordings_do_not_stop_a_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config_file: Path, tmp_path: Path
) -> None:
    source = config_file.parent / "recordings"
    for file in source.glob("*/*.wav"):
        (tmp_path / "c" / file.parent.name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "c" / file.parent.name / file.name).write_bytes(file.read_bytes())
    (tmp_path / "c" / "low" / "broken.wav").write_bytes(b"")
    arguments = [
        "prepare",
        config_file,
        f"corpora.tones.root={tmp_path / 'c'}",
        f"work_folder={tmp_path / 'w'}",
    ]
    assert echopair(monkeypatch, *arguments) == 0
    assert "1 of 25 recordings refused" in capsys.readouterr().err


def test_the_config_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert echopair(monkeypatch, "config", "seed=3") == 0
    assert "seed: 3\n" in capsys.readouterr().out


def test_compare_without_runs_says_how_to_make_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert echopair(monkeypatch, "compare", f"work_folder={tmp_path}") == 0
    assert "`echopair run` with this work_folder makes one" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("workers", "how"), [(2, signal.SIGINT), (0, signal.SIGTERM)])
def test_an_interrupted_training_says_so_and_exits_with_130(
    config_file: Path, tmp_path: Path, workers: int, how: signal.Signals
) -> None:
    process = start_echopair(
        tmp_path / "said",
        "pretrain",
        config_file,
        "waveform",
        f"work_folder={tmp_path}",
        "pretrain.steps=100000",
        f"pretrain.workers={workers}",
        "pretrain.log_every_steps=1",
    )
    deadline = time.monotonic() + 120
    while not any(file.stat().st_size for file in tmp_path.glob("encoders/*.partial/metrics.jsonl")):
        assert process.status is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill(how, group=how == signal.SIGINT)  # a terminal sends Ctrl-C to the workers as well
    assert process.wait(60) == 130
    assert "pretrain: interrupted after step" in process.said
    error = process.errors.read_text()
    assert error.strip().endswith("error: interrupted; the same command continues")
    assert "Traceback" not in error


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_in_the_midst_of_a_finalizer_is_not_lost(how: signal.Signals) -> None:
    program = f"""
import signal, sys, time, weakref
from echopair.pipeline.cli import app, main

class Thing:
    pass

@app.command()
def nap() -> None:
    thing = Thing()
    reference = weakref.ref(thing, lambda _: signal.raise_signal({int(how)}))
    del thing
    time.sleep(60)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["echopair", "nap"]
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stderr.strip()) == (130, "error: interrupted")


def test_control_characters_of_names_do_not_reach_the_terminal(refused, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "labels.csv").write_text("path\n\x1b[2Ja.wav\n")
    file = tmp_path / "my.yaml"
    file.write_text(f"corpora: {{c: {{name: table, root: {tmp_path}, table: labels.csv, path: '{{path}}'}}}}")
    said = refused("prepare", file, f"work_folder={tmp_path / 'work'}")
    assert "\\x1b[2Ja.wav" in said
    assert "\x1b[2J" not in said
