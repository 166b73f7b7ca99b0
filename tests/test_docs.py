"""README and docs/ are true: the program takes their commands and YAML files, snippets run, links lead somewhere."""

import itertools
import math
import re
import shlex
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import soundfile
import torch
from typer.main import get_command

from echopair.augment.spectrogram import SpectrogramChoice
from echopair.augment.waveform import WaveformChoice
from echopair.models.audio_encoder import AudioEncoder, AudioEncoderConfig
from echopair.models.encoders import ResNetConfig, build_encoder
from echopair.models.log_mel_config import LogMelConfig
from echopair.models.methods import Batch, LearningData
from echopair.models.projection import ProjectionConfig
from echopair.pipeline.config import compose
from echopair.pipeline.embedding_table import encoder_digest
from echopair.pipeline.evaluate.config import compose_evaluation, split_evaluate_arguments
from echopair.pipeline.evaluate.suites import SUITES
from echopair.pipeline.evaluation.trained_classifier import ClassifierInfo, TrainedClassifier
from echopair.pipeline.layers import PRESETS, SWEEP_PRESETS, flatten, presets
from echopair.tuning.cli import app, main
from echopair.tuning.config import SweepConfig, compose_sweep
from tests.pipeline.evaluate.making import clusters, make_subject, make_task

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs" / "mkdocs"))

import config_reference  # noqa: E402

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
}
GENERATED = {f"docs/{page}": write for page, write in config_reference.PAGES.items()}
AUGMENTATIONS = [
    config.model_fields["name"].default for config in get_args(SpectrogramChoice) + get_args(WaveformChoice)
]
RUN_PAGES = ("README.md", "docs/guide/encoder.md")  # whose snippets and commands with an encoder are run
ENCODER_COMMANDS = ("apply", "label", "search", "play", "export")
COMMANDS = {
    info.name or info.callback.__name__.replace("_", "-") for info in app.registered_commands if info.callback
}


def blocks(page: str, language: str = "") -> list[str]:
    """The code blocks of a page that are marked as of this language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", PAGES[page], flags=re.DOTALL | re.MULTILINE)
    return [text for marked, text in found if marked == language]


def yaml_files() -> dict[str, str]:
    """The YAML blocks of all pages, by the name of the file in their first line, `# my.yaml`."""
    texts = [text for page in PAGES for text in blocks(page, "yaml")]
    files = {name.group(1): text for text in texts if (name := re.match(r"# ([\w-]+\.yaml)", text))}
    assert len(files) == len(texts), "each YAML block begins with the name of its file, which no other has"
    return files


def commands(page: str) -> list[str]:
    """The lines of a page's code blocks that call `echopair`."""
    lines = [line for text in blocks(page) for line in text.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith("echopair ")]


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)])
def test_the_program_takes_every_command(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in yaml_files().items():
        Path(name).write_text(text, encoding="utf-8")
    for command in commands(page):
        _, name, *arguments = shlex.split(command, comments=True)
        assert name in COMMANDS, command
        if arguments and arguments[0] in ("--resume", "--port"):
            assert len(arguments) == 2, command
            continue
        for best in (Path(argument) for argument in arguments if argument.endswith("/best.yaml")):
            best.parent.mkdir(parents=True, exist_ok=True)
            best.write_text("preset: synthetic\n")
        if name == "sweep":
            compose_sweep(arguments)
            continue
        if name == "explore":  # serves until it is interrupted: tests/pipeline/explore
            assert [Path(argument).suffix for argument in arguments] == [".parquet"], command
            continue
        if name in ENCODER_COMMANDS:
            if (
                page not in RUN_PAGES
            ):  # one that needs a cluster or a remote storage: its arguments are parsed
                get_command(app).commands[name].make_context(name, arguments)  # type: ignore[attr-defined]
            continue
        if name == "evaluate":
            for folder in arguments:
                if "=" not in folder and ":" not in folder and folder not in presets():
                    Path(folder).mkdir(parents=True, exist_ok=True)
            parts = split_evaluate_arguments(arguments)
            compose_evaluation(parts.sources, parts.overrides, None)
            continue
        sources = list(itertools.takewhile(lambda argument: "=" not in argument, arguments))
        compose(sources, arguments[len(sources) :])


def test_a_command_takes_each_yaml_file() -> None:
    for name in yaml_files():
        assert any(name in shlex.split(command) for page in PAGES for command in commands(page)), name


@pytest.mark.parametrize("page", ["README.md", "docs/reference/commands.md"])
def test_tables_of_commands_name_all(page: str) -> None:
    rows = re.findall(r"^\| (`echopair .*?) \|", PAGES[page], flags=re.MULTILINE)
    assert set(re.findall(r"`(?:echopair )?([\w-]+)[ `]", "\n".join(rows))) == COMMANDS


def test_make_targets_and_benchmarks_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for page, text in PAGES.items():
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", text, flags=re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), (page, target)
        for module in re.findall(r"python -m (tests[\w.]+)", text):
            assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), (page, module)


