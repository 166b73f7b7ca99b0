"""Runs in MLflow: parameters, metrics, data sets, artifacts and the encoder.

The module uses MlflowClient with an explicit address and none of MLflow's global state, so that several
pipelines and the trials of a sweep can share a process and a store.
"""

import contextlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from echopair.pipeline.tracking.client import connect, explained, load_mlflow, one_at_a_time, undivided
from echopair.pipeline.tracking.model import log_model
from echopair.pipeline.tracking.provenance import git_commit, user_name
from echopair.pipeline.tracking.series import METRICS_PER_REQUEST, PendingSeries, metric_value, name_of
from echopair.pipeline.tracking.store import (
    RUN_TAG,
    TrackingConfig,
    TrackingError,
    require_answer,
    sqlite_file,
    store_kind,
    tracking_uri,
)

# Limits of MLflow.
PARAMETERS_PER_REQUEST = 100
PARAMETER_CHARACTERS = 6000
TAG_CHARACTERS = 8000
DIGEST_CHARACTERS = 36
RESERVE_BYTES = 1 << 18
# How SQLite, PostgreSQL and MySQL call a row that is there already.
TWICE = ("IntegrityError", "UniqueViolation", "Duplicate entry")

logger = logging.getLogger(__name__)


class TrackedRun:
    """The one MLflow run of a pipeline, also when the pipeline is killed and started again.

    A pipeline that starts again finds its run by its key and continues it. What it logs again is stored once.
    Every method but `log_series` raises TrackingError if the store fails.
    """

    def __init__(self, client: Any, experiment_id: str, run: Any, config: TrackingConfig, uri: str) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._config = config
        self._uri = uri
        self._series = PendingSeries()
        self.run_id: str = run.info.run_id
        self.finished: bool = run.info.status == "FINISHED"

    @classmethod
    def open(
        cls,
        config: TrackingConfig,
        work_folder: Path,
        key: str,
        name: str,
        tags: Mapping[str, str] | None = None,
    ) -> Self:
        """Find the run with this key, or create it.

        Args:
            config: the store.
            work_folder: folder of the pipeline's outputs.
            key: letters and digits, of the pipeline's inputs and config.
            name: the run's name in MLflow.
            tags: more tags.
        """
        client, experiment_id = connect(config, work_folder)
        uri = tracking_uri(config, work_folder)
        return cls._found(client, experiment_id, config, uri, key, name, tags)

    def beside(self, key: str, name: str, tags: Mapping[str, str] | None = None) -> Self:
        """Open another run of the same experiment with the same connection, as `open` does."""
        return self._found(self._client, self._experiment_id, self._config, self._uri, key, name, tags)

    @classmethod
    def _found(
        cls,
        client: Any,
        experiment_id: str,
        config: TrackingConfig,
        uri: str,
        key: str,
        name: str,
        tags: Mapping[str, str] | None,
    ) -> Self:
        origin = {
            "mlflow.source.name": "echopair",
            "mlflow.user": user_name(),
            "mlflow.source.git.commit": git_commit(),
        }
        all_tags = {
            RUN_TAG: key,
            **{tag: value for tag, value in origin.items() if value},
            **(tags or {}),
        }
        with explained(uri), one_at_a_time(uri):
            found = client.search_runs(
                [experiment_id],
                f"tags.`{RUN_TAG}` = '{key}'",
                max_results=1,
                order_by=["attributes.start_time ASC"],
            )
            if not found:
                run = client.create_run(experiment_id, tags=all_tags, run_name=name)
            else:
                run = found[0]
                if run.info.status != "FINISHED":
                    client.update_run(run.info.run_id, status="RUNNING", name=name)
                    run_tags = [load_mlflow().entities.RunTag(tag, value) for tag, value in all_tags.items()]
                    client.log_batch(run.info.run_id, tags=run_tags)
        tracked = cls(client, experiment_id, run, config, uri)
        if not found:
            tracked._series.stored_steps = {}
        return tracked

    def log_parameters(self, flat: Mapping[str, Any]) -> list[str]:
        """Log parameters, 100 per request; values over 6000 characters are cut.

        Returns:
            Names that the run has with another value; MLflow cannot replace values and keeps the first.
        """
        cut = {name_of(key): str(value)[:PARAMETER_CHARACTERS] for key, value in flat.items()}
        with explained(self._uri):
            stored = self._client.get_run(self.run_id).data.params
            new = [
                load_mlflow().entities.Param(key, value) for key, value in cut.items() if key not in stored
            ]
            for first in range(0, len(new), PARAMETERS_PER_REQUEST):
                self._client.log_batch(self.run_id, params=new[first : first + PARAMETERS_PER_REQUEST])
        return [key for key, value in cut.items() if key in stored and stored[key] != value]

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Log final metrics, such as accuracies; for those of the training see `log_series`."""
        milliseconds = int(time.time() * 1000)
        values = {name_of(key): metric_value(value) for key, value in metrics.items()}
        with explained(self._uri):
            stored = {metric.key: (metric.value, metric.step) for metric in self._stored_metrics()}
            entities = [
                load_mlflow().entities.Metric(key, value, milliseconds, 0)
                for key, value in values.items()
                if stored.get(key) != (value, 0)
            ]
            for first in range(0, len(entities), METRICS_PER_REQUEST):
                self._client.log_batch(self.run_id, metrics=entities[first : first + METRICS_PER_REQUEST])

    def log_series(self, rows: Iterable[Mapping[str, Any]]) -> bool:
        """Log rows of metrics during training; never raises because of the store.

        Only values whose step is later than the last stored step of their metric are sent, so rows may be
        given twice: after a killed run is opened again, give all rows of `metrics.jsonl`, then each new row.
        Values that a lost server did not receive are kept, and sent first when the server is back; the
        attempts are 30 s apart at first, then at growing intervals. The first failure is logged as a warning.

        Args:
            rows: metrics by name, and `step`, an integer that increases from row to row; values that are no
                numbers are left out, infinite ones become NaN (MLflow would plot them as 1.8e308).

        Returns:
            Whether everything is sent.
        """
        self._series.add(rows)
        if self._series.may_try():
            try:
                self.flush()
            except TrackingError as error:
                if self._series.failed():
                    logger.warning("%s; training continues, its metrics will be sent later", error)
        return self._series.empty

    def send_series(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """As `log_series`, for callers that retry themselves: sends immediately, and raises TrackingError."""
        self._series.add(rows)
        self.flush()

    def flush(self) -> None:
        """Send all metrics that are not sent yet, whenever the last attempt was."""
        if self._series.empty:
            return
        metric = load_mlflow().entities.Metric
        try:
            if store_kind(self._uri) == "http":
                require_answer(self._uri, self._config.connect_seconds)
            with explained(self._uri):
                if self._series.stored_steps is None:
                    self._series.stored_steps = {metric.key: metric.step for metric in self._stored_metrics()}
                for batch in self._series.batches():
                    with undivided(self._uri):
                        self._client.log_batch(self.run_id, metrics=[metric(*point) for point in batch])
        except TrackingError:
            self._series.stored_steps = None  # the store may have the request although its answer was lost
            raise

    def _stored_metrics(self) -> Any:
        return self._client.get_run(self.run_id).data.to_proto().metrics

    def log_dataset(
        self,
        name: str,
        digest: str,
        source: str,
        context: Literal["pretrain", "probe"],
        rows: int,
        **profile: Any,
    ) -> None:
        """Log a data set that the run used.

        Args:
            name: of the corpus.
            digest: of its content; MLflow keeps 36 characters.
            source: its folder, file or address.
            context: its use; a corpus with both uses is logged twice.
            rows: clips.
            profile: more properties, such as hours.
        """
        entities = load_mlflow().entities
        # MLflow keeps one use of a data set per run; the context in the digest makes the two uses different data sets.
        unique = f"{context}-{digest}"[:DIGEST_CHARACTERS]
        dataset = entities.Dataset(
            name=name,
            digest=unique,
            source_type="local",
            source=json.dumps({"uri": source}),
            profile=json.dumps({"num_rows": rows, **profile}),
        )
        tag = entities.InputTag("mlflow.data.context", context)
        for attempt in range(2):
            try:
                with explained(self._uri):
                    self._client.log_inputs(self.run_id, [entities.DatasetInput(dataset, [tag])])
                return
            except TrackingError as error:
                # An equal run stored the same data set in between: now it is found.
                if attempt or not any(word in str(error) for word in TWICE):
                    raise

    def log_artifacts(self, folder_or_file: Path, artifact_path: str | None = None) -> None:
        """Store a file, or the content of a folder, in a folder of the run's artifacts."""
        with explained(self._uri):
            if Path(folder_or_file).is_dir():
                self._client.log_artifacts(self.run_id, str(folder_or_file), artifact_path)
            else:
                self._client.log_artifact(self.run_id, str(folder_or_file), artifact_path)

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags, replacing existing ones; values over 8000 characters are cut."""
        entities = [load_mlflow().entities.RunTag(key, value[:TAG_CHARACTERS]) for key, value in tags.items()]
        with explained(self._uri), undivided(self._uri):
            self._client.log_batch(self.run_id, tags=entities)

    def log_encoder(self, encoder_folder: Path) -> str:
        """Store the encoder as a model for `mlflow.pyfunc.load_model`: code and weights, without a pickle.

        Its `predict` takes recordings of any length; see `mlflow_encoder.py`.

        Returns:
            The model's address, `models:/...`; `runs:/<run_id>/encoder` is the same model.
        """
        with explained(self._uri):
            return log_model(self._client, self._experiment_id, self.run_id, encoder_folder)

    @contextlib.contextmanager
    def until_end(self) -> Iterator[None]:
        """End the run with the outcome of the body; an error of the store does not replace an error of the body."""
        path = sqlite_file(self._uri)
        try:
            with contextlib.ExitStack() as reserve:
                if path is not None:  # on a full disk, room for the end of the run
                    file = reserve.enter_context(tempfile.TemporaryFile(dir=path.parent))
                    os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
                yield
        except BaseException as error:
            with contextlib.suppress(TrackingError):
                self.end("KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED")
            raise
        self.end("FINISHED")

    def end(self, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
        """Send the remaining metrics and set the status, unless the run had finished before and finishes again."""
        if self.finished and status == "FINISHED":
            return
        try:
            self.flush()
        finally:
            with explained(self._uri), undivided(self._uri):
                self._client.set_terminated(self.run_id, status)
        self.finished = status == "FINISHED"
