"""Reads the runs of the tracking store, for tables that compare them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from echopair.pipeline.tracking.client import connect, explained
from echopair.pipeline.tracking.store import KIND_TAG, RUN_TAG, TrackingConfig, sqlite_file, tracking_uri


@dataclass(frozen=True)
class RunSummary:
    """What a table shows of a run."""

    name: str
    run_id: str
    status: str
    start: datetime
    duration_seconds: float | None  # None: still running
    metrics: dict[str, float]
    parameters: dict[str, str]
    tags: dict[str, str]


def list_runs(config: TrackingConfig, work_folder: Path) -> list[RunSummary]:
    """Runs of the pipeline in the experiment, the latest first; none if there is no database yet.

    Raises:
        TrackingError: the store is unreachable or damaged.
    """
    uri = tracking_uri(config, work_folder)
    path = sqlite_file(uri)
    if path is not None and not path.exists():
        return []
    runs = _search(config, work_folder, "")
    return [run for run in runs if RUN_TAG in run.tags and KIND_TAG not in run.tags]


def tagged_runs(config: TrackingConfig, work_folder: Path, tag: str, value: str) -> list[RunSummary]:
    """Runs with a tag, the latest first.

    Raises:
        TrackingError: the store is unreachable or damaged.
    """
    return _search(config, work_folder, f"tags.`{tag}` = '{value}'")


def _search(config: TrackingConfig, work_folder: Path, condition: str) -> list[RunSummary]:
    client, experiment_id = connect(config, work_folder)
    runs: list[Any] = []
    token: str | None = None
    with explained(tracking_uri(config, work_folder)):
        while True:
            page = client.search_runs(
                [experiment_id], condition, order_by=["attributes.start_time DESC"], page_token=token
            )
            runs += page
            token = page.token
            if not token:
                return [_summary(run) for run in runs]


def _summary(run: Any) -> RunSummary:
    info = run.info
    ended = info.status != "RUNNING" and info.end_time is not None
    return RunSummary(
        name=info.run_name,
        run_id=info.run_id,
        status=info.status,
        start=datetime.fromtimestamp(info.start_time / 1000, UTC),
        duration_seconds=(info.end_time - info.start_time) / 1000 if ended else None,
        metrics=dict(run.data.metrics),
        parameters=dict(run.data.params),
        tags=dict(run.data.tags),
    )
