"""Trainings that several tests compare with."""

from pathlib import Path

import pytest

from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.pretrain import pretrain
from tests.pipeline.training.trainings import CHANGES, learning


@pytest.fixture(scope="session")
def uninterrupted(store: ClipStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    pretrain([store], learning(), folder)
    return folder


@pytest.fixture(scope="session")
def scheduled(store: ClipStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scheduled")
    pretrain([store], learning(schedule=CHANGES, workers=0), folder)
    return folder
