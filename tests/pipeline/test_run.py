"""The whole pipeline on a small folder, with a real MLflow store."""

import csv
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from mlflow import MlflowClient
from rich.console import Console

from echopair import AudioEncoder
from echopair.pipeline import stages
from echopair.pipeline.augmentation_page.preview import preview
from echopair.pipeline.checks import Stage
from echopair.pipeline.cli import main
from echopair.pipeline.config import RunConfig, compose
from echopair.pipeline.corpora.folder import FolderCorpusConfig
from echopair.pipeline.embed import Embeddings
from echopair.pipeline.embedding_table import read_info
from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluation import EVALUATIONS, Evaluation, ResultTable, Summary
from echopair.pipeline.evaluation.probe import probe_table
from echopair.pipeline.export.training_record import training_record
from echopair.pipeline.label import label as label_windows
from echopair.pipeline.objectives_comparison import compare_objectives, comparison_of_objectives
from echopair.pipeline.results import comparison_table
from echopair.pipeline.run import RunResult, run
from echopair.pipeline.run_record import RunRecord
from echopair.pipeline.store import ClipStore
from echopair.pipeline.tracking import TrackingConfig, list_runs
from tests.pipeline.conftest import write_tones
from tests.processes import start_echopair


def write_config(folder: Path) -> Path:
    """A corpus in class folders and a run on it that takes seconds."""
    for label in ("low", "high"):
        (folder / "recordings" / label).mkdir(parents=True)
    for recording in write_tones(folder):
        recording.path.rename(folder / "recordings" / recording.labels[0] / recording.path.name)
    file = folder / "my.yaml"
    file.write_text(
        f"""
run_name: tones
work_folder: {folder / "work"}
corpora:
  tones: {{name: folder, root: {folder / "recordings"}}}
prepare: {{workers: 1}}
crops: {{crop_seconds: 0.32}}
encoder: {{name: resnet, width: 8, stem: patch, blocks: [1, 1]}}
pretrain: {{steps: 6, batch_pairs: 8, log_every_steps: 2, device: cpu}}
embed: {{device: cpu}}
probe: {{folds: 3}}
"""
    )
    return file


@pytest.fixture(scope="module")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def config(config_file: Path) -> RunConfig:
    return compose(str(config_file))


@pytest.fixture(scope="module")
def first(config: RunConfig) -> RunResult:
    return run(config)


def accuracy(result: RunResult) -> float:
    return float(result.evaluations["probe", "tones"]["features"]["pretrained"]["score"])


def client(config: RunConfig) -> MlflowClient:
    return MlflowClient(f"sqlite:///{config.work_folder}/mlflow.db")


def test_every_stage_leaves_its_output(first: RunResult) -> None:
    assert first.did == [
        "prepare tones",
        "pretrain",
        "embed tones, mel statistics",
        "embed tones, untrained",
        "embed tones, pretrained",
        "probe tones",
    ]
    assert first.encoder is not None
    assert {file.name for file in first.encoder.iterdir()} == {"encoder.json", "encoder.safetensors"}
    assert {"report.html", "report.json", "manifest.parquet", "done.json"} <= {
        file.name for file in first.clips["tones"].folder.iterdir()
    }
    assert {file.name for file in Path(first.evaluations["probe", "tones"]["folder"]).iterdir()} == {
        "accuracy.png",
        "classifier.safetensors",
        "confusion_matrix.csv",
        "confusion_matrix.png",
        "done.json",
        "per_class.csv",
        "probe.json",
    }


def test_the_encoder_has_a_record_of_its_training(first: RunResult) -> None:
    assert first.encoder is not None
    record = training_record(first.encoder)
    assert record is not None
    assert record.config == first.config
    assert (record.figures["steps"], record.reports["tones"]["clips"]) == (6, 24)
    assert [one["features"]["pretrained"]["score"] for one in record.probes] == [accuracy(first)]


