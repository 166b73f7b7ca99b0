"""Against a real SQLite store and a real MLflow server on this machine."""

import logging
import math
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from echopair import AudioEncoder
from echopair.models.audio_encoder import AudioEncoderConfig
from echopair.models.encoders import VggLikeConfig
from echopair.models.log_mel_config import LogMelConfig
from echopair.pipeline.tracking import (
    TrackedRun,
    TrackingConfig,
    TrackingError,
    check_tracking,
    list_runs,
    tracking_uri,
)
from echopair.pipeline.tracking.client import load_mlflow
from echopair.pipeline.tracking.provenance import git_commit
from echopair.pipeline.tracking.runs import tagged_runs
from echopair.pipeline.tracking.server import serve_ui, start_server, stop_server, wait_until_ready
from tests.processes import Started, start

CONFIG = TrackingConfig()


def open_runs(folder: Path, end: str) -> None:
    """A pipeline that tracks a run, and possibly another one in which it is killed."""
    TrackedRun.open(CONFIG, folder, "together1", "together").end("FINISHED")
    if end == "killed":
        run = TrackedRun.open(CONFIG, folder, "killed1", "killed")
        run.log_series({"step": step, "loss": 1.0 / (step + 1)} for step in range(10))
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One work folder for all tests, since making MLflow's tables takes seconds.

    Its name is a hard one; two pipelines make its database at the same time, and one of them is then killed.
    """
    folder = tmp_path_factory.mktemp("tracking") / "wörk 100% #1"
    said = tmp_path_factory.mktemp("said")
    started = [start(said, open_runs, folder, end) for end in ("ends", "killed")]
    assert [process.wait() for process in started] == [0, -signal.SIGKILL]
    assert [process.errors.read_text() for process in started] == [
        "",
        "",
    ]  # neither MLflow nor alembic talks to users
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[SimpleNamespace]:
    """MLflow's server on the same store."""
    port = free_port()
    running = SimpleNamespace(process=start_server(CONFIG, folder, port), port=port)
    running.config = TrackingConfig(uri=wait_until_ready(running.process, folder, port), connect_seconds=2)
    yield running
    stop_server(running.process)


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained encoder of embeddings with its config."""
    torch.manual_seed(0)
    config = AudioEncoderConfig(
        log_mel=LogMelConfig(),
        log_mel_mean=0.0,
        log_mel_standard_deviation=1.0,
        encoder=VggLikeConfig(),
        crop_seconds=0.96,
        crop_hop_seconds=0.48,
    )
    folder = tmp_path_factory.mktemp("encoder")
    AudioEncoder(config, device="cpu").save(folder)
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def client_of(config: TrackingConfig, folder: Path) -> Any:
    return load_mlflow().MlflowClient(tracking_uri=tracking_uri(config, folder))


def history(config: TrackingConfig, folder: Path, run: TrackedRun, key: str) -> list[tuple[int, float]]:
    points = client_of(config, folder).get_metric_history(run.run_id, key)
    return sorted((point.step, point.value) for point in points)


def test_database_made_by_two_processes_at_once_is_sound(folder: Path) -> None:
    assert [summary.status for summary in list_runs(CONFIG, folder) if summary.name == "together"] == [
        "FINISHED"
    ]
    database = sqlite3.connect(folder / "mlflow.db")
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_a_killed_pipeline_continues_its_run(folder: Path) -> None:
    [killed] = [summary for summary in list_runs(CONFIG, folder) if summary.name == "killed"]
    assert (killed.status, killed.duration_seconds) == ("RUNNING", None)
    run = TrackedRun.open(CONFIG, folder, "killed1", "killed")
    assert run.run_id == killed.run_id
    assert not run.finished
    # Steps 0..9 are stored: whatever is given again, only what is new is sent.
    assert run.log_series({"step": step, "loss": 1.0 / (step + 1)} for step in range(15))
    run.end("FINISHED")
    assert history(CONFIG, folder, run, "loss") == [(step, 1.0 / (step + 1)) for step in range(15)]

    ended = client_of(CONFIG, folder).get_run(run.run_id).info.end_time
    again = TrackedRun.open(CONFIG, folder, "killed1", "killed")
    assert again.run_id == run.run_id
    assert again.finished
    again.end("FINISHED")
    assert client_of(CONFIG, folder).get_run(run.run_id).info.end_time == ended
    summaries = [summary for summary in list_runs(CONFIG, folder) if summary.name == "killed"]
    assert [summary.status for summary in summaries] == ["FINISHED"]
    assert summaries[0].duration_seconds is not None


def test_a_failed_run_is_continued_and_another_key_is_another_run(folder: Path) -> None:
    failed = TrackedRun.open(CONFIG, folder, "failed1", "failed")
    failed.end("FAILED")
    again = TrackedRun.open(CONFIG, folder, "failed1", "failed")
    assert again.run_id == failed.run_id
    assert client_of(CONFIG, folder).get_run(again.run_id).info.status == "RUNNING"
    again.end("KILLED")
    other = TrackedRun.open(CONFIG, folder, "failed2", "failed")
    other.end("FINISHED")
    assert other.run_id != failed.run_id


def test_parameters_metrics_and_tags(folder: Path) -> None:
    run = TrackedRun.open(CONFIG, folder, "parameters1", "parameters", {"purpose": "test"})
    many = {f"pretrain.p{number}": number for number in range(250)}
    assert run.log_parameters({**many, "policy": "x" * 7000, "seed": None}) == []
    assert run.log_parameters({"policy": "x" * 7000, "pretrain.p1": 2, "late": True}) == ["pretrain.p1"]
    run.log_metrics({"probe.accuracy@1": 0.5, "undefined": math.nan})
    run.log_metrics({"probe.accuracy@1": 0.5})
    run.end("FINISHED")

    data = client_of(CONFIG, folder).get_run(run.run_id).data
    assert data.params == {
        **{key: str(value) for key, value in many.items()},
        "policy": "x" * 6000,
        "seed": "None",
        "late": "True",
    }
    assert math.isnan(data.metrics["undefined"])
    assert history(CONFIG, folder, run, "probe.accuracy_1") == [(0, 0.5)]
    assert data.tags["echopair.run"] == "parameters1"
    assert data.tags["mlflow.source.name"] == "echopair"
    assert data.tags["purpose"] == "test"
    assert data.tags.get("mlflow.source.git.commit") == git_commit()


def test_a_long_series_is_sent_in_few_requests(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = TrackedRun.open(CONFIG, folder, "series1", "series")
    sizes = []
    original = run._client.log_batch

    def counting(run_id: str, metrics: Any) -> None:
        sizes.append(len(metrics))
        original(run_id, metrics=metrics)

    monkeypatch.setattr(run._client, "log_batch", counting)
    rows = [
        {"step": step, "loss": np.float32(step), "spread": math.inf if step == 3 else 1.0, "note": "text"}
        for step in range(1200)
    ]
    assert run.log_series(rows)
    assert sizes == [1000, 1000, 400]
    assert run.log_series(rows)
    assert len(sizes) == 3
    run.end("FINISHED")
    spread = dict(history(CONFIG, folder, run, "spread"))
    assert len(spread) == 1200
    assert math.isnan(spread[3])


def test_runs_beside_one_share_its_store_and_are_found_by_their_tags(folder: Path) -> None:
    parent = TrackedRun.open(CONFIG, folder, "parent1", "parent", {"family": "1"})
    children = [
        parent.beside(f"child{number}", f"child {number}", {"family": "100% #1", "number": str(number)})
        for number in range(2)
    ]
    assert parent.beside("child1", "child 1").run_id == children[1].run_id
    found = tagged_runs(CONFIG, folder, "family", "100% #1")
    assert {run.run_id for run in found} == {child.run_id for child in children}
    assert {run.tags["number"] for run in found} == {"0", "1"}
    assert [run.tags["echopair.run"] for run in tagged_runs(CONFIG, folder, "number", "1")] == ["child1"]
    assert tagged_runs(CONFIG, folder, "family", "2") == []
    for run in (parent, *children):
        run.end("FINISHED")


def test_tags_are_replaced_and_long_ones_cut(folder: Path) -> None:
    run = TrackedRun.open(CONFIG, folder, "tags1", "tags", {"state": "first"})
    run.log_tags({"state": "second", "error": "é" * 9000})
    run.log_tags({"other": "third"})
    run.end("FINISHED")
    tags = client_of(CONFIG, folder).get_run(run.run_id).data.tags
    assert (tags["state"], tags["other"]) == ("second", "third")
    assert tags["error"] == "é" * 8000


def test_a_series_that_is_sent_raises_where_one_that_is_logged_waits(folder: Path) -> None:
    config = TrackingConfig(uri=f"sqlite:///{folder / 'mlflow.db'}")
    run = TrackedRun.open(config, folder, "sent1", "sent")
    run.send_series([{"step": 0, "loss": 2.0}])
    client_of(config, folder).delete_run(run.run_id)
    with pytest.raises(TrackingError, match="active"):
        run.send_series([{"step": 1, "loss": 1.0}])
    assert not run.log_series([{"step": 2, "loss": 0.5}])
    client_of(config, folder).restore_run(run.run_id)
    run.send_series([])
    assert history(config, folder, run, "loss") == [(0, 2.0), (1, 1.0), (2, 0.5)]
    run.end("FINISHED")


def test_dataset_used_for_both_contexts(folder: Path) -> None:
    run = TrackedRun.open(CONFIG, folder, "data1", "data")
    for context in ("pretrain", "probe", "probe"):
        run.log_dataset("esc10", "0123456789abcdef" * 4, "/data/esc10", context, rows=400, hours=0.5)
    run.end("FINISHED")
    inputs = client_of(CONFIG, folder).get_run(run.run_id).inputs.dataset_inputs
    contexts = {one.tags[0].value: one.dataset for one in inputs}
    assert len(inputs) == 2
    assert set(contexts) == {"pretrain", "probe"}
    assert contexts["probe"].digest.startswith("probe-0123456789abcdef")
    assert '"num_rows": 400' in contexts["pretrain"].profile


def test_equal_runs_log_the_same_data_set_at_once(folder: Path) -> None:
    together = threading.Barrier(4, timeout=30)

    def log(_: int) -> None:
        run = TrackedRun.open(CONFIG, folder, "equal1", "equal")
        for number in range(5):
            together.wait()
            run.log_dataset("birds", f"{number}{'0' * 30}", "/birds", "probe", rows=1)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(log, range(4)))
    run = TrackedRun.open(CONFIG, folder, "equal1", "equal")
    run.end("FINISHED")
    inputs = client_of(CONFIG, folder).get_run(run.run_id).inputs.dataset_inputs
    assert sorted(one.dataset.digest[6] for one in inputs) == list("01234")


def test_encoder_loads_in_another_process_and_takes_any_length(folder: Path, encoder_folder: Path) -> None:
    run = TrackedRun.open(CONFIG, folder, "encoder1", "encoder")
    client = client_of(CONFIG, folder)
    experiment = client.get_run(run.run_id).info.experiment_id
    client.create_logged_model(experiment, "encoder", run.run_id)  # left by a process that was killed
    uri = run.log_encoder(encoder_folder)
    models = client.search_logged_models([experiment], filter_string=f"source_run_id = '{run.run_id}'")
    assert [model.model_uri for model in models] == [uri]
    assert run.log_encoder(encoder_folder) == uri
    run.end("FINISHED")
    short = np.sin(np.arange(16_000) / 7).astype(np.float32)
    long = np.sin(np.arange(33_000) / 9).astype(np.float32)
    np.savez(folder / "waveforms.npz", short=short, long=long)
    code = (
        "import sys, warnings\n"
        "import mlflow, numpy as np\n"
        "warnings.simplefilter('ignore')\n"
        "store, model, folder = sys.argv[1:]\n"
        "mlflow.set_tracking_uri(store)\n"
        "loaded = mlflow.pyfunc.load_model(model)\n"
        "w = np.load(folder + '/waveforms.npz')\n"
        "two = loaded.predict([w['short'], w['long']])\n"
        "one = loaded.predict(w['short'], params={'sample_rate_hz': 8000})\n"
        "batch = loaded.predict(np.stack([w['short']] * 3))\n"
        "np.savez(folder + '/embeddings.npz', two=two, one=one, batch=batch)\n"
    )
    # Started elsewhere: the model brings its code and does not need the checkout on the path.
    subprocess.run(
        [
            sys.executable,
            "-P",
            "-c",
            code,
            tracking_uri(CONFIG, folder),
            f"runs:/{run.run_id}/encoder",
            str(folder),
        ],
        check=True,
        cwd=folder,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": ""},
        capture_output=True,
    )
    found = np.load(folder / "embeddings.npz")
    encoder = AudioEncoder.load(encoder_folder)
    assert found["two"].dtype == np.float32
    np.testing.assert_allclose(found["two"][0], encoder.embed(short, 16_000).numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["two"][1], encoder.embed(long, 16_000).numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["one"][0], encoder.embed(short, 8_000).numpy(), rtol=1e-4, atol=1e-5)
    assert found["batch"].shape == (3, encoder.embedding_dim)
    model_folder = next((folder / "mlflow-artifacts" / "models").iterdir())
    assert not list(model_folder.rglob("*.pkl"))


def show_runs(folder: Path, port: int) -> None:
    sys.exit(serve_ui(CONFIG, folder, port, lambda url: print(url, flush=True)))


@contextmanager
def user_interface(folder: Path, port: int, said: Path) -> Iterator[Started]:
    """`serve_ui` in a process of its own, ready."""
    shown = start(said, show_runs, folder, port)
    try:
        deadline = time.monotonic() + 120
        while not shown.output.read_text().endswith("\n"):
            assert shown.status is None, shown.said
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert shown.output.read_text().startswith(f"http://127.0.0.1:{port}/")
        yield shown
    finally:
        if shown.status is None:
            shown.kill(signal.SIGTERM)
            shown.wait(20)


def test_artifacts_over_http_and_a_series_that_outlives_its_server(
    folder: Path, server: SimpleNamespace, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    # One test for what needs the server, since each start of it takes seconds.
    run = TrackedRun.open(CONFIG, folder, "artifacts1", "artifacts")
    table = folder / "result.csv"
    table.write_text("a,b\n1,2\n")
    run.log_artifacts(table, "tables")
    run.log_artifacts(folder / "mlflow.db", "database")
    run.end("FINISHED")
    url = f"{server.config.uri}/get-artifact?path=tables/result.csv&run_uuid={run.run_id}"
    assert urllib.request.urlopen(url, timeout=10).read() == b"a,b\n1,2\n"
    assert run.run_id in {summary.run_id for summary in list_runs(server.config, folder)}

    remote_config = server.config.model_copy(update={"experiment": "remote"})
    run = TrackedRun.open(remote_config, folder, "remote1", "remote")
    run.log_artifacts(table)
    assert run.log_series([{"step": 0, "loss": 3.0, "bad": math.nan}])

    stop_server(server.process)
    started = time.monotonic()
    with caplog.at_level(logging.WARNING):
        for step in range(1, 6):
            assert not run.log_series([{"step": step, "loss": 3.0 - step}])
    assert time.monotonic() - started < 3
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1
    with pytest.raises(TrackingError, match=str(server.port)):
        run.log_metrics({"accuracy": 0.5})

    with user_interface(folder, server.port, tmp_path) as shown:
        run.flush()
        run.end("FINISHED")
        expected = [(step, 3.0 - step) for step in range(6)]
        assert history(remote_config, folder, run, "loss") == expected
        assert client_of(remote_config, folder).get_run(run.run_id).info.status == "FINISHED"
        with pytest.raises(TrackingError, match=f"port {server.port}"):
            serve_ui(CONFIG, folder, server.port)
        shown.kill(signal.SIGTERM)
        assert shown.wait(20) == 0
        assert shown.errors.read_text() == ""
        assert len(shown.output.read_text().splitlines()) == 1
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert f"--port {server.port}" not in processes

    # The experiment's files belong to the server: the database alone cannot reach them.
    with pytest.raises(TrackingError, match="created through a server"):
        check_tracking(TrackingConfig(experiment="remote"), folder)


def test_no_database_is_no_runs(tmp_path: Path) -> None:
    assert list_runs(CONFIG, tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_deleted_experiment(folder: Path) -> None:
    config = TrackingConfig(experiment="deleted")
    check_tracking(config, folder)
    client = client_of(config, folder)
    client.delete_experiment(client.get_experiment_by_name("deleted").experiment_id)
    with pytest.raises(TrackingError, match="mlflow experiments restore"):
        check_tracking(config, folder)
