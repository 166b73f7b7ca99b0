"""The record of a run: `run.yaml` and `run.json` in a folder of its own, and the run in MLflow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml

from echopair.lazy import np
from echopair.pipeline.config import RunConfig, as_given
from echopair.pipeline.embed import PRETRAINED, Embeddings
from echopair.pipeline.embedding_table import TableInfo, encoder_digest, write_clips
from echopair.pipeline.encoder_source import RECORD_FILE
from echopair.pipeline.evaluation.trained_classifier import CLASSIFIER_FILE, TrainedClassifier
from echopair.pipeline.layers import flatten
from echopair.pipeline.progress import console
from echopair.pipeline.run_page import PAGE_FILE, write_run_page
from echopair.pipeline.stages import Done, digest_values, file_name, locked, write_atomically
from echopair.pipeline.store import ClipStore
from echopair.pipeline.tracking import TrackedRun, tracking_uri
from echopair.pipeline.tracking.outputs import log_outputs, log_training
from echopair.pipeline.tracking.store import shown
from echopair.pipeline.training.callback import TrainingCallback
from echopair.pipeline.training.encoder_output import sounds

if TYPE_CHECKING:
    import pyarrow as pa

    from echopair.pipeline.run import RunResult

NOTE_TAG = "mlflow.note.content"  # MLflow shows it as the description of the run


@dataclass(frozen=True)
class RunRecord:
    """Where a run is recorded.

    Args:
        config: of the run.
        folder: below `runs/` of the work folder.
        tracked: the run in MLflow.
    """

    config: RunConfig
    folder: Path
    tracked: TrackedRun

    @classmethod
    def open(cls, config: RunConfig, clips: Mapping[str, Done]) -> Self:
        """Write `run.yaml`, and find the run in MLflow or create it.

        Args:
            config: of the run.
            clips: prepared clips by corpus.
        """
        digests = {name: [done.digest, done.marker["annotations_digest"]] for name, done in clips.items()}
        key = digest_values("run", config.run_name, _results_config(config), sounds(config), digests)
        folder = named_folder(config, "runs", key)
        folder.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(as_given(config), sort_keys=False)
        with locked(folder):  # the same run may be started twice at once
            write_atomically(folder / "run.yaml", text)
        work = config.work_folder.absolute()
        return cls(config, folder, TrackedRun.open(config.tracking, work, key, config.run_name))

    def callback(self) -> TrainingCallback:
        """Logs the training to MLflow as it goes."""
        return _TrackingCallback(self.config, self.tracked)

    def write(self, stage: str, result: RunResult) -> None:
        """Write `run.json` and bring the run's outputs to MLflow, unless they are all there.

        Args:
            stage: the last one that was done.
            result: of the run.
        """
        record = {
            "run_id": self.tracked.run_id,
            "tracking_uri": shown(tracking_uri(self.config.tracking, self.config.work_folder.absolute())),
            "stage": stage,
            "encoder": str(result.encoder),
            "clips": {corpus: str(done.folder) for corpus, done in result.clips.items()},
            "evaluations": [summary["folder"] for summary in result.evaluations.values()],
        }
        file = self.folder / RECORD_FILE
        tables, classifiers = result.tables.values(), result.classifiers.values()
        if (
            not result.did
            and self.tracked.finished
            and all(one.is_file() for one in (file, self.folder / PAGE_FILE, *tables, *classifiers))
            and json.loads(file.read_text()) == record
        ):
            return
        assert result.encoder is not None
        for corpus, table in result.tables.items():
            self._write_table(table, corpus, result)
        for (name, corpus), summary in result.evaluations.items():
            if (made := Path(summary["folder"], CLASSIFIER_FILE)).is_file():
                seconds = float(np.median(self._manifest(result, corpus)["seconds"]))
                classifier = TrainedClassifier.load(made).described(encoder_digest(result.encoder), seconds)
                classifier.save(result.classifiers[corpus])
                self.tracked.log_artifacts(result.classifiers[corpus], f"{name}/{corpus}")
        clips = {corpus: done.folder for corpus, done in result.clips.items()}
        with console.status("recording the run in MLflow"):
            note = write_run_page(self.folder, self.config, clips, result.encoder.parent, result.evaluations)
            log_outputs(self.tracked, self.config, result)
            self.tracked.log_artifacts(self.folder / PAGE_FILE)
            self.tracked.log_tags({NOTE_TAG: note})
        with locked(self.folder):
            write_atomically(file, json.dumps(record, indent=2) + "\n")

    def _write_table(self, file: Path, corpus: str, result: RunResult) -> None:
        assert result.encoder is not None
        clips, embeddings = result.clips[corpus], result.embeddings[corpus, PRETRAINED]
        inputs = [clips.marker["key"], clips.marker["annotations_digest"]]
        info = TableInfo.of(result.encoder, result.encoder, None, None, inputs)
        values = Embeddings.load(embeddings.folder).values
        write_clips(file, self._manifest(result, corpus), result.recordings[corpus], values, info)

    def _manifest(self, result: RunResult, corpus: str) -> pa.Table:
        return ClipStore(result.clips[corpus].folder, self.config.log_mel.sample_rate_hz).manifest


class _TrackingCallback(TrainingCallback):
    """Logs a training to the run in MLflow."""

    def __init__(self, config: RunConfig, tracked: TrackedRun) -> None:
        self._config = config
        self._tracked = tracked

    def on_begin(self) -> None:
        self._tracked.log_parameters(dict(flatten(self._config.model_dump(mode="json"))))

    def on_metrics(self, rows: list[dict[str, float]]) -> None:
        log_training(self._tracked, rows)


def named_folder(config: RunConfig, kind: str, key: str) -> Path:
    """The folder of a run or preview below the work folder, named after the run.

    Args:
        config: of the run.
        kind: as `runs`.
        key: of all that decides what is in it.
    """
    return config.work_folder.absolute() / kind / f"{file_name(config.run_name)}-{key[:8]}"


def _results_config(config: RunConfig) -> dict[str, Any]:
    """The config without what changes no result and without where the recordings are."""
    values = config.model_dump(
        mode="json", exclude={"work_folder", "tracking", "run_name", "threads", "prepare", "corpora", "ray"}
    )
    values |= {"pretrain": config.learning.key_inputs()["pretrain"]}
    return values | {"learns_from": config.pretrain_corpora, "probes": config.probe_corpora}
