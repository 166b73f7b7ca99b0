"""Tracking of runs in MLflow. Only `client` and `mlflow_encoder` import mlflow, when it is first needed."""

from echopair.pipeline.tracking.client import check_tracking
from echopair.pipeline.tracking.runs import RunSummary, list_runs
from echopair.pipeline.tracking.store import (
    KIND_TAG,
    PREVIEW_KIND,
    TrackingConfig,
    TrackingError,
    tracking_uri,
)
from echopair.pipeline.tracking.tracked_run import TrackedRun

__all__ = [
    "KIND_TAG",
    "PREVIEW_KIND",
    "RunSummary",
    "TrackedRun",
    "TrackingConfig",
    "TrackingError",
    "check_tracking",
    "list_runs",
    "tracking_uri",
]
