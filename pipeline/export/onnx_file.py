"""An encoder -> an ONNX file that needs neither torch nor echopair, verified against the encoder."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from echopair.lazy import np
from echopair.pipeline.embed import EmbedConfig, load_encoder
from echopair.pipeline.embedding_table import encoder_digest
from echopair.pipeline.encoder_source import encoder_folder
from echopair.pipeline.errors import UserError, first_line
from echopair.pipeline.progress import console, progress_bar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.models.audio_encoder import AudioEncoder

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
# Seconds of sound that a file is compared on; a crop of the encoder is added to them.
VERIFIED_SECONDS = (0.3, 1.0, 5.0, 30.0, 60.0)
# Rounding makes about 1e-6.
LARGEST_DIFFERENCE = 1e-4


@dataclass(frozen=True)
class ExportedOnnx:
    """An ONNX file that was written.

    Args:
        file: the file.
        sample_rate_hz: of the waveforms that it takes.
        embedding_dim: D.
        difference: largest relative difference of its embeddings to those of `AudioEncoder.embed`.
    """

    file: Path
    sample_rate_hz: int
    embedding_dim: int
    difference: float


def export_onnx(source: str | Path, out: Path) -> ExportedOnnx:
    """Write an encoder as one ONNX file: waveforms of any length in, embeddings out, as `AudioEncoder.embed`.

    The graph takes `waveforms`, (recordings, samples) float32 at the encoder's sample rate, and gives `embeddings`,
    (recordings, D). Its metadata has `sample_rate_hz`, `crop_seconds`, `encoder_sha256` and, as JSON, `config`.

    Args:
        source: the encoder, see `encoder_folder`.
        out: the file, which must not exist.

    Raises:
        UserError: no encoder, a file in the way, packages that are missing, an encoder that ONNX cannot hold, or a
            graph that gives other embeddings than the encoder; no file is left then.
    """
    require_packages()
    refuse_existing(out)
    with encoder_folder(source) as folder, temporary_folder_beside(out) as temporary:
        encoder = load_encoder(folder, EmbedConfig(device="cpu", precision="float32"))
        exported = write_onnx(encoder, str(source), encoder_digest(folder), temporary / out.name)
        exported.file.replace(out)
    return replace(exported, file=out)


def require_packages() -> None:
    """Raise UserError unless the packages of the extra `onnx` are there."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"export needs the package {missing[0]}, which is missing: pip install 'echopair[onnx]'"
        )


def refuse_existing(out: Path) -> None:
    """Raise UserError if there is something at a path already, or no folder to write it into."""
    if out.exists():
        raise UserError(f"{out} exists; delete it, or give another name by --out")
    if not out.absolute().parent.is_dir():
        raise UserError(f"--out={out}: there is no folder {out.absolute().parent}; make it first")


@contextmanager
def temporary_folder_beside(out: Path) -> Iterator[Path]:
    """A folder on the same disk, from which a finished file or folder is moved to its place."""
    with tempfile.TemporaryDirectory(prefix=".export-", dir=out.absolute().parent) as temporary:
        yield Path(temporary)


def write_onnx(encoder: AudioEncoder, name: str, digest: str, out: Path) -> ExportedOnnx:
    """Write and verify the file of an encoder.

    Args:
        encoder: on the CPU, in float32.
        name: of the encoder, for errors.
        digest: SHA-256 of the encoder's files.
        out: the file, in a temporary folder: it stays if it is refused.

    Raises:
        UserError: see `export_onnx`.
    """
    import onnx

    from echopair import __version__
    from echopair.pipeline.export.graph import build_graph

    config = encoder.config
    with console.status("export: making the graph"):
        try:
            model = build_graph(encoder)
        except ValueError as error:
            raise UserError(
                f"{name}, of encoder {config.encoder.name!r}, cannot be exported: {error}"
            ) from error
        model.producer_version = __version__
        onnx.helper.set_model_props(
            model,
            {
                "sample_rate_hz": str(config.log_mel.sample_rate_hz),
                "crop_seconds": f"{config.crop_seconds:g}",
                "encoder_sha256": digest,
                "config": config.model_dump_json(),
            },
        )
        onnx.checker.check_model(model, full_check=True)
    onnx.save(model, out)
    try:
        difference = _largest_difference(encoder, out)
    except Exception as error:  # onnxruntime's have no base of their own
        raise UserError(
            f"{name}: onnxruntime cannot run its graph, so no file was written: {first_line(error)}"
        ) from error
    if not difference <= LARGEST_DIFFERENCE:  # or NaN
        raise UserError(
            f"{name}: the embeddings of its ONNX graph differ from its own by {difference:.1g} of their length, "
            f"more than {LARGEST_DIFFERENCE:g}, so no file was written; use the encoder with torch"
        )
    return ExportedOnnx(out, config.log_mel.sample_rate_hz, encoder.embedding_dim, difference)


def _largest_difference(encoder: AudioEncoder, file: Path) -> float:
    """Largest distance of the embeddings of a file to those of its encoder, as a share of the latter's length."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    rate = encoder.config.log_mel.sample_rate_hz
    differences = []
    lengths = sorted({*VERIFIED_SECONDS, encoder.config.crop_seconds})
    with progress_bar("verify", len(lengths), "lengths") as advance:
        for seconds in lengths:
            waveform = _sound(max(1, round(seconds * rate)), rate)
            expected = encoder.embed(waveform, rate).numpy()
            (embeddings,) = session.run(None, {"waveforms": waveform[None]})
            distance = np.linalg.norm(embeddings[0] - expected)
            differences.append(float(distance / (np.linalg.norm(expected) or 1)))
            advance(1)
    return float(np.max(differences))  # NaN if one is


def _sound(samples: int, rate: int) -> NDArray[np.float32]:
    """A rising tone in noise whose level goes from -80 dB to full scale and back, several times."""
    seconds = np.arange(samples) / rate
    level = 10 ** (-2 * (1 + np.cos(2 * np.pi * 0.7 * seconds)))
    tone = np.sin(2 * np.pi * np.cumsum(np.linspace(0.01, 0.45, samples)))
    noise = np.random.default_rng(0).uniform(-1, 1, samples)
    sound: NDArray[np.float32] = (level * (0.5 * tone + 0.5 * noise)).astype(np.float32)
    return sound
