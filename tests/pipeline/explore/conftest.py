"""A table of real embeddings of three kinds of sound, and a server of its map."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import requests
import soundfile
import uvicorn

from echopair.pipeline.apply import apply
from echopair.pipeline.explore.explorer import Explorer
from echopair.pipeline.explore.labels import Labels
from echopair.pipeline.explore.layout import Layout, layout_of
from echopair.pipeline.explore.server import HOST, bound_socket, make_app
from echopair.pipeline.explore.table import ExploredTable, read_table
from tests.pipeline.conftest import audio_encoder

RATE = 16000
KINDS = ("hum", "hiss", "beeps")


def sound(kind: str, seconds: float, seed: int) -> np.ndarray:
    """A low tone, noise, or beeps, each with some noise."""
    generator = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    noise = generator.normal(size=len(time))
    hz = generator.uniform(0.9, 1.1)
    if kind == "hum":
        return 0.3 * np.sin(2 * np.pi * 150 * hz * time) + 0.005 * noise
    if kind == "hiss":
        return 0.1 * noise
    return 0.3 * np.sin(2 * np.pi * 3000 * hz * time) * (np.sin(20 * time) > 0) + 0.005 * noise


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine recordings of 5 s, an encoder, their table and its layout."""
    folder = tmp_path_factory.mktemp("explore")
    (folder / "recordings").mkdir()
    for number in range(9):
        kind = KINDS[number % 3]
        name = f"{kind}_20240501_{number + 5:02d}3000.wav"
        soundfile.write(folder / "recordings" / name, sound(kind, 5, number), RATE)
    audio_encoder().save(folder / "encoder")
    apply(folder / "encoder", [folder / "recordings"], folder / "table.parquet")
    layout_of(read_table(folder / "table.parquet"))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A folder with that table and layout, in which nothing was labelled."""
    for name in ("table.parquet", "table.layout.npz"):
        (tmp_path / name).write_bytes((made / name).read_bytes())
    return tmp_path


@pytest.fixture
def table(folder: Path) -> ExploredTable:
    return read_table(folder / "table.parquet")


@pytest.fixture(scope="session")
def layout(made: Path) -> Layout:
    return layout_of(read_table(made / "table.parquet"))


@contextmanager
def served(table: ExploredTable, layout: Layout | None = None) -> Iterator[str]:
    """The address of a server of a table's map, which ends with the block."""
    with bound_socket(0) as listening:
        app = make_app(Explorer(table, layout or layout_of(table), Labels(table)))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        address = f"http://{HOST}:{listening.getsockname()[1]}"
        try:
            while not server.started:
                time.sleep(0.01)
            yield address
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def address(table: ExploredTable) -> Iterator[str]:
    with served(table) as address:
        yield address


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False  # no proxy of the machine
        yield session
