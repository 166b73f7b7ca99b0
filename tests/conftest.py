"""The order of all tests, and MLflow's tables, which are made once."""

import shutil
from collections.abc import Iterator
from functools import wraps
from pathlib import Path

import pytest

from echopair.pipeline.tracking import client
from echopair.pipeline.tracking.store import sqlite_file
from tests.ray_nodes import ray_cluster  # noqa: F401  (a fixture)

LONGEST = (
    "tests/tuning/",
    "tests/pipeline/training/test_ray_pretrain.py",
    "tests/pipeline/test_ray_workers.py",
    "tests/models/methods/test_shared_batches.py",
    "tests/pipeline/explore/test_page.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests, so that processes which share them end at about the same time."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.fixture(scope="session", autouse=True)
def copied_tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make MLflow's tables, which takes two seconds, for the first store of this process, and copy them for the others.

    Processes that tests start make their own.
    """
    make = client._make_database
    template = tmp_path_factory.mktemp("tables") / "mlflow.db"

    @wraps(make)
    def make_or_copy(uri: str, work_folder: Path) -> None:
        path = sqlite_file(uri)
        if path is None or path.stat().st_size or not template.is_file():
            make(uri, work_folder)
            if path is not None and not template.is_file():
                shutil.copyfile(path, template)
        else:
            shutil.copyfile(template, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "_make_database", make_or_copy)
        yield
