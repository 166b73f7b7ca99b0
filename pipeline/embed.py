"""Stage 3: clips + encoder -> embeddings, and the features that they are compared with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
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
from echopair.pipeline.stages import Done, StageOutput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.models.audio_encoder import AudioEncoder
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
            stage = StageOutput(
                f"embed {corpus}, {features}",
                self.config.work_folder.absolute() / "embeddings" / f"{corpus}-{features.replace(' ', '-')}",
                [self.clips[corpus].digest, self._inputs(features)],
                EMBED_VERSION,
                EMBED_LIBRARIES,
            )

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
        if embeddings.clips.tolist() != _clip_ids(self.stores[corpus]).tolist():
            raise UserError(
                f"{folder / EMBEDDINGS_FILE} holds embeddings of other clips than its corpus has; delete that folder"
            )
        return embeddings

    def _inputs(self, features: str) -> Any:
        config = self.config
        settings = config.embed.model_dump(mode="json", exclude={"device", "batch_crops"})
        if features == MEL_STATISTICS:
            return config.log_mel
        if features == UNTRAINED:
            from echopair.models.audio_encoder import CONFIG_FILE

            text = (self.folder / CONFIG_FILE).read_text(encoding="utf-8")
            return [json.loads(text), config.seed, settings]
        return [self.digest, settings]

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
        """An untrained encoder of the same architecture; that of `encoder` has the training's initial weights."""
        from echopair.models.audio_encoder import AudioEncoder
        from echopair.pipeline.training.learner import initial_encoder

        settings = self.config.embed
        initial = initial_encoder(self._pretrained.config.encoder, self.config.seed)
        return AudioEncoder(
            self._pretrained.config, initial, device=settings.device, precision=settings.precision
        )


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
    return Embeddings(values, _clip_ids(store))


def mel_statistics(store: ClipStore, log_mel: LogMel, title: str) -> Embeddings:
    """Mean and standard deviation over time of each mel band: (clips, 2 F), what needs no network."""
    rows = np.empty((len(store), 2 * log_mel.config.mel_bands), dtype=np.float32)
    block = MEL_STATISTICS_SECONDS * store.sample_rate_hz
    with progress_bar(title, len(store), "clips") as advance:
        for clip, samples in enumerate(store.samples):
            frames, total, squares = 0, 0.0, 0.0
            for start in range(0, int(samples), block):
                part = store.read(clip, start, min(block, int(samples) - start))
                values = log_mel(torch.from_numpy(part)[None])[0].double().numpy()  # (F, T)
                frames += values.shape[1]
                total = total + values.sum(1)
                squares = squares + np.square(values).sum(1)
            mean = total / frames
            rows[clip] = np.concatenate([mean, np.sqrt(np.maximum(squares / frames - mean**2, 0))])
            advance()
    return Embeddings(rows, _clip_ids(store))


def _clip_ids(store: ClipStore) -> NDArray[np.str_]:
    return np.asarray(store.manifest["samples_sha256"].to_pylist(), dtype=np.str_)