def test_the_probe_s_baselines_stand_beside_it(first: RunResult) -> None:
    features = first.evaluations["probe", "tones"]["features"]
    assert list(features) == ["chance", "mel statistics", "untrained", "pretrained"]
    assert features["chance"]["score"] == pytest.approx(0.5, abs=0.1)
    assert features["mel statistics"]["score"] > 0.9  # low and high tones
    low, high = features["pretrained"]["interval"]
    assert low <= features["pretrained"]["score"] <= high
    assert len(probe_table(first.evaluations["probe", "tones"]).rows) == 4


def test_a_second_run_does_nothing(first: RunResult, config: RunConfig) -> None:
    again = run(config)
    assert again.did == []
    assert again.run_id == first.run_id
    assert again.evaluations == first.evaluations
    assert again.seconds < 15


def test_a_store_that_fails_at_the_end_hides_no_result(
    first: RunResult, config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "runs.db"
    again = config.model_copy(
        update={"run_name": "lost", "tracking": TrackingConfig(uri=f"sqlite:///{database}")}
    )
    write = RunRecord.write

    def lose_and_write(self: RunRecord, stage: str, result: RunResult) -> None:
        database.rename(tmp_path / "aside.db")
        database.write_bytes(b"no database" * 1000)
        write(self, stage, result)

    with monkeypatch.context() as patch:
        patch.setattr(RunRecord, "write", lose_and_write)
        result = run(again)
    assert result.evaluations == first.evaluations
    assert f"MLflow store sqlite:///{database} failed" in result.unrecorded
    (tmp_path / "aside.db").replace(database)
    assert not run(again).unrecorded
    assert [one.status for one in list_runs(again.tracking, config.work_folder)] == ["FINISHED"]


def test_the_embed_stage_is_what_a_user_gets(first: RunResult, config: RunConfig) -> None:
    assert first.encoder is not None
    encoder = AudioEncoder.load(first.encoder, device="cpu")
    (folder,) = (config.work_folder / "embeddings").glob("tones-pretrained-*")
    stored = np.load(folder / "embeddings.npz")["embeddings"]
    store = ClipStore(first.clips["tones"].folder, 16000)
    for clip in (0, int(store.samples.argmin()), int(store.samples.argmax())):
        embedding = encoder.embed(store.read(clip), 16000)
        torch.testing.assert_close(embedding, torch.from_numpy(stored[clip]), rtol=2e-2, atol=2e-2)


def test_the_embeddings_of_a_run_are_a_table_with_labels_and_folds(
    first: RunResult, config: RunConfig
) -> None:
    assert first.folder is not None
    assert first.tables == {"tones": first.folder / "embeddings-tones.parquet"}
    rows = pq.read_table(first.tables["tones"])
    manifest = ClipStore(first.clips["tones"].folder, 16000).manifest
    for name in ("labels", "fold"):
        assert rows[name].to_pylist() == manifest[name].to_pylist()
    root = config.corpora["tones"].root  # type: ignore[union-attr]
    assert rows["path"].to_pylist() == [str(root / path) for path in manifest["path"].to_pylist()]
    assert rows["end_seconds"].to_pylist() == manifest["seconds"].to_pylist()
    stored = np.load(first.embeddings["tones", "pretrained"].folder / "embeddings.npz")["embeddings"]
    np.testing.assert_array_equal(np.stack(rows["embedding"].to_numpy()), stored)
    assert read_info(first.tables["tones"]).window_seconds is None


def test_the_classifier_of_a_run_labels_what_its_encoder_embeds(first: RunResult, tmp_path: Path) -> None:
    assert first.folder is not None
    assert first.classifiers == {"tones": first.folder / "classifier-tones.safetensors"}
    done = label_windows(first.tables["tones"], first.classifiers["tones"], out=tmp_path / "labels.csv")
    with done.out.open(encoding="utf-8", newline="") as lines:
        given = [row["labels"] for row in csv.DictReader(lines)]
    true = pq.read_table(first.tables["tones"])["labels"].to_pylist()
    known = [(name, [name] == names) for name, names in zip(given, true, strict=True) if name]
    assert len(known) > 12
    assert sum(is_right for _, is_right in known) > 0.9 * len(known)  # of clips that it learned from
    assert first.run_id is not None
    logged = {one.path for one in client(first.config).list_artifacts(first.run_id, "probe/tones")}
    assert "probe/tones/classifier-tones.safetensors" in logged


def test_the_embed_stage_embeds_corpora_without_labels(config: RunConfig, tmp_path: Path) -> None:
    tones = config.corpora["tones"]
    unlabelled = FolderCorpusConfig(root=tones.root, labels="none")  # type: ignore[union-attr]
    corpora = {"tones": tones, "unlabelled": unlabelled}
    learning = config.pretrain.model_copy(update={"corpora": ("tones",)})
    both = config.model_copy(update={"corpora": corpora, "pretrain": learning, "work_folder": tmp_path})
    result = run(both, Stage.EMBED)
    assert {corpus for corpus, _ in result.embeddings} == {"tones", "unlabelled"}
    assert pq.read_table(result.tables["unlabelled"])["labels"].to_pylist()[0] == []


def test_everything_is_in_mlflow(first: RunResult, config: RunConfig) -> None:
    assert first.run_id is not None
    stored = client(config).get_run(first.run_id)
    assert stored.info.status == "FINISHED"
    assert stored.info.run_name == "tones"
    assert stored.data.params["objective.temperature"] == "0.2"
    assert stored.data.metrics["tones/accuracy"] == accuracy(first)
    baselines = {"tones/untrained", "tones/mel_statistics", "tones/chance", "tones/macro_accuracy"}
    assert baselines <= set(stored.data.metrics)
    steps = [metric.step for metric in client(config).get_metric_history(first.run_id, "pretrain/loss")]
    assert steps == [2, 4, 6]
    assert {entry.dataset.name for entry in stored.inputs.dataset_inputs} == {"tones"}
    assert len(stored.inputs.dataset_inputs) == 2  # to learn from, and to probe
    names = {
        file.path
        for folder in ("", "prepare/tones", "positive_pairs", "pretrain", "probe/tones")
        for file in client(config).list_artifacts(first.run_id, folder)
    }
    assert {
        "run.yaml",
        "prepare/tones/report.html",
        "positive_pairs/pairs.png",
        "positive_pairs/pair-1-a.wav",
        "pretrain/training_curves.png",
        "pretrain/metrics.jsonl",
        "probe/tones/confusion_matrix.png",
        "probe/tones/per_class.csv",
    } <= names


def test_the_model_in_mlflow_embeds_waveforms_of_any_length(first: RunResult, config: RunConfig) -> None:
    assert first.encoder is not None
    mlflow.set_tracking_uri(f"sqlite:///{config.work_folder}/mlflow.db")
    model = mlflow.pyfunc.load_model(f"runs:/{first.run_id}/encoder")
    generator = np.random.default_rng(0)
    for samples in (2000, 50000):
        waveform = (0.1 * generator.normal(size=samples)).astype(np.float32)
        embedding = model.predict(waveform, params={"sample_rate_hz": 8000})
        expected = AudioEncoder.load(first.encoder).embed(waveform, 8000)
        np.testing.assert_allclose(embedding[0], expected, rtol=1e-4, atol=1e-4)


def test_a_changed_temperature_redoes_only_what_depends_on_it(first: RunResult, config_file: Path) -> None:
    changed = run(compose(str(config_file), ["objective.temperature=0.5"]))
    assert changed.did == ["pretrain", "embed tones, pretrained", "probe tones"]
    assert changed.clips["tones"].folder == first.clips["tones"].folder
    assert changed.run_id != first.run_id
    summaries = list_runs(changed.config.tracking, changed.config.work_folder)
    assert {summary.parameters["objective.temperature"] for summary in summaries} >= {"0.2", "0.5"}
    table = comparison_table(changed.config.tracking, changed.config.work_folder)
    assert "temperature" in [str(column.header) for column in table.columns]  # type: ignore[union-attr]


def test_a_new_probe_redoes_the_probe_alone(first: RunResult, config_file: Path) -> None:
    assert run(compose(str(config_file), ["probe.folds=4"])).did == ["probe tones"]


def test_objectives_are_compared_and_those_that_cannot_run_say_why(
    first: RunResult, config_file: Path, tmp_path: Path
) -> None:
    names = ["moco", "supervised_contrastive"]
    supervised, moco = compare_objectives([str(config_file)], ["pretrain.steps=2"], names)
    assert supervised.run is None
    assert "learns from the labels of 'tones'" in supervised.failure
    assert moco.run is not None
    assert moco.run.config.objective.name == "moco"
    with (tmp_path / "table").open("w") as file:
        console = Console(width=120, record=True, file=file)
        console.print(comparison_of_objectives([supervised, moco]))
    table = console.export_text()
    assert [line.split()[1] for line in table.splitlines()[3:-1]] == ["moco", "untrained", "mel", "chance"]
    assert "sound alone" in table
    assert "supervised" not in table


class ClipCount(Evaluation):
    """Counts clips: all that a new evaluation needs."""

    name = "clip_count"
    code_version = 1

    def settings(self, config: RunConfig, stores: Mapping[str, ClipStore], corpus: str) -> Any:
        return []

    def evaluate(
        self,
        config: RunConfig,
        stores: Mapping[str, ClipStore],
        corpus: str,
        features: Mapping[str, Embeddings],
        folder: Path,
    ) -> Summary:
        (folder / "counts.csv").write_text("clips\n24\n")
        return {"clips": len(features["pretrained"].values)}

    def metrics(self, corpus: str, summary: Summary) -> dict[str, float]:
        return {f"{corpus}/clips": summary["clips"]}

    def tables(self, summaries: Mapping[str, Summary]) -> list[ResultTable]:
        return [ResultTable(f"{corpus}: {one['clips']} clips embedded") for corpus, one in summaries.items()]


def test_a_registered_evaluation_is_run_cached_recorded_and_printed(
    first: RunResult,
    config_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(EVALUATIONS, "clip_count", ClipCount())
    monkeypatch.setattr(sys, "argv", ["echopair", "run", str(config_file), "run_name=counted"])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert "tones: 24 clips embedded" in capsys.readouterr().out
    again = run(compose(str(config_file), ["run_name=counted"]))
    assert again.did == []
    assert again.evaluations["clip_count", "tones"]["clips"] == 24
    assert again.run_id is not None
    assert client(again.config).get_run(again.run_id).data.metrics["tones/clips"] == 24
    files = client(again.config).list_artifacts(again.run_id, "clip_count/tones")
    assert {file.path.rpartition("/")[2] for file in files} == {"clip_count.json", "counts.csv"}


def test_a_stage_is_done_again_with_another_version_of_its_library(
    first: RunResult, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = {"scikit-learn": "99"}
    monkeypatch.setattr(stages, "version", lambda name: versions.get(name) or metadata.version(name))
    assert run(config).did == ["probe tones"]
    versions = {"torch": "99"}
    embedded = [f"embed tones, {name}" for name in ("mel statistics", "untrained", "pretrained")]
    assert run(config).did == ["pretrain", *embedded]  # of the same bits, which are probed already


def test_stages_one_by_one_are_the_run(config_file: Path, tmp_path: Path, first: RunResult) -> None:
    settings = compose(str(config_file), [f"work_folder={tmp_path}"])
    did = [run(settings, stage).did for stage in Stage]
    assert did == [first.did[:1], first.did[1:2], first.did[2:5], [], first.did[5:]]  # nothing is held out
    stored = [client(settings).get_run(summary.run_id) for summary in list_runs(settings.tracking, tmp_path)]
    assert len(stored) == 1
    assert stored[0].data.metrics["tones/accuracy"] == accuracy(first)


def test_a_killed_pipeline_goes_on_in_its_own_run_and_prints_its_results(
    config_file: Path, tmp_path: Path, first: RunResult
) -> None:
    arguments = ["run", config_file, f"work_folder={tmp_path}", "pretrain.checkpoint_every_seconds=0"]
    process = start_echopair(tmp_path / "said", *arguments)
    while not list(tmp_path.glob("encoders/*.partial/checkpoints/latest.pt")):
        assert process.status is None, "ended before it could be killed"
        time.sleep(0.002)
    process.kill()
    process.wait()
    # The console script itself, as a user starts it.
    command = [Path(sys.executable).with_name("echopair"), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "pretrained" in done.stdout
    assert f"echopair compare work_folder={tmp_path}, or" in done.stdout
    assert "encoder" in done.stdout
    assert "pretrain: continues after step" in done.stderr
    assert "prepare tones" not in done.stdout
    assert "Warning" not in done.stderr
    assert "INFO" not in done.stderr
    assert soundfile.info(next(tmp_path.rglob("pair-1-a.wav"))).duration == pytest.approx(0.32)
    settings = compose(str(config_file), [f"work_folder={tmp_path}"])
    (summary,) = list_runs(settings.tracking, tmp_path)
    assert summary.status == "FINISHED"
    assert first.encoder is not None
    (encoder,) = tmp_path.glob("encoders/resnet-*/encoder/encoder.safetensors")
    assert encoder.read_bytes() == (first.encoder / "encoder.safetensors").read_bytes()
    steps = [metric.step for metric in client(settings).get_metric_history(summary.run_id, "pretrain/loss")]
    assert steps == [2, 4, 6]


def test_a_stage_that_fails_ends_its_run_as_failed(config_file: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    soundfile.write(alone / "clip.wav", 0.1 * np.random.default_rng(0).normal(size=16000), 16000)
    corpus = f"corpora.alone={{name: folder, root: {alone}, labels: none}}"
    settings = compose(str(config_file), [corpus, "pretrain.corpora=[alone]", "run_name=alone"])
    with pytest.raises(UserError, match="the pretraining clips have 1 segment"):
        run(settings)
    summaries = list_runs(settings.tracking, settings.work_folder)
    assert [one.status for one in summaries if one.name == "alone"] == ["FAILED"]


def test_labels_never_reach_the_training(config_file: Path, first: RunResult) -> None:
    """The same recordings without labels: the same encoder, not trained again."""
    unlabelled = run(compose(str(config_file), ["corpora.tones.labels=none"]), Stage.PRETRAIN)
    assert unlabelled.did == ["prepare tones"]
    assert unlabelled.encoder == first.encoder


def test_a_preview_is_a_page_and_an_artifact_and_no_run_to_compare(config_file: Path) -> None:
    config = compose(
        [str(config_file)], ["augment.policy.augmentations=[polarity, waveform_gain, gain]", "run_name=seen"]
    )
    page = preview(config)
    assert page.name == "augmentations.html"
    text = page.read_text(encoding="utf-8")
    assert all(name in text for name in ("seen", "waveform gain", "polarity", "time mask"))
    assert preview(config) == page
    store = client(config)
    [experiment] = store.search_experiments(filter_string="name != 'Default'")
    [run_seen] = [
        one for one in store.search_runs([experiment.experiment_id]) if one.info.run_name == "preview of seen"
    ]
    assert run_seen.info.status == "FINISHED"
    assert [file.path for file in store.list_artifacts(run_seen.info.run_id)] == ["augmentations.html"]
    assert run_seen.data.params["augment.strength"] == "1.0"
    assert "preview of seen" not in {one.name for one in list_runs(config.tracking, config.work_folder)}


def test_labels_that_positives_were_chosen_by_belong_to_what_was_learned(
    config_file: Path, tmp_path: Path
) -> None:
    """The same sound with other labels makes another encoder."""
    roots = {}
    for name, rows in (
        ("one", "a.wav,x\nb.wav,x\nc.wav,y\nd.wav,y\n"),
        ("other", "a.wav,x\nb.wav,y\nc.wav,x\nd.wav,y\n"),
    ):
        roots[name] = tmp_path / name
        roots[name].mkdir()
        for file, seed in zip("abcd", range(4), strict=True):
            noise = 0.1 * np.random.default_rng(seed).normal(size=16000)
            soundfile.write(roots[name] / f"{file}.wav", noise, 16000)
        (roots[name] / "labels.csv").write_text(f"file,label\n{rows}")
    encoders = []
    for root in roots.values():
        overrides = [
            f"corpora.labelled={{name: table, root: {root}, table: labels.csv, path: '{{file}}', label: label}}",
            "pretrain.corpora=[labelled]",
            "probe.corpora=[tones]",
            "crops.positives.name=same_label",
            "crops.views=3",
            "pretrain.batch_pairs=4",
            "pretrain.steps=2",
        ]
        encoders.append(run(compose(str(config_file), overrides), Stage.PRETRAIN).encoder)
    assert encoders[0] != encoders[1]


def test_other_sounds_in_a_folder_make_another_encoder(config_file: Path, tmp_path: Path) -> None:
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    soundfile.write(sounds / "street.wav", 0.1 * np.random.default_rng(0).normal(size=32000), 16000)
    overrides = [
        f"augment.policy.augmentations=[{{name: background_noise, folder: {sounds}}}]",
        "pretrain.steps=2",
    ]
    config = compose(str(config_file), overrides)
    before = run(config, Stage.PRETRAIN)
    assert run(config, Stage.PRETRAIN).did == []
    soundfile.write(sounds / "brook.wav", 0.1 * np.random.default_rng(1).normal(size=32000), 16000)
    after = run(config, Stage.PRETRAIN)
    assert after.did == ["pretrain"]
    assert after.encoder != before.encoder


def test_labels_learned_from_are_not_probed_under_another_name(config_file: Path) -> None:
    root = compose(str(config_file)).corpora["tones"].root  # type: ignore[union-attr]
    overrides = [
        f"corpora.again={{name: folder, root: {root}}}",
        "pretrain.corpora=[again]",
        "probe.corpora=[tones]",
        "crops.positives.name=same_label",
        "pretrain.steps=2",
    ]
    config = compose(str(config_file), overrides)
    with pytest.raises(UserError, match="24 clips that corpus 'tones' holds too"):
        run(config)
    assert run(config, Stage.PRETRAIN).encoder is not None


@pytest.mark.parametrize(
    "learning", ["crops.positives.name=same_label", "objective.name=supervised_contrastive"]
)
def test_what_learns_from_labels_wants_labels(config_file: Path, tmp_path: Path, learning: str) -> None:
    overrides = ["corpora.tones.labels=none", learning, f"work_folder={tmp_path}"]
    with pytest.raises(UserError, match=f"{learning} needs labels, and no recording of tones has any"):
        run(compose(str(config_file), overrides), Stage.PRETRAIN)
    assert not (tmp_path / "clips").exists()


def test_crops_are_cut_from_log_mels_that_trainings_share(tmp_path: Path) -> None:
    file, of_clips = str(write_config(tmp_path)), "crops.log_mel_of=clip"
    first = run(compose(file, [of_clips]), Stage.PRETRAIN)
    assert "log-mels of tones" in first.did
    assert first.encoder is not None
    assert (first.encoder.parent / "preview" / "pairs.png").is_file()
    other = run(compose(file, [of_clips, "objective.temperature=0.5", "pretrain.workers=2"]), Stage.PRETRAIN)
    assert other.did == ["pretrain"]
