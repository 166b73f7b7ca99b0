"""Stage 3: clips + encoder -> embeddings, and the features that they are compared with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, Field

from echopair.lazy import np, torch
from echopair.models.precision import Device, Precision
from echopair.pipeline.embed_windows import embed_clips
from echopair.pipeline.errors import UserError
from echopair.pipeline.progress import progress_bar
from echopair.pipeline.stages import Done, StageOutput, file_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.models.audio_encoder import AudioEncoder, AudioEncoderConfig
    from echopair.models.log_mel import LogMel
    from echopair.pipeline.config import RunConfig
    from echopair.pipeline.store import ClipStore

EMBED_VERSION = 3
EMBED_LIBRARIES = ("torch", "torchaudio")
EMBEDDINGS_FILE = "embeddings.npz"
MEL_STATISTICS_SECONDS = 30

MEL_STATISTICS = "mel statistics"
UNTRAINED = "untrained"
PRETRAINED = "pretrained"
FEATURES = (MEL_STATISTICS, UNTRAINED, PRETRAINED)


class EmbedConfig(BaseModel, frozen=True, extra="forbid"):
    """Where embeddings are computed, and in which format."""

    batch_crops: int = Field(128, ge=1, description="crops in one forward pass")
    device: Device = Field("auto", description="auto: the GPU where there is one")
    precision: Precision = Field(
        "auto", description="auto: bfloat16 on a GPU that multiplies in it or a CPU with AMX"
    )


def load_encoder(folder: Path, config: EmbedConfig) -> AudioEncoder:
    """Load an encoder folder that the user named.

    Raises:
        UserError: it is none, or damaged.
    """
    from echopair.models.audio_encoder import AudioEncoder

    try:
        return AudioEncoder.load(folder, device=config.device, precision=config.precision)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise UserError(
            f"{error}; `echopair run` prints the folder of its encoder at the end, and hf://OWNER/NAME is one on the "
            "Hugging Face Hub"
        ) from error


@dataclass(frozen=True)
class Embeddings:
    """One vector a clip.

    Args:
        values: (clips, D) float32.
        clips: (clips,) digests of the clips' samples, in the order of the store they came from.
    """

    values: NDArray[np.float32]
    clips: NDArray[np.str_]

    def save(self, folder: Path) -> str:
        """Write `embeddings.npz`; returns a digest of the values."""
        np.savez(folder / EMBEDDINGS_FILE, embeddings=self.values, clip_ids=self.clips)
        return hashlib.sha256(self.values.tobytes()).hexdigest()

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; nothing in it is executed."""
        with np.load(folder / EMBEDDINGS_FILE, allow_pickle=False) as arrays:
            return cls(arrays["embeddings"], arrays["clip_ids"])


@dataclass
class Embedder:
    """The embeddings of each corpus by one encoder, and the features that it is compared with, each made once.

    Args:
        config: of the run.
        folder: of the trained encoder.
        digest: of its files.
        clips: prepared clips by corpus.
        stores: the same, opened.
        did: gets the titles of what is made now.

    Attributes:
        outputs: by corpus and features, as ("esc10", "pretrained").
    """

    config: RunConfig
    folder: Path
    digest: str
    clips: Mapping[str, Done]
    stores: Mapping[str, ClipStore]
    did: list[str]
    outputs: dict[tuple[str, str], Done] = field(default_factory=dict)

    def output(self, corpus: str, features: str) -> Done:
        """The embeddings of a corpus.

        Args:
            corpus: its name.
            features: one of `FEATURES`.
        """
        if (corpus, features) not in self.outputs:
            stage = embed_stage(self.config, self.clips[corpus], corpus, features, self._inputs(features))

            def work(folder: Path) -> dict[str, str]:
                return {"digest": self._embed(self.stores[corpus], features, stage.title).save(folder)}

            self.outputs[corpus, features] = stage.make(work, self.did)
        return self.outputs[corpus, features]

    def load(self, corpus: str, features: str) -> Embeddings:
        """The embeddings of a corpus, in the order of its clips.

        Raises:
            UserError: the file holds embeddings of other clips.
        """
        folder = self.output(corpus, features).folder
        embeddings = Embeddings.load(folder)
        if embeddings.clips.tolist() != clip_ids(self.stores[corpus]).tolist():
            raise UserError(
                f"{folder / EMBEDDINGS_FILE} holds embeddings of other clips than its corpus has; delete that folder"
            )
        return embeddings

    def _inputs(self, features: str) -> Any:
        if features == MEL_STATISTICS:
            return self.config.log_mel
        if features == UNTRAINED:
            return untrained_inputs(self.folder, self.config)
        return pretrained_inputs(self.digest, self.config.embed)

    def _embed(self, store: ClipStore, features: str, title: str) -> Embeddings:
        from echopair.models.log_mel import LogMel

        if features == MEL_STATISTICS:
            return mel_statistics(store, LogMel(self.config.log_mel), title)
        encoder = self._untrained if features == UNTRAINED else self._pretrained
        return embed(store, encoder.folded(), self.config.embed, title)

    @cached_property
    def _pretrained(self) -> AudioEncoder:
        from echopair.models.audio_encoder import AudioEncoder

        settings = self.config.embed
        return AudioEncoder.load(self.folder, device=settings.device, precision=settings.precision)

    @cached_property
    def _untrained(self) -> AudioEncoder:
        return untrained_encoder(self._pretrained.config, self.config)


