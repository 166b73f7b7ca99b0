"""Where an encoder is: in a folder, on the Hugging Face Hub, or in MLflow."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from echopair.pipeline.errors import UserError, first_line
from echopair.pipeline.progress import console
from echopair.pipeline.training.checkpoints import ENCODER_FOLDER

HUB = "hf://"
MLFLOW = ("runs:/", "models:/")
RECORD_FILE = "run.json"  # of a run: names its encoder


def is_address(source: str | Path) -> bool:
    """Whether it names an encoder on the Hub or in MLflow, and no folder."""
    return str(source).startswith((HUB, *MLFLOW))


@contextmanager
def encoder_folder(source: str | Path) -> Iterator[Path]:
    """The folder of an encoder while it is read.

    Args:
        source: a folder, of an encoder, a training or a run; or `hf://OWNER/NAME` of the Hugging Face Hub, with
            `@REVISION` behind it if not the newest; or `runs:/RUN_ID/encoder` or `models:/...` of MLflow, in the store
            of `MLFLOW_TRACKING_URI`, by default `work/mlflow.db`. What is downloaded from the Hub stays in its cache.

    Raises:
        UserError: there is no such encoder, or it cannot be fetched.
    """
    address = str(source)
    if address.startswith(HUB):
        yield _downloaded(address)
    elif address.startswith(MLFLOW):
        from echopair.pipeline.tracking.model import download_encoder

        with tempfile.TemporaryDirectory(prefix="echopair-encoder-") as temporary:
            yield download_encoder(address, Path(temporary))
    else:
        yield _within(Path(source))


def _within(folder: Path) -> Path:
    """The encoder of a run or of a training, if the folder is of one; else the folder itself."""
    if (record := folder / RECORD_FILE).is_file():
        try:
            return Path(json.loads(record.read_text(encoding="utf-8"))["encoder"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{record} does not name the encoder of a run; name the encoder's folder"
            ) from error
    below = folder / ENCODER_FOLDER
    return below if below.is_dir() and not (folder / "encoder.json").is_file() else folder


def _downloaded(address: str) -> Path:
    from huggingface_hub import parse_hf_uri, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfUriError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    from echopair.models.audio_encoder import CONFIG_FILE, WEIGHTS_FILE

    try:
        uri = parse_hf_uri(address)
    except HfUriError as error:
        raise UserError(f"{address} is no address of an encoder: give hf://OWNER/NAME") from error
    if uri.type != "model" or uri.path_in_repo:
        raise UserError(f"{address} is not the address of a model: give hf://OWNER/NAME")
    try:
        with console.status(f"downloading {address}"):
            files = [CONFIG_FILE, WEIGHTS_FILE]
            folder = Path(snapshot_download(uri.id, revision=uri.revision, allow_patterns=files))
    except (GatedRepoError, RepositoryNotFoundError) as error:
        raise UserError(
            f"{address}: the Hub has no such model, or you have no access to it; correct the name, or log in by "
            "`hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise UserError(f"{address}: the model has no revision {uri.revision}") from error
    except LocalEntryNotFoundError as error:
        raise UserError(
            f"{address}: the Hub cannot be reached, and the encoder was not downloaded before"
        ) from error
    except hub_errors() as error:
        raise UserError(f"{address} cannot be downloaded: {first_line(error)}") from error
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        raise UserError(f"{address} is no encoder of echopair: it has no {missing[0]}")
    return folder


def hub_errors() -> tuple[type[Exception], ...]:
    """What calls to the Hub raise for names and model cards, and for servers and connections."""
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    return ValueError, HTTPError, OSError
