"""Where runs are tracked: the settings, the store's address, and whether it answers; does not import mlflow."""

import http.client
import os
import re
import socket
import sqlite3
import ssl
import threading
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, Field, field_serializer

from echopair.pipeline.errors import UserError

DATABASE_FILE = "mlflow.db"
ARTIFACTS_FOLDER = "mlflow-artifacts"
RUN_TAG = "echopair.run"  # on every run of echopair: the key of its pipeline
KIND_TAG = "echopair.kind"  # on other runs, such as previews, which tables leave out
PREVIEW_KIND = "preview"
HIDDEN = "***"
PASSWORD_VARIABLE = "MLFLOW_TRACKING_PASSWORD"  # MLflow's own
SECRETS = (
    r"(\w://[^\s/:@]*:)(?!\d+(?:/|$))\S*(?=@)",  # user:password@host, and no host:port/folder@
    r"((?i:[?&;](?:password|passwd|pwd|token|sslpassword|odbc_connect)=))[^&;\s]*",
)
DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


class TrackingConfig(BaseModel, frozen=True, extra="forbid"):
    """Where MLflow keeps the runs."""

    uri: str | None = Field(
        default=None,
        description="MLflow server (http://host:port) or database (sqlite:///file); default: mlflow.db in "
        "the work folder; a password in it is not stored, see `MLFLOW_TRACKING_PASSWORD`",
    )
    experiment: str = Field(default="echopair", min_length=1, max_length=500, description="MLflow experiment")
    connect_seconds: float = Field(
        default=5.0, gt=0, allow_inf_nan=False, description="time to wait for the store's answer"
    )

    @field_serializer("uri")
    def _without_password(self, uri: str | None) -> str | None:
        return uri and shown(uri)


class TrackingError(UserError):
    """The tracking store cannot be used; the message gives its address and a remedy."""


def tracking_uri(config: TrackingConfig, work_folder: Path) -> str:
    """Address of the store; absolute, because each trial of a sweep runs in its own folder.

    Args:
        config: its `uri`, where None stands for a SQLite file in the work folder.
        work_folder: folder of the pipeline's outputs.

    Raises:
        TrackingError: neither a server nor a database, such as a folder of files (`./mlruns`).
    """
    uri = config.uri
    if uri is None:
        return _sqlite_uri(Path(work_folder) / DATABASE_FILE)
    kind = store_kind(uri)
    if kind == "sqlite":
        return _sqlite_uri(Path(uri.partition(":///")[2]))
    if kind == "http" or kind in DATABASE_PORTS:
        return _with_password(uri.rstrip("/"))
    raise TrackingError(
        f"tracking.uri={shown(uri)} is neither a server nor a database (MLflow no longer keeps runs in "
        "folders of files): give http://host:port or sqlite:////folder/mlflow.db, or leave it out"
    )


def store_kind(uri: str) -> str:
    """`http`, `sqlite`, `postgresql` and so on: the address's scheme without driver and encryption."""
    scheme = urlsplit(uri).scheme.partition("+")[0]
    return "http" if scheme == "https" else scheme


def _sqlite_uri(path: Path) -> str:
    if path.name in ("", ":memory:") or "?" in str(path.resolve()):
        raise TrackingError(
            f"tracking cannot use the database file {path}: name a file, without a question mark"
        )
    return f"sqlite:///{path.resolve()}"


def sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite store; None for any other store."""
    return Path(uri.partition(":///")[2]) if store_kind(uri) == "sqlite" else None


def artifacts_folder(work_folder: Path) -> Path:
    """Folder of the artifacts of runs if the store is a database and not a server."""
    return Path(work_folder).resolve() / ARTIFACTS_FOLDER


def shown(text: str) -> str:
    """A text without the passwords of addresses in it, for whatever is shown, logged or stored."""
    for secret in SECRETS:
        text = re.sub(secret, rf"\g<1>{HIDDEN}", text)
    return text


def _with_password(uri: str) -> str:
    """An address as it was stored, with the password of the environment."""
    if HIDDEN not in uri:
        return uri
    password = os.environ.get(PASSWORD_VARIABLE)
    if password is None:
        raise TrackingError(
            f"tracking.uri={uri} was stored without its password; set {PASSWORD_VARIABLE} in the environment, or give "
            "the whole address as tracking.uri=ADDRESS"
        )
    return uri.replace(HIDDEN, quote(password, safe=""))


def require_answer(uri: str, seconds: float) -> None:
    """Raise unless the store's server answers, or its file can be written, within some seconds.

    MLflow and SQLAlchemy retry for minutes. This function tries once, in a thread that it abandons after the
    timeout, so that a slow name service or a lost packet cannot delay it.

    Raises:
        TrackingError: with the reason and a remedy.
    """
    failures: list[str] = []

    def ask() -> None:
        failure = _failure(uri, seconds)
        failures.append(failure)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    failure = failures[0] if failures else f"no answer within {seconds:g} s"
    if failure:
        remedy = (
            "set tracking.uri to a file that can be written"
            if store_kind(uri) == "sqlite"
            else "start it, correct tracking.uri, or leave it out to use a file in the work folder"
        )
        raise TrackingError(f"MLflow store {shown(uri)} cannot be used ({failure}): {remedy}")


def _failure(uri: str, seconds: float) -> str:
    """Why the store does not answer; empty if it does."""
    address = urlsplit(uri)
    try:
        match store_kind(uri):
            case "sqlite":
                _open_sqlite(Path(uri.partition(":///")[2]), seconds)
            case "http":
                host_and_port = address.netloc.rpartition("@")[2]
                url = address._replace(netloc=host_and_port, path=address.path + "/health").geturl()
                urllib.request.urlopen(url, timeout=seconds).close()
            case kind:
                port = address.port or DATABASE_PORTS[kind]
                socket.create_connection((address.hostname or "localhost", port), timeout=seconds).close()
    except urllib.error.HTTPError as error:
        # A server answered; 502, 503 and 504 are from a gateway whose server does not.
        return f"HTTP {error.code} {error.reason}" if error.code in (502, 503, 504) else ""
    except urllib.error.URLError as error:
        # MLflow's calls apply its own settings for certificates.
        return "" if isinstance(error.reason, ssl.SSLError) else _sentence(error.reason)
    except http.client.InvalidURL:  # its message may hold a part of a password
        return "the address is not valid; write / @ : of a password as %2F %40 %3A"
    except (OSError, sqlite3.Error, ValueError) as error:
        return _sentence(error)
    return ""


def _open_sqlite(path: Path, seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=seconds)
    try:
        connection.execute("BEGIN IMMEDIATE")  # fails on a damaged file and on one that cannot be written
        connection.rollback()
    finally:
        connection.close()


def _sentence(error: object) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
