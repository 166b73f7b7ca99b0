"""An encoder -> a folder as the Hugging Face Hub takes it, and its upload."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from echopair.pipeline.embed import EmbedConfig, load_encoder
from echopair.pipeline.embedding_table import encoder_digest
from echopair.pipeline.encoder_source import encoder_folder, hub_errors, is_address
from echopair.pipeline.errors import UserError
from echopair.pipeline.export.model_card import model_card
from echopair.pipeline.export.onnx_file import (
    ExportedOnnx,
    refuse_existing,
    require_packages,
    temporary_folder_beside,
    write_onnx,
)
from echopair.pipeline.export.training_record import training_record
from echopair.pipeline.progress import console

ONNX_FILE = "encoder.onnx"
CARD_FILE = "README.md"


@dataclass(frozen=True)
class ExportedFolder:
    """A folder for the Hub that was written.

    Args:
        folder: with the model card, `encoder.json`, `encoder.safetensors` and `encoder.onnx`.
        onnx: the ONNX file in it.
        commit: address of the commit, if it was pushed.
    """

    folder: Path
    onnx: ExportedOnnx
    commit: str | None


def export_hub(
    source: str | Path, out: Path, *, licence: str | None = None, push: str | None = None
) -> ExportedFolder:
    """Write an encoder as a folder for the Hub: model card, `encoder.json`, `encoder.safetensors`, `encoder.onnx`.

    The card says what is on record of the encoder in its work folder: the recordings that it learned from, by the
    names of the corpora, the training, and the scores of the linear probe.

    Args:
        source: the encoder, see `encoder_folder`.
        out: the folder, which must not exist.
        licence: of the encoder, as the Hub spells it: apache-2.0, cc-by-4.0.
        push: OWNER/NAME on the Hub to upload the folder to; a repository that does not exist is made, as a private one.

    Raises:
        UserError: see `export_onnx`; or the Hub refuses the repository or the upload.
    """
    from echopair.models.audio_encoder import CONFIG_FILE, WEIGHTS_FILE

    require_packages()
    refuse_existing(out)
    with encoder_folder(source) as folder, temporary_folder_beside(out) as temporary:
        encoder = load_encoder(folder, EmbedConfig(device="cpu", precision="float32"))
        digest = encoder_digest(folder)
        card = model_card(encoder, digest, training_record(folder), licence, push)
        if push:
            _create_repository(push)
        written = temporary / "folder"
        written.mkdir()
        for file in (CONFIG_FILE, WEIGHTS_FILE):
            shutil.copyfile(folder / file, written / file)
        (written / CARD_FILE).write_text(card, encoding="utf-8")
        onnx = write_onnx(encoder, str(source), digest, written / ONNX_FILE)
        written.replace(out)
    return ExportedFolder(out, replace(onnx, file=out / ONNX_FILE), _push(out, push) if push else None)


def _create_repository(repository: str) -> None:
    """Make the repository before the long work: whether the upload will be allowed is known then."""
    from huggingface_hub import HfApi, get_token

    if is_address(repository) or repository.count("/") != 1:
        raise UserError(f"--push={repository}: give OWNER/NAME, as it is on the Hub")
    if get_token() is None:
        raise UserError("--push needs a login to the Hub: set HF_TOKEN, or run `hf auth login`")
    try:
        HfApi(library_name="echopair").create_repo(repository, private=True, exist_ok=True)
    except hub_errors() as error:
        raise UserError(f"--push={repository}: the Hub refuses it: {_text(error)}") from error


def _push(folder: Path, repository: str) -> str:
    """Upload a folder; returns the address of the commit."""
    from huggingface_hub import HfApi

    try:
        with console.status(f"export: uploading to {repository}"):
            commit = HfApi(library_name="echopair").upload_folder(
                repo_id=repository, folder_path=folder, commit_message="Upload encoder by echopair"
            )
    except hub_errors() as error:
        raise UserError(
            f"--push={repository}: the upload failed: {_text(error)}; the folder is there, and "
            f"`hf upload {repository} {folder}` uploads it"
        ) from error
    return str(commit.commit_url)


def _text(error: Exception) -> str:
    """All of it in one line: the reason stands at its end."""
    return " ".join(str(error).split())
