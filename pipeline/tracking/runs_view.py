"""The view of the runs that `echopair ui` opens: a table with scores, temperature and strength as columns.

MLflow keeps a shared view in a tag of the experiment; an address with the name of the view opens it.
"""

import json
from pathlib import Path

from echopair.pipeline.tracking.client import connect, explained
from echopair.pipeline.tracking.runs import list_runs
from echopair.pipeline.tracking.store import TrackingConfig, tracking_uri

VIEW_NAME = "echopair"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW_NAME}"
SCORE_NAMES = ("accuracy", "mean_average_precision")
PARAMETERS = ("objective.temperature", "augment.strength")


def runs_view_path(config: TrackingConfig, work_folder: Path) -> str:
    """Store the view in the experiment, and return its address on the server, from `/#/`.

    Raises:
        TrackingError: the store is unreachable or damaged.
    """
    runs = list_runs(config, work_folder)
    scores = sorted({key for run in runs for key in run.metrics if key.rpartition("/")[2] in SCORE_NAMES})
    parameters = [key for key in PARAMETERS if any(key in run.parameters for run in runs)]
    view: dict[str, object] = {
        "selectedColumns": [
            *(f"metrics.`{key}`" for key in scores),
            *(f"params.`{key}`" for key in parameters),
            "attributes.`Duration`",
        ]
    }
    if scores:
        view |= {"orderByKey": f"metrics.`{scores[0]}`", "orderByAsc": False}
    client, experiment_id = connect(config, work_folder)
    with explained(tracking_uri(config, work_folder)):
        client.set_experiment_tag(experiment_id, VIEW_TAG, json.dumps(view))
    return f"/#/experiments/{experiment_id}/runs?viewStateShareKey={VIEW_NAME}"