def embed_stage(config: RunConfig, clips: Done, corpus: str, features: str, inputs: Any) -> StageOutput:
    """Where the embeddings of a corpus are kept.

    Args:
        config: of the run; its work folder.
        clips: prepared clips of the corpus.
        corpus: its name.
        features: what tables call the features.
        inputs: all that decides the embeddings beside the clips, as JSON.
    """
    return StageOutput(
        f"embed {corpus}, {features}",
        config.work_folder.absolute() / "embeddings" / file_name(f"{corpus}-{features}"),
        [clips.digest, inputs],
        EMBED_VERSION,
        EMBED_LIBRARIES,
    )


def pretrained_inputs(digest: str, config: EmbedConfig) -> Any:
    """What decides the embeddings of an encoder whose files have this digest."""
    return [digest, _settings(config)]


def untrained_inputs(folder: Path, config: RunConfig) -> Any:
    """What decides the embeddings of an untrained encoder of the architecture of the one in a folder."""
    from echopair.models.audio_encoder import CONFIG_FILE

    text = (folder / CONFIG_FILE).read_text(encoding="utf-8")
    return [json.loads(text), config.seed, _settings(config.embed)]


def _settings(config: EmbedConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", exclude={"device", "batch_crops"})


def untrained_encoder(of: AudioEncoderConfig, config: RunConfig) -> AudioEncoder:
    """An untrained encoder of the same architecture; that of `encoder` has the training's initial weights."""
    from echopair.models.audio_encoder import AudioEncoder
    from echopair.pipeline.training.learner import initial_encoder

    initial = initial_encoder(of.encoder, config.seed)
    return AudioEncoder(of, initial, device=config.embed.device, precision=config.embed.precision)


def embed(store: ClipStore, encoder: AudioEncoder, config: EmbedConfig, title: str) -> Embeddings:
    """Embed every clip as `AudioEncoder.embed` would, in batches of crops of many clips.

    Args:
        store: clips at the encoder's sample rate.
        encoder: in evaluation mode.
        config: batch size.
        title: what the progress bar says.
    """
    with progress_bar(title, len(store), "clips") as advance:
        values = embed_clips(store, np.arange(len(store)), encoder, config.batch_crops, advance)
    return Embeddings(values, clip_ids(store))


def mel_statistics(store: ClipStore, log_mel: LogMel, title: str) -> Embeddings:
    """Mean and standard deviation over time of each mel band: (clips, 2 F), what needs no network."""
    block = MEL_STATISTICS_SECONDS * store.sample_rate_hz
    rows = []
    with progress_bar(title, len(store), "clips") as advance:
        for clip, samples in enumerate(store.samples.tolist()):
            starts = range(0, samples, block)
            rows.append(
                mel_statistics_of(
                    (store.read(clip, start, min(block, samples - start)) for start in starts), log_mel
                )
            )
            advance()
    return Embeddings(np.stack(rows), clip_ids(store))


def mel_statistics_of(parts: Iterable[NDArray[np.float32]], log_mel: LogMel) -> NDArray[np.float32]:
    """Mean and standard deviation over time of each mel band, (2 F,), of a waveform that comes in parts."""
    frames, total, squares = 0, 0.0, 0.0
    for part in parts:
        values = log_mel(torch.from_numpy(part)[None])[0].double().numpy()  # (F, T)
        frames += values.shape[1]
        total = total + values.sum(1)
        squares = squares + np.square(values).sum(1)
    mean = total / frames
    spread = np.sqrt(np.maximum(squares / frames - mean**2, 0))
    return np.concatenate([mean, spread]).astype(np.float32)


def clip_ids(store: ClipStore) -> NDArray[np.str_]:
    """Digests of the clips' samples, (clips,), by which embeddings are known to be of a store."""
    return np.asarray(store.manifest["samples_sha256"].to_pylist(), dtype=np.str_)
