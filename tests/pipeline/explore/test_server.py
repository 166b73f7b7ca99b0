"""The server: rows by number, to this machine alone, and labels from its own page alone."""

import base64
import io
import socket
from pathlib import Path

import numpy as np
import pytest
import requests
import soundfile
from PIL import Image

from echopair.pipeline.errors import UserError
from echopair.pipeline.explore.labels import Labels
from echopair.pipeline.explore.server import bound_socket
from echopair.pipeline.explore.table import ExploredTable
from echopair.pipeline.search.excerpt import Excerpt
from tests.pipeline.explore.conftest import served


def decoded(address: str) -> io.BytesIO:
    return io.BytesIO(base64.b64decode(address.partition("base64,")[2]))


def test_the_map_has_all_rows_and_hours_of_the_names(
    address: str, session: requests.Session, table: ExploredTable
) -> None:
    found = session.get(f"{address}/map").json()
    assert {
        len(found[name]) for name in ("x", "y", "cluster", "recording", "start", "end", "hour", "own_labels")
    } == {len(table)}
    assert found["hour"][0] == pytest.approx(7.5)  # beeps_20240501_073000.wav
    assert [found["recordings"][one] for one in found["recording"]] == [one.path for one in table.excerpts]


def test_a_row_has_its_picture_and_its_sound(
    address: str, session: requests.Session, table: ExploredTable
) -> None:
    row = session.get(f"{address}/rows/4").json()
    assert Image.open(decoded(row["picture"])).size == (96, 64)
    waveform, rate = soundfile.read(decoded(row["sound"]))
    original, _ = table.excerpts[4].read()
    assert rate == 16000
    assert np.corrcoef(waveform, original)[0, 1] > 0.999


def test_a_recording_that_is_gone_is_shown_with_the_reason(
    session: requests.Session, table: ExploredTable
) -> None:
    excerpts = [Excerpt("/gone.wav", 0, 1), *table.excerpts[1:]]
    changed = ExploredTable(table.file, table.info, excerpts, table.labels, [], table.directions)
    with served(changed) as address:
        assert session.get(f"{address}/rows/0").json() == {"reason": "/gone.wav: there is no such file"}


def test_similarities_are_those_of_standardised_embeddings(
    address: str, session: requests.Session, table: ExploredTable
) -> None:
    found = session.get(f"{address}/rows/2/similarities").json()
    assert found[2] == 1
    np.testing.assert_allclose(found, table.directions @ table.directions[2], atol=1e-3)


def test_labels_are_kept_and_choose_the_suggestions(
    address: str, session: requests.Session, table: ExploredTable
) -> None:
    kinds = [Path(one.path).name.split("_")[0] for one in table.excerpts]
    for kind in ("hum", "hiss"):
        sent = {"rows": [kinds.index(kind)], "label": kind}
        assert session.post(f"{address}/labels", json=sent).ok
    assert sorted(Labels(table).given().values()) == ["hiss", "hum"]
    suggestions = session.get(f"{address}/suggestions").json()
    assert {one["label"] for one in suggestions} <= {"hum", "hiss"}
    # A probe of hum and hiss knows nothing of beeps.
    assert "beeps" in {kinds[one["row"]] for one in suggestions}
    refused = session.post(f"{address}/labels", json={"rows": [0], "label": "=1"})
    assert (refused.status_code, refused.text[:7]) == (400, "a label")


def test_the_last_labelling_is_undone(address: str, session: requests.Session, table: ExploredTable) -> None:
    session.post(f"{address}/labels", json={"rows": [1, 2], "label": "rain"})
    assert ",rain,explore" in session.get(f"{address}/labels.csv").text
    assert session.get(f"{address}/map").json()["undoable"] == 1  # as after a reload of the page
    undone = session.post(f"{address}/undo", json={"rows": []})
    assert undone.json() == {"given": {"1": "", "2": ""}, "undoable": 0}
    assert Labels(table).given() == {}
    assert session.post(f"{address}/undo", json={"rows": []}).status_code == 400


def test_a_classifier_needs_two_labels(address: str, session: requests.Session) -> None:
    answer = session.post(f"{address}/classifier", json={"rows": []})
    assert (answer.status_code, answer.text) == (
        400,
        "a classifier tells labels apart: give two different ones",
    )


def test_rows_that_the_table_does_not_have_are_not_found(address: str, session: requests.Session) -> None:
    for path in (
        "rows/100000",
        "rows/-1",
        "rows/..%2F..%2Fetc%2Fpasswd",
        "static/../server.py",
        "static/..%2Fserver.py",
    ):
        assert session.get(f"{address}/{path}").status_code == 404, path
    for rows in ([100000], [-1], ["0"], "0", [1.5]):
        assert session.post(f"{address}/labels", json={"rows": rows, "label": "a"}).status_code in (
            400,
            404,
        ), rows


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_another_host_name_is_refused(address: str, session: requests.Session, host: str) -> None:
    assert session.get(f"{address}/map", headers={"Host": host}).status_code == 400


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_labels_that_a_page_of_another_site_could_send_are_refused(
    address: str, session: requests.Session, table: ExploredTable, kind: str
) -> None:
    for path in ("labels", "undo", "classifier"):
        answer = session.post(
            f"{address}/{path}", data='{"rows": [0], "label": "a"}', headers={"Content-Type": kind}
        )
        assert answer.status_code == 415, path
    preflight = session.options(f"{address}/labels", headers={"Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in preflight.headers
    assert Labels(table).given() == {}


def test_a_port_in_use_is_named() -> None:
    with bound_socket(0) as first:
        first.listen()
        port = first.getsockname()[1]
        with pytest.raises(
            UserError, match=rf"--port={port}: it cannot be used .* choose another one by --port"
        ):
            bound_socket(port)


def test_no_other_machine_can_reach_it() -> None:
    with bound_socket(0) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
        assert listening.family == socket.AF_INET