def test_every_preset_and_augmentation_is_named() -> None:
    guide = "\n".join(text for page, text in PAGES.items() if page.startswith("docs/guide/"))
    for name in presets(PRESETS, SWEEP_PRESETS):
        assert f"`{name}`" in guide or re.search(rf"^echopair \w+ .*\b{name}\b", guide, re.MULTILINE), name
    for name in AUGMENTATIONS:
        assert re.search(rf"\b{name}\b", PAGES["docs/guide/augmentation.md"]), name


def test_every_suite_and_its_keys_are_named() -> None:
    for name, suite in SUITES.items():
        (row,) = re.findall(rf"^\| `{name}` \|.*", PAGES["docs/guide/evaluation.md"], re.MULTILINE)
        assert suite.question in row
        assert all(f"`{name}.{key}`" in row for key in suite.config.model_fields), row


def test_keys_and_defaults_of_the_table() -> None:
    values = dict(flatten(compose("folder", ["corpora.recordings.root=/data"]).model_dump(mode="json")))
    values["augment.policy.augmentations"] = ", ".join(
        one["name"] for one in values["augment.policy.augmentations"]
    )
    rows = re.findall(
        r"^\| `([a-z_.]+\.[a-z_]+)` \| `?([^|`]+)`? \|", PAGES["docs/guide/training.md"], re.MULTILINE
    )
    assert len(rows) >= 10
    for key, default in rows:
        assert str(values[key]) == default.strip() or float(values[key]) == float(default), key


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(
        r"^#+ (.*)", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), flags=re.MULTILINE
    )
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_links_lead_to_files_and_headings() -> None:
    for page, text in PAGES.items():
        for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
            path, _, anchor = target.partition("#")
            linked = (
                (ROOT / page).parent.joinpath(path).resolve().relative_to(ROOT).as_posix() if path else page
            )
            assert (ROOT / linked).exists() or linked in GENERATED, (page, target)
            if anchor:
                assert anchor in anchors(PAGES[linked]), (page, target)


def test_the_reference_has_every_key() -> None:
    text = {page: write() for page, write in GENERATED.items()}
    values = compose("folder", ["corpora.recordings.root=/data"]).model_dump(mode="json")
    for key, _ in flatten({name: value for name, value in values.items() if name != "corpora"}):
        if not key.endswith(".name"):
            assert f"| `{key}` |" in text["docs/reference/config.md"], key
    for name in AUGMENTATIONS:
        assert f"### {name}\n" in text["docs/reference/augmentations.md"]
    for key in SweepConfig.model_fields:
        assert f"`sweep.{key}" in text["docs/reference/sweep-config.md"], key


def test_the_readme_is_short() -> None:
    assert len(PAGES["README.md"].splitlines()) <= 150


