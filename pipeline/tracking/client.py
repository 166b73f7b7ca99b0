"""Imports MLflow when it is first needed, connects to the store, and converts MLflow's errors to TrackingError."""

import functools
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from echopair.pipeline.errors import system_failure
from echopair.pipeline.stages import locked
from echopair.pipeline.tracking.interruption import defer_interruption
from echopair.pipeline.tracking.store import (
    TrackingConfig,
    TrackingError,
    artifacts_folder,
    require_answer,
    shown,
    sqlite_file,
    store_kind,
    tracking_uri,
)

# Set unless the user has set them. With MLflow's default of seven retries a call to a dead server takes four minutes.
ENVIRONMENT = {
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


@functools.cache
def load_mlflow() -> Any:
    """The mlflow package, imported when it is first needed since that takes seconds."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it warns of every retry
    # It prints a traceback of every error, which `explained` says in a line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    import mlflow
    import mlflow.pyfunc

    # MLflow reads its level on import, and another module may have imported it before.
    logging.getLogger("mlflow").setLevel(os.environ["MLFLOW_LOGGING_LEVEL"].upper())
    # It would list all installed packages, for two seconds, to compare a model's requirements with them; ours are made
    # from them.
    mlflow.utils.environment.warn_dependency_requirement_mismatches = (  # type: ignore[attr-defined]
        lambda *_: None
    )
    return mlflow


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Convert an error of the store to a TrackingError that names the store."""
    from sqlalchemy.exc import SQLAlchemyError

    mlflow = load_mlflow()  # before the body: an interrupted import leaves mlflow half imported
    try:
        yield
    except (mlflow.MlflowException, SQLAlchemyError, OSError) as error:
        reason = (
            system_failure(error) or shown((str(error).strip() or type(error).__name__).splitlines()[0])[:300]
        )
        raise TrackingError(f"MLflow store {shown(uri)} failed: {reason}") from error


@contextmanager
def undivided(uri: str) -> Iterator[None]:
    """Delay Ctrl-C until a write to a database is complete; a server handles its transactions itself."""
    with nullcontext() if store_kind(uri) == "http" else defer_interruption():
        yield


@contextmanager
def one_at_a_time(uri: str) -> Iterator[None]:
    """Lock a SQLite store: several processes that create it at the same time corrupt it."""
    path = sqlite_file(uri)
    if path is None:
        yield
    else:
        with locked(path):
            yield


def connect(config: TrackingConfig, work_folder: Path) -> tuple[Any, str]:
    """Client of the store and the experiment's id; creates the database and the experiment if they are missing.

    Raises:
        TrackingError: the store does not answer within `connect_seconds`, is damaged or of an unknown kind,
            or the experiment accepts no runs.
    """
    uri = tracking_uri(config, work_folder)
    is_server = store_kind(uri) == "http"
    require_answer(uri, config.connect_seconds)
    with explained(uri), one_at_a_time(uri):
        _make_database(uri, work_folder)
        client = load_mlflow().MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(config.experiment)
        if experiment is None:
            location = None if is_server else artifacts_folder(work_folder).as_uri()
            try:
                client.create_experiment(
                    config.experiment,
                    artifact_location=location,
                    # Without it MLflow's UI guesses the kind of the experiment.
                    tags={"mlflow.experimentKind": "custom_model_development"},
                )
            except load_mlflow().MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
                    raise
            experiment = client.get_experiment_by_name(config.experiment)
    if experiment.lifecycle_stage == "deleted":
        raise TrackingError(
            f"MLflow experiment {config.experiment} was deleted: choose another tracking.experiment, or "
            f"restore it with `mlflow experiments restore --experiment-id {experiment.experiment_id}`"
        )
    if not is_server and experiment.artifact_location.startswith("mlflow-artifacts:"):
        raise TrackingError(
            f"MLflow experiment {config.experiment} was created through a server, and only the server can store its "
            "files: set tracking.uri to the address of the server, or choose another tracking.experiment"
        )
    return client, str(experiment.experiment_id)


def _make_database(uri: str, work_folder: Path) -> None:
    """Create MLflow's tables in a temporary file: a process killed meanwhile would leave an unusable database."""
    path = sqlite_file(uri)
    if path is None or path.stat().st_size:  # `require_answer` has made it, empty
        return
    load_mlflow()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    aside = path.with_name(path.name + ".new")
    for left in (aside, aside.with_name(aside.name + "-journal")):
        left.unlink(missing_ok=True)
    store = SqlAlchemyStore(f"sqlite:///{aside}", artifacts_folder(work_folder).as_uri())
    store.engine.dispose()
    aside.replace(path)


def check_tracking(config: TrackingConfig, work_folder: Path) -> None:
    """Check before the work starts that runs can be logged; creates the database and the experiment.

    Raises:
        TrackingError: see `connect`.
    """
    connect(config, work_folder)
