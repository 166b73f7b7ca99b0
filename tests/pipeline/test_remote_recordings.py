"""Recordings by URI: embedded as those of this machine, over a real server as well."""

import shutil
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from echopair.pipeline.apply import apply
from echopair.pipeline.errors import UserError
from echopair.pipeline.remote_recordings import list_remote, local_copies
from tests.pipeline.conftest import write_tones


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings, one of them cut and one below a folder, and a text."""
    folder = tmp_path_factory.mktemp("remote") / "recordings"
    (folder / "below").mkdir(parents=True)
    first, second, third = write_tones(folder, clips=3)
    first.path.rename(folder / "with space.wav")
    second.path.rename(folder / "below" / "2.wav")
    third.path.write_bytes(third.path.read_bytes()[:1000])
    (folder / "notes.txt").write_text("no sound")
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    """Address of an HTTP server of the folder above."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder.parent))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("storage", ["file", "http"])
def test_rows_are_those_of_the_same_files_on_this_machine(
    storage: str, folder: Path, server: str, encoder: Path, tmp_path: Path
) -> None:
    root = folder.as_uri() if storage == "file" else f"fsspec+{server}/recordings"
    place = f"file://{folder}" if storage == "file" else f"{server}/recordings"
    space = " " if storage == "file" else "%20"
    remote = apply(encoder, [root, f"{root}/below/2.wav"], tmp_path / "remote.parquet")
    local = apply(encoder, [folder], tmp_path / "local.parquet")
    rows, expected = (
        {row["path"]: row["embedding"] for row in pq.read_table(one.file).to_pylist()}
        for one in (remote, local)
    )
    assert set(rows) == {f"{place}/below/2.wav", f"{place}/with{space}space.wav"}
    for path in rows:
        there = path.replace(place, str(folder)).replace("%20", " ")
        np.testing.assert_array_equal(rows[path], expected[there])
    assert remote.refused == local.refused == 1
    assert remote.refusals is not None
    assert f"{place}/low-002.wav" in remote.refusals.read_text()


def test_a_file_that_changes_makes_another_table_and_one_that_is_gone_is_refused(
    folder: Path, encoder: Path, tmp_path: Path
) -> None:
    copied = shutil.copytree(folder, tmp_path / "copied")
    apply(encoder, [copied.as_uri()], tmp_path / "t.parquet")
    listed = list_remote(copied.as_uri())
    (copied / "below" / "2.wav").unlink()
    with pytest.raises(UserError, match="is of other recordings"):
        apply(encoder, [copied.as_uri()], tmp_path / "t.parquet")
    with local_copies(listed, tmp_path) as here:
        assert [one.refusal for one in here] == ["it is gone from its storage", "", ""]
        assert all(one.path.is_file() for one in here[1:])
    assert not any(one.path.exists() for one in here)


def test_what_cannot_be_listed_is_said_without_credentials(folder: Path, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"127.0.0.1:{closed.getsockname()[1]}"
        for uri, message in {
            "nonsense://bucket/x": "nonsense://bucket/x cannot be listed .*check its spelling",
            f"{folder.as_uri()}/nowhere": "/nowhere cannot be listed",
            tmp_path.as_uri(): "no audio there; name a folder with recordings",
            f"s3://key:secret@bucket/x?scheme=http&endpoint_override={nowhere}": r"^s3://bucket/x\S* cannot be listed",
        }.items():
            with pytest.raises(UserError, match=message):
                list_remote(uri)
