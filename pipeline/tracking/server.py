"""Starts and stops the server of MLflow's web interface."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from echopair.pipeline.tracking.client import check_tracking
from echopair.pipeline.tracking.runs_view import runs_view_path
from echopair.pipeline.tracking.store import (
    TrackingConfig,
    TrackingError,
    artifacts_folder,
    shown,
    store_kind,
    tracking_uri,
)

# MLflow's server has no authentication, so only this machine may reach it.
HOST = "127.0.0.1"
LOG_FILE = "mlflow-server.log"
READY_SECONDS = 60.0
STOP_SECONDS = 10.0


def serve_ui(
    config: TrackingConfig, work_folder: Path, port: int, on_ready: Callable[[str], None] | None = None
) -> int:
    """Serve MLflow's web interface until it is interrupted; the server's output goes to `mlflow-server.log`.

    Args:
        config: the store, a database; a server has its own web interface.
        work_folder: folder of the pipeline's outputs.
        port: on 127.0.0.1.
        on_ready: called with the address of the runs once the server answers.

    Returns:
        Exit status: 0 after SIGINT or SIGTERM, otherwise that of the server. All its processes have ended.

    Raises:
        TrackingError: the store is a server, the port is in use, or the server ends before it answers.
    """
    interrupted = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    # The handler sets a flag: an exception between the start of the server and `try` would leave it running.
    previous = {number: signal.signal(number, lambda *_: interrupted.set()) for number in numbers}
    try:
        server = start_server(config, work_folder, port)
        try:
            url = wait_until_ready(server, work_folder, port, interrupted=interrupted)
            if on_ready is not None and not interrupted.is_set():
                on_ready(url + runs_view_path(config, work_folder))
            while server.poll() is None and not interrupted.is_set():
                time.sleep(0.1)
        finally:
            status = stop_server(server)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return 0 if interrupted.is_set() else status


def start_server(config: TrackingConfig, work_folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start MLflow's server in its own process group; end it with `stop_server`.

    Raises:
        TrackingError: the store is a server or cannot be used, or the port is in use.
    """
    uri = tracking_uri(config, work_folder)
    if store_kind(uri) == "http":
        raise TrackingError(
            f"tracking.uri={shown(uri)} is a server with its own web interface: open it in a browser"
        )
    _require_free(port)
    check_tracking(config, work_folder)
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": uri,  # not an argument: it may hold a password
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        HOST,
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    command += ["--artifacts-destination", str(artifacts_folder(work_folder))]
    with (Path(work_folder) / LOG_FILE).open("wb") as log:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait_until_ready(
    server: subprocess.Popen[bytes],
    work_folder: Path,
    port: int,
    seconds: float = READY_SECONDS,
    interrupted: threading.Event | None = None,
) -> str:
    """Wait until a started server answers, which takes some seven seconds, or until `interrupted` is set.

    Returns:
        Its address.

    Raises:
        TrackingError: it ended, or did not answer in time.
    """
    deadline = time.monotonic() + seconds
    while not _answers(port) and not (interrupted is not None and interrupted.is_set()):
        if server.poll() is not None or time.monotonic() > deadline:
            raise _did_not_start(work_folder, port)
        time.sleep(0.1)
    return f"http://{HOST}:{port}"


def stop_server(server: subprocess.Popen[bytes]) -> int:
    """End a server and its child processes by SIGTERM, then by SIGKILL.

    Returns:
        The server's exit status.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)  # the whole group: its children may outlive it
            server.wait(STOP_SECONDS)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
    return server.wait()


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise TrackingError(
                f"port {port} on {HOST} cannot be used ({error}): choose another one with --port NUMBER"
            ) from error


def _answers(port: int) -> bool:
    try:
        # Without the machine's proxy, which would also receive requests to 127.0.0.1.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(f"http://{HOST}:{port}/health", timeout=1).close()
    except (OSError, urllib.error.URLError):
        return False
    return True


def _did_not_start(work_folder: Path, port: int) -> TrackingError:
    log = Path(work_folder) / LOG_FILE
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] or [
        "it wrote no message"
    ]
    return TrackingError(f"MLflow's server did not start on port {port} ({last[0][:200]}): see {log}")
