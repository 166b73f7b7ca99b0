"""Logs the outputs of a run to MLflow."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from echopair.pipeline.config import RunConfig
from echopair.pipeline.corpora import CorpusConfig, SyntheticCorpusConfig
from echopair.pipeline.evaluation import EVALUATIONS
from echopair.pipeline.layers import flatten
from echopair.pipeline.stages import MARKER_FILE
from echopair.pipeline.tracking.tracked_run import TrackedRun
from echopair.pipeline.training.checkpoints import METRICS_FILE, PREVIEW_FOLDER, read_metrics

if TYPE_CHECKING:
    from echopair.pipeline.run import RunResult


def log_outputs(tracked: TrackedRun, config: RunConfig, result: "RunResult") -> None:
    """Log parameters, data sets, metrics, reports, figures and the encoder."""
    tracked.log_parameters(dict(flatten(config.model_dump(mode="json"))))
    for corpus, done in result.clips.items():
        marker = done.marker
        for context, names in (("pretrain", config.pretrain_corpora), ("probe", config.probe_corpora)):
            if corpus in names:
                tracked.log_dataset(
                    corpus,
                    done.digest,
                    _source(config.corpora[corpus]),
                    context,  # type: ignore[arg-type]
                    rows=int(marker["clips"]),
                    refused=marker["refused"],
                    seconds_of_audio=marker["seconds_of_audio"],
                )
        for report in ("report.html", "report.json"):
            tracked.log_artifacts(done.folder / report, f"prepare/{corpus}")
    if result.folder is not None:
        tracked.log_artifacts(result.folder / "run.yaml")
    if result.encoder is not None:
        _log_pretrain(tracked, result.encoder.parent)
        tracked.log_encoder(result.encoder)
    for (name, corpus), summary in result.evaluations.items():
        tracked.log_metrics(EVALUATIONS[name].metrics(corpus, summary))
        for file in sorted(Path(summary["folder"]).iterdir()):
            if file.suffix in (".json", ".csv", ".png") and file.name != MARKER_FILE:
                tracked.log_artifacts(file, f"{name}/{corpus}")


def log_training(tracked: TrackedRun, rows: Iterable[Mapping[str, float]]) -> None:
    """Log rows of the training's metrics; rows that the store has are not sent again."""
    tracked.log_series(training_series(rows))


def training_series(rows: Iterable[Mapping[str, float]]) -> Iterator[dict[str, float]]:
    """Rows of the training's metrics under the names that the MLflow UI shows, as `pretrain/loss`."""
    for row in rows:
        yield {f"pretrain/{name}" if name != "step" else name: value for name, value in row.items()}


def _log_pretrain(tracked: TrackedRun, folder: Path) -> None:
    log_training(tracked, read_metrics(folder))
    tracked.log_artifacts(folder / METRICS_FILE, "pretrain")
    for file in sorted((folder / PREVIEW_FOLDER).iterdir()):
        tracked.log_artifacts(file, "positive_pairs" if file.name.startswith("pair") else "pretrain")


def _source(corpus: CorpusConfig) -> str:
    """The root of a corpus's recordings, or "generated"."""
    return "generated" if isinstance(corpus, SyntheticCorpusConfig) else str(corpus.root)
