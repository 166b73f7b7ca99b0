"""Stores that cannot be used are refused at once, with a remedy."""

import http.server
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from echopair.pipeline.tracking import TrackingConfig, TrackingError, check_tracking, tracking_uri
from echopair.pipeline.tracking.series import PendingSeries, name_of
from echopair.pipeline.tracking.store import require_answer, shown

CONFIG = TrackingConfig()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_closed_port_is_reported_at_once(tmp_path: Path, scheme: str) -> None:
    uri = f"{scheme}://127.0.0.1:{free_port()}"
    started = time.monotonic()
    with pytest.raises(TrackingError, match=f"{uri}.*refused.*tracking.uri"):
        check_tracking(TrackingConfig(uri=uri), tmp_path)
    assert time.monotonic() - started < 1


def test_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        config = TrackingConfig(uri=f"http://127.0.0.1:{silent.getsockname()[1]}", connect_seconds=0.5)
        started = time.monotonic()
        with pytest.raises(TrackingError, match=r"no answer within 0\.5 s|timed out"):
            check_tracking(config, tmp_path)
        assert 0.4 < time.monotonic() - started < 1.5


def test_server_that_is_no_mlflow(tmp_path: Path) -> None:
    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        config = TrackingConfig(uri=f"http://127.0.0.1:{other.server_port}")
        with pytest.raises(TrackingError, match=f"{other.server_port}.* failed: .*404"):
            check_tracking(config, tmp_path)
        other.shutdown()


@pytest.mark.parametrize(
    "uri", ["./mlruns", "file:///tmp/mlruns", "localhost:5000", "sqlite://", "ftp://host"]
)
def test_stores_that_are_refused(tmp_path: Path, uri: str) -> None:
    with pytest.raises(TrackingError, match="tracking"):
        check_tracking(TrackingConfig(uri=uri), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_relative_addresses_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert tracking_uri(CONFIG, Path("work")) == f"sqlite:///{tmp_path}/work/mlflow.db"
    assert (
        tracking_uri(TrackingConfig(uri="sqlite:///runs.db"), Path("work")) == f"sqlite:///{tmp_path}/runs.db"
    )
    assert tracking_uri(TrackingConfig(uri="http://host:5000/"), Path("work")) == "http://host:5000"


def test_damaged_and_unwritable_databases(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 1000)
    with pytest.raises(TrackingError, match=r"mlflow\.db.*not a database"):
        check_tracking(CONFIG, tmp_path)
    with pytest.raises(TrackingError, match=r"mlflow\.db"):
        check_tracking(CONFIG, tmp_path / "mlflow.db" / "below a file")


def test_password_is_not_shown() -> None:
    with pytest.raises(TrackingError) as caught:
        require_answer(f"postgresql://me:secret@127.0.0.1:{free_port()}/runs", 2)
    assert "secret" not in str(caught.value)
    assert "me:***@" in str(caught.value)


def test_a_password_is_not_stored_and_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrackingConfig(uri="postgresql+psycopg2://me:s:e@cret@host/runs?sslmode=require")
    assert tracking_uri(config, Path()) == config.uri
    stored = TrackingConfig.model_validate_json(config.model_dump_json())
    assert stored.uri == "postgresql+psycopg2://me:***@host/runs?sslmode=require"
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD", raising=False)
    with pytest.raises(TrackingError, match="set MLFLOW_TRACKING_PASSWORD"):
        tracking_uri(stored, Path())
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "p@ss")
    assert tracking_uri(stored, Path()) == "postgresql+psycopg2://me:p%40ss@host/runs?sslmode=require"
    assert shown("http://h/?a=1&token=secret&b=2") == "http://h/?a=1&token=***&b=2"
    assert shown("http://host:5000/a@b") == "http://host:5000/a@b"


def test_names_that_mlflow_accepts() -> None:
    assert name_of("retrieval@1 (%)") == "retrieval_1 ___"
    assert name_of("per class/../dog//bark") == "per class/dog/bark"
    assert name_of("..") == "_"
    assert len(name_of("x" * 300)) == 250


def test_pause_after_a_failure_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    series = PendingSeries()
    assert series.failed()
    assert not series.may_try()
    now += 30
    assert series.may_try()
    assert not series.failed()
    now += 30
    assert not series.may_try()
    now += 30
    assert series.may_try()
