"""`export_hub`: the folder and its model card, of a real run and of an encoder alone; and its upload to a hub."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from echopair.models.audio_encoder import AudioEncoder
from echopair.models.encoders import ResNetConfig
from echopair.pipeline.config import as_given, compose
from echopair.pipeline.embedding_table import encoder_digest
from echopair.pipeline.errors import UserError
from echopair.pipeline.export import export_hub, onnx_file
from echopair.pipeline.export.model_card import model_card
from echopair.pipeline.export.training_record import TrainingRecord, training_record
from tests.hub_server import SHA, TOKEN, Hub, hub_server
from tests.pipeline.export.test_graph import encoder_of
from tests.pipeline.run_page.runs import probe_summary

FILES = ["README.md", "encoder.json", "encoder.onnx", "encoder.safetensors"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The encoder of a run in a work folder that has moved since; `test_run` has the record of a real run."""
    work = tmp_path_factory.mktemp("work")
    config = compose("us8k-to-esc10", ["corpora.us8k.root=/old/us8k", "corpora.esc10.root=/old/esc10"])
    texts = {
        "runs/owls/run.yaml": yaml.safe_dump(as_given(config)),
        "runs/owls/run.json": {
            "encoder": "/moved/encoders/resnet-0123/encoder",
            "clips": {"us8k": "/moved/clips/us8k-0123", "esc10": "/moved/clips/esc10-0123"},
            "evaluations": ["/moved/evaluations/probe-esc10-0123"],
        },
        "encoders/resnet-0123/done.json": {"steps": 600, "epochs": 75.2, "parameters": 1234567},
        "clips/us8k-0123/report.json": {"clips": 8732, "duration": "8 h 45 min"},
        "evaluations/probe-esc10-0123/probe.json": {
            **probe_summary([0.8, 0.9, 0.8], [0.5, 0.6, 0.5]),
            "corpus": "esc10",
        },
    }
    for name, content in texts.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(content if isinstance(content, str) else json.dumps(content))
    encoder = work / "encoders" / "resnet-0123" / "encoder"
    encoder_of(ResNetConfig(width=8, blocks=(1,))).save(encoder)
    return encoder


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    encoder_of(ResNetConfig(width=8, blocks=(1,))).save(folder)
    return folder


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[type[Hub]]:
    with hub_server(tmp_path_factory.mktemp("cache")) as state:
        yield state


def test_the_folder_of_a_run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "VERIFIED_SECONDS", (0.3,))
    done = export_hub(trained, tmp_path / "owl", licence="cc-by-4.0")
    assert sorted(file.name for file in done.folder.iterdir()) == FILES
    assert [one.name for one in tmp_path.iterdir()] == ["owl"]
    assert encoder_digest(done.folder) == encoder_digest(trained)
    AudioEncoder.load(done.folder)
    card = ModelCard.load(done.folder / "README.md")
    assert card.data.license == "cc-by-4.0"
    assert card.data.library_name == "echopair"
    assert card.data.pipeline_tag == "feature-extraction"
    assert set(card.data.tags) >= {"audio", "self-supervised", "onnx"}
    (score,) = card.data.eval_results
    assert (score.metric_type, score.metric_value) == ("accuracy", 0.8333)
    assert (score.task_type, score.dataset_name) == ("audio-classification", "esc10")
    assert "| us8k | 8,732 | 8 h 45 min |" in card.text
    assert "without labels, by the objective `nt_xent`" in card.text
    assert "600 steps of 256 pairs, each clip 75.2 times" in card.text
    assert "Pretraining helped on esc10: 83.3% accuracy against 53.3%" in card.text
    assert "\n| pretrained | 83.3% |" in card.text
    for private in ("/old", str(trained.parents[3])):
        assert private not in card.content


def test_a_run_of_another_version_is_left_out(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = shutil.copytree(trained.parents[2], tmp_path / "work")
    (settings,) = work.glob("runs/*/run.yaml")
    settings.write_text(settings.read_text().replace("seed: 0", "sead: 0"))
    assert training_record(work / "encoders" / trained.parent.name / "encoder") is None
    assert "is of another version of echopair, and is left out" in capsys.readouterr().err


def test_the_card_of_an_encoder_alone_invents_nothing(untrained: Path) -> None:
    assert training_record(untrained) is None
    text = model_card(AudioEncoder.load(untrained), "0" * 64, None, None, None)
    assert "Which recordings it was trained on is not on record." in text
    assert "No score is on record." in text
    card = ModelCard(text)
    assert card.data.license is None
    assert card.data.eval_results is None
    assert "self-supervised" not in card.data.tags


def test_a_card_names_labels_where_the_objective_learns_them(trained: Path) -> None:
    record = training_record(trained)
    assert record is not None
    supervised = compose("synthetic", ["objective.name=cross_entropy"])
    record = TrainingRecord(supervised, record.figures, {}, [])
    text = model_card(AudioEncoder.load(trained), "0" * 64, record, None, None)
    assert "with labels, by the objective `cross_entropy`" in text
    assert "self-supervised" not in ModelCard(text).data.tags


def test_pushed_to_a_new_private_repository(
    untrained: Path, hub: type[Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "VERIFIED_SECONDS", (0.3,))
    done = export_hub(untrained, tmp_path / "owl", push="me/owl")
    assert hub.created[0]["visibility"] == "private"
    assert {name: len(content) for name, content in hub.models["me/owl"].items()} == {
        name: (done.folder / name).stat().st_size for name in FILES
    }
    assert done.commit is not None
    assert done.commit.endswith(f"/me/owl/commit/{SHA}")
    assert 'AudioEncoder.load("hf://me/owl")' in (done.folder / "README.md").read_text()


def test_an_upload_that_fails_leaves_the_folder(
    untrained: Path, hub: type[Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "VERIFIED_SECONDS", (0.3,))
    out = tmp_path / "owl"
    with pytest.raises(UserError, match=f"license must be one of .*`hf upload me/owl {out}` uploads it"):
        export_hub(untrained, out, licence="mine", push="me/owl")
    assert sorted(file.name for file in out.iterdir()) == FILES
    assert [one.name for one in tmp_path.iterdir()] == ["owl"]


@pytest.mark.parametrize(
    ("repository", "token", "message"),
    [
        ("owl", TOKEN, "--push=owl: give OWNER/NAME"),
        ("hf://me/owl", TOKEN, "--push=hf://me/owl: give OWNER/NAME"),
        ("me/o wl", TOKEN, "--push=me/o wl: the Hub refuses it"),
        ("me/owl", "", "--push needs a login to the Hub: set HF_TOKEN"),
        ("me/owl", "hf_wrong", "--push=me/owl: the Hub refuses it: .*401"),
    ],
)
def test_a_push_that_will_be_refused_is_refused_before_the_export(
    repository: str,
    token: str,
    message: str,
    untrained: Path,
    hub: type[Hub],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(UserError, match=message):
        export_hub(untrained, tmp_path / "owl", push=repository)
    assert not list(tmp_path.iterdir())
    assert not hub.models
