"""The README is the truth: each command in it is one that the program takes, each snippet runs."""

import itertools
import math
import re
import shlex
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from echopair import AudioEncoder
from echopair.models.audio_encoder import AudioEncoderConfig
from echopair.models.encoders import ResNetConfig
from echopair.models.log_mel_config import LogMelConfig
from echopair.pipeline.config import RunConfig, compose, flatten, presets
from echopair.tuning.cli import app
from echopair.tuning.config import compose_sweep, sweep_presets

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [
    line
    for language, text in BLOCKS
    if not language
    for line in text.replace("\\\n", " ").splitlines()
    if line.startswith("echopair ")
]


def my_yaml() -> str:
    """The run that commands call my.yaml."""
    text, _ = [text for language, text in BLOCKS if language == "yaml"]
    return text


def sweep_yaml() -> str:
    """The run with its section `sweep`."""
    _, text = [text for language, text in BLOCKS if language == "yaml"]
    return text


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text(my_yaml())
    _, name, *arguments = shlex.split(command, comments=True)
    assert name in {info.name or info.callback.__name__ for info in app.registered_commands if info.callback}
    if arguments[:1] == ["--resume"]:
        assert name == "sweep"
        assert len(arguments) == 2
        return
    for file in [argument for argument in arguments if argument.endswith("/best.yaml")]:
        Path(file).parent.mkdir(parents=True)
        Path(file).write_text("preset: synthetic\n")
    if name == "sweep":
        compose_sweep(arguments)
        return
    sources = list(itertools.takewhile(lambda argument: "=" not in argument, arguments))
    compose(sources, arguments[len(sources) :])


def test_commands_of_the_table() -> None:
    named = set(re.findall(r"\| `echopair (\w+)", README)) | set(
        re.findall(r"`(prepare|pretrain|embed|probe)`", README)
    )
    assert named == {info.name or info.callback.__name__ for info in app.registered_commands if info.callback}


def test_there_are_commands_to_test() -> None:
    assert len(COMMANDS) >= 3


def test_keys_and_defaults_of_the_table() -> None:
    values = dict(flatten(compose("folder", ["corpora.recordings.root=/data"]).model_dump(mode="json")))
    rows = re.findall(r"^\| `([a-z_.]+\.[a-z_]+)` \| `?([^|`]+)`? \|", README, flags=re.MULTILINE)
    assert len(rows) >= 6
    for key, default in rows:
        if key != "augment.policy.augmentations":
            assert str(values[key]) == default.strip() or float(values[key]) == float(default), key
    names = [one["name"] for one in values["augment.policy.augmentations"]]
    assert f"| {', '.join(names)} |" in README


def test_the_yaml_is_a_config() -> None:
    assert set(yaml.safe_load(my_yaml())) <= set(RunConfig.model_fields)


def test_the_yaml_of_a_sweep_is_one(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(sweep_yaml())
    settings = compose_sweep([str(file), "corpora.us8k.root=/data/us8k", "corpora.esc10.root=/data/esc10"])
    space = yaml.safe_load(sweep_yaml())["sweep"]["space"]
    assert set(settings.sweep.space) == set(space)


def test_every_preset_is_named() -> None:
    for name in presets().keys() - {"synthetic"}:
        assert f"`{name}`" in README or f"run {name}" in README, name
    for name in sweep_presets():
        assert f"`{name}`" in README or re.search(rf"echopair sweep .*\b{name}\b", README), name


def python_block(containing: str) -> str:
    (text,) = [text for language, text in BLOCKS if language == "python" and containing in text]
    return text


def test_the_augmentation_of_ones_own() -> None:
    module = types.ModuleType("hum")
    sys.modules["hum"] = module  # where dataclasses and pydantic look names up
    try:
        exec(python_block("class HumConfig"), module.__dict__)
        names: dict[str, Any] = {**module.__dict__, "math": math}
        test = python_block("def test_a_hum")
        exec(test[test.index("def test_a_hum") :], names)
    finally:
        del sys.modules["hum"]
    log_mel = torch.randn(4, 64, 96, generator=torch.Generator().manual_seed(0))
    names["test_a_hum_of_10_db_is_10_db_in_the_lowest_band"](log_mel)
    hum = names["HumConfig"]()
    distortions = [
        (hum.build(strength)(log_mel, torch.Generator().manual_seed(1))[0] - log_mel).abs().mean().item()
        for strength in (0.0, 0.5, 1.0, 2.0)
    ]
    assert distortions[0] == 0
    assert distortions == sorted(set(distortions))


def test_the_snippet(tmp_path: Path) -> None:
    snippet = python_block("AudioEncoder.load")
    torch.manual_seed(0)
    config = AudioEncoderConfig(
        log_mel=LogMelConfig(),
        log_mel_mean=0,
        log_mel_standard_deviation=1,
        encoder=ResNetConfig(width=8),
        crop_seconds=0.96,
        crop_hop_seconds=0.48,
    )
    AudioEncoder(config).save(tmp_path)
    snippet = re.sub(r'load\("[^"]*"\)', f"load({str(tmp_path)!r})", snippet)
    names: dict[str, object] = {"waveform": np.zeros(44100, dtype=np.float32)}
    exec(snippet, names)
    embedding = names["embedding"]
    assert isinstance(embedding, torch.Tensor)
    assert embedding.isfinite().all()