@pytest.mark.parametrize("page", RUN_PAGES)
def test_the_encoder_snippets_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    config = AudioEncoderConfig(
        log_mel=LogMelConfig(),
        log_mel_mean=0,
        log_mel_standard_deviation=1,
        encoder=ResNetConfig(width=8),
        crop_seconds=0.96,
        crop_hop_seconds=0.48,
    )
    encoder = Path("work/encoders/resnet-.../encoder")
    AudioEncoder(config).save(encoder)
    info = ClassifierInfo(
        corpus="birds",
        classes=("owl", "rail"),
        multilabel=False,
        C=1,
        clips=2,
        encoder_sha256=encoder_digest(encoder),
        clip_seconds=10,
    )
    Path("work/runs/birds-...").mkdir(parents=True)
    TrainedClassifier(info, np.zeros((AudioEncoder(config).embedding_dim, 2)), np.zeros(2)).save(
        Path("work/runs/birds-.../classifier-birds.safetensors")
    )
    noise = np.random.default_rng(0).normal(0, 0.1, (8000 * 25, 2))
    soundfile.write("dog.wav", noise[: 44100 // 2], 44100)
    soundfile.write("wind.flac", noise[:44100], 44100)
    soundfile.write("night.wav", noise, 8000)
    Path("recordings").mkdir()
    for recording in ("wind", "rain"):
        soundfile.write(f"recordings/{recording}.flac", noise[:44100], 44100)
    for command in commands(page):
        if command.split()[1] in ENCODER_COMMANDS:
            with pytest.raises(SystemExit) as ended, pytest.MonkeyPatch.context() as patch:
                patch.setattr("sys.argv", shlex.split(command))
                main()
            assert ended.value.code == 0
    names: dict[str, object] = {"labels": ["dog", "rain", "dog"]}
    for snippet in blocks(page, "python"):
        if "RUN_ID" not in snippet:
            exec(snippet, names)
    assert isinstance(embeddings := names["embeddings"], np.ndarray)
    assert embeddings.shape == (3, AudioEncoder(config).embedding_dim)
    assert np.isfinite(embeddings).all()


def test_the_snippet_of_hear_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = AudioEncoderConfig(
        log_mel=LogMelConfig(),
        log_mel_mean=0,
        log_mel_standard_deviation=1,
        encoder=ResNetConfig(),
        crop_seconds=0.96,
        crop_hop_seconds=0.48,
    )
    AudioEncoder(config).save("work/encoders/resnet-.../encoder")
    (snippet,) = blocks("docs/guide/peers.md", "python")
    names: dict[str, Any] = {}
    exec(snippet, names)
    shapes = [tuple(names[name].shape) for name in ("scenes", "embeddings", "milliseconds")]
    assert shapes == [(2, 2048), (2, 61, 1024), (2, 61)]
    assert all(str(shape) in snippet for shape in shapes)


def python_block(containing: str) -> str:
    (text,) = [text for text in blocks("docs/contributing.md", "python") if containing in text]
    return text


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Any]]:
    """Runs the example of contributing.md that defines a class, as a module; returns what it defines."""

    def run(defined: str) -> dict[str, Any]:
        module = types.ModuleType(f"example_{defined}")
        monkeypatch.setitem(
            sys.modules, module.__name__, module
        )  # where dataclasses and pydantic look names up
        exec(python_block(f"class {defined}("), module.__dict__)
        return module.__dict__

    return run


def test_the_example_of_an_augmentation(example: Callable[[str], dict[str, Any]]) -> None:
    names = {**example("HumConfig"), "math": math}
    test = python_block("def test_a_hum")
    exec(test[test.index("def test_a_hum") :], names)
    log_mel = torch.randn(4, 64, 96, generator=torch.Generator().manual_seed(0))
    names["test_a_hum_of_10_db_is_10_db_in_the_lowest_band"](log_mel)
    distortions = []
    for strength in (0.0, 0.5, 1.0, 2.0):
        view, _ = names["HumConfig"]().build(strength)(log_mel, torch.Generator().manual_seed(1))
        distortions.append((view - log_mel).abs().mean().item())
    assert distortions[0] == 0
    assert distortions == sorted(set(distortions))


def test_the_example_of_a_method_learns(example: Callable[[str], dict[str, Any]]) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(ResNetConfig(width=8, blocks=(1,)))
    method = example("AlignUniformConfig")["AlignUniformConfig"]().build(
        encoder, ProjectionConfig(), LearningData(16)
    )
    clips = torch.randn(16, 1, 16, 24)
    batch = Batch(
        [clips + 0.1 * torch.randn_like(clips) for _ in range(2)], torch.arange(16), None, torch.Generator()
    )
    optimiser = torch.optim.SGD(method.modules.parameters(), lr=0.1)
    losses = []
    for _ in range(10):
        loss, figures = method.training_step(batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1
    assert method.collapse(figures()) is None


def test_the_example_of_an_evaluation(example: Callable[[str], dict[str, Any]]) -> None:
    names = example("ClassMeans")
    label = np.arange(40) % 4
    task = make_task([f"class {one}" for one in label])
    suite, subject = names["ClassMeans"](), make_subject(clusters(label, spread=0.1))
    assert suite.evaluate(task, subject, names["ClassMeansConfig"]()).metrics["score"].value == 1
    near = names["ClassMeansConfig"](max_distance=1e-6)
    result = suite.evaluate(task, subject, near)
    assert result.metrics["score"].value == 0
    assert "0.0%" in suite.tables(task, {"pretrained": result}, near)[0].rows[0][1]
