"""`echopair explore` as a process: it says where the map is, ends on Ctrl-C, and names what it lacks."""

import importlib.util
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
import requests

from echopair.pipeline.errors import UserError
from echopair.pipeline.explore.run import explore
from echopair.pipeline.explore.server import bound_socket
from tests.processes import start_echopair


def free_port() -> int:
    with bound_socket(0) as listening:
        return int(listening.getsockname()[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_map_is_served_until_it_is_interrupted(
    folder: Path, session: requests.Session, number: signal.Signals
) -> None:
    process = start_echopair(folder, "explore", folder / "table.parquet", "--port", str(free_port()))
    while not (address := re.search(r"http://127.0.0.1:\d+", process.said)):
        assert not process.ended, process.said
        time.sleep(0.1)
    assert "table.parquet" in session.get(address[0]).text  # the connection stays open
    process.kill(number)
    assert process.wait() == 0, process.said
    assert process.errors.read_text() == ""


def test_recordings_that_are_gone_are_said(folder: Path, made: Path) -> None:
    lost = folder / "moved"
    shutil.move(made / "recordings" / "hum_20240501_053000.wav", lost)
    try:
        process = start_echopair(folder, "explore", folder / "table.parquet", "--port", str(free_port()))
        while "http://" not in process.said:
            assert not process.ended, process.said
            time.sleep(0.1)
        assert re.search(
            r"1 of 9 recordings are not on this machine, first .*hum_20240501_053000.wav", process.said
        )
        process.kill(signal.SIGINT)
        assert process.wait() == 0
    finally:
        shutil.move(lost, made / "recordings" / "hum_20240501_053000.wav")


def test_a_port_in_use_is_said_before_any_work(folder: Path) -> None:
    with bound_socket(0) as first:
        first.listen()
        port = first.getsockname()[1]
        process = start_echopair(folder, "explore", folder / "gone.parquet", "--port", str(port))
        assert process.wait() == 2
        assert f"--port={port}" in process.said
        assert len(process.said.splitlines()) <= 2


def test_a_missing_package_is_named_with_its_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openTSNE" else found(name))
    with pytest.raises(UserError, match=r"needs openTSNE.*pip install 'echopair\[explore\]'"):
        explore(folder / "table.parquet", free_port(), print)
