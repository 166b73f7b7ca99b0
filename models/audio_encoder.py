"""What a user takes home: log-mel front end, statistics and encoder, in a folder that describes itself."""

import json
from pathlib import Path
from typing import Literal, Self

import numpy as np
import safetensors.torch
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, Field, ValidationError, model_validator
from torch import Tensor, nn

from echopair.models.encoders import EncoderConfig, build_encoder
from echopair.models.log_mel import LogMel, LogMelStatistics
from echopair.models.log_mel_config import LogMelConfig
from echopair.models.precision import Device, Precision, autocast, resolve_device
from echopair.models.resample import resample

CONFIG_FILE = "encoder.json"
WEIGHTS_FILE = "encoder.safetensors"
# Crops in one forward pass: large enough to keep a CPU or GPU busy, small enough for any memory.
CROPS_PER_BATCH = 128


class AudioEncoderConfig(BaseModel, frozen=True, extra="forbid"):
    """Everything besides the weights that decides an embedding; stored as JSON beside them."""

    format: Literal["echopair-encoder"] = "echopair-encoder"
    format_version: Literal[1] = 1
    log_mel: LogMelConfig
    log_mel_mean: float = Field(allow_inf_nan=False)
    log_mel_standard_deviation: float = Field(gt=0, allow_inf_nan=False)
    encoder: EncoderConfig
    crop_seconds: float = Field(gt=0, allow_inf_nan=False, description="length of a crop")
    crop_hop_seconds: float = Field(
        gt=0, allow_inf_nan=False, description="time between the starts of two crops"
    )

    @model_validator(mode="after")
    def _crops_cover_the_clip(self) -> Self:
        if self.crop_hop_seconds > self.crop_seconds:
            raise ValueError(
                "crop_hop_seconds must not exceed crop_seconds, or parts of a clip are never embedded"
            )
        return self

    @property
    def crop_samples(self) -> int:
        """Length of a crop in samples."""
        return round(self.crop_seconds * self.log_mel.sample_rate_hz)

    @property
    def crop_hop_samples(self) -> int:
        """Samples between the starts of two crops."""
        return max(1, round(self.crop_hop_seconds * self.log_mel.sample_rate_hz))

    @property
    def statistics(self) -> LogMelStatistics:
        """Normalisation of the log-mel."""
        return LogMelStatistics(self.log_mel_mean, self.log_mel_standard_deviation)


def crop_starts(samples: int, crop_samples: int, crop_hop_samples: int) -> NDArray[np.int64]:
    """First samples of the fixed crops that cover a whole clip; the last one ends with the clip.

    Args:
        samples: length of the clip, at least 1; shorter than a crop gives the one start 0.
        crop_samples: length of a crop.
        crop_hop_samples: distance between starts, at most `crop_samples`.
    """
    last = max(0, samples - crop_samples)
    starts = np.arange(0, last + 1, crop_hop_samples, dtype=np.int64)
    return starts if starts[-1] == last else np.append(starts, last)


def tile_to_length(waveform: NDArray[np.float32], samples: int) -> NDArray[np.float32]:
    """Repeat a waveform that is too short for a crop until it fills one; a longer one is left alone."""
    return waveform if waveform.shape[0] >= samples else np.resize(waveform, samples)


class ClipPool:
    """Mean and maximum of crop embeddings, gathered batch by batch: (clips, 2 D) float32."""

    def __init__(self, clips: int, embedding_dim: int) -> None:
        self._sum = torch.zeros(clips, embedding_dim)
        self._max = torch.full((clips, embedding_dim), -torch.inf)
        self._crops = torch.zeros(clips, 1)

    def add(self, crop_embeddings: Tensor, clips: Tensor) -> None:
        """Take in (B, D) embeddings of crops that belong to the clips (B,) of these numbers."""
        self._sum.index_add_(0, clips, crop_embeddings)
        self._max.scatter_reduce_(0, clips[:, None].expand_as(crop_embeddings), crop_embeddings, "amax")
        self._crops.index_add_(0, clips, torch.ones(len(clips), 1))

    def result(self) -> Tensor:
        """(clips, 2 D): the mean over the crops of each clip, then the maximum."""
        return torch.cat([self._sum / self._crops, self._max], dim=1)


class AudioEncoder(nn.Module):
    """An encoder from waveforms of any length and rate to embeddings of one size.

    A clip is cut into overlapping crops; its embedding is the mean and the maximum of theirs.
    """

    def __init__(
        self,
        config: AudioEncoderConfig,
        encoder: nn.Module | None = None,
        *,
        device: Device = "auto",
        precision: Precision = "auto",
    ) -> None:
        super().__init__()
        self.config = config
        self.device = resolve_device(device)
        self.precision: Precision = precision
        self.log_mel = LogMel(config.log_mel).to(self.device)
        encoder = build_encoder(config.encoder) if encoder is None else encoder
        self.crop_embedding_dim = int(encoder.embedding_dim)  # type: ignore[arg-type]
        self.encoder = encoder.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.eval()

    @property
    def embedding_dim(self) -> int:
        """Size of a clip's embedding: twice the encoder's own, for mean and maximum."""
        return 2 * self.crop_embedding_dim

    @torch.no_grad()
    def embed_crops(self, crops: Tensor) -> Tensor:
        """Embeddings of crops at the encoder's own rate: (B, L) float32 -> (B, D) float32 on the CPU."""
        log_mel = self.config.statistics.normalise(self.log_mel(crops.to(self.device)))  # (B, F, T)
        with autocast(self.precision, self.device):
            embeddings: Tensor = self.encoder(log_mel.unsqueeze(1))  # (B, D)
        return embeddings.float().cpu()

    def embed(self, waveform: ArrayLike | Tensor, sample_rate_hz: int) -> Tensor:
        """Embed one recording or a batch of recordings of the same length.

        Args:
            waveform: (L,) or (B, L), numpy or torch, any real type; floats within about -1..1, integers are
                scaled by their type's range. Any length of at least one sample.
            sample_rate_hz: its rate, at least 1; resampled to the encoder's where it differs.

        Returns:
            (D,) for a 1-D waveform, (B, D) for a 2-D one; float32 on the CPU, D = `embedding_dim`.

        Raises:
            ValueError: another shape, no samples, NaN or infinite samples, or a rate below 1.
        """
        batch = _as_float_batch(waveform)
        if sample_rate_hz < 1:
            raise ValueError(f"sample_rate_hz={sample_rate_hz} must be at least 1")
        embeddings = torch.stack([self._embed_one(one, int(sample_rate_hz)) for one in batch])
        return embeddings[0] if np.ndim(waveform) == 1 else embeddings

    def _embed_one(self, waveform: NDArray[np.float32], sample_rate_hz: int) -> Tensor:
        crop_samples = self.config.crop_samples
        waveform = resample(waveform, sample_rate_hz, self.config.log_mel.sample_rate_hz)
        waveform = tile_to_length(waveform, crop_samples)
        starts = crop_starts(waveform.shape[0], crop_samples, self.config.crop_hop_samples)
        pool = ClipPool(1, self.crop_embedding_dim)
        for first in range(0, len(starts), CROPS_PER_BATCH):
            crops = np.stack(
                [waveform[s : s + crop_samples] for s in starts[first : first + CROPS_PER_BATCH]]
            )
            pool.add(self.embed_crops(torch.from_numpy(crops)), torch.zeros(len(crops), dtype=torch.int64))
        return pool.result()[0]

    def save(self, folder: str | Path) -> None:
        """Write weights (safetensors) and config (JSON) into a folder, which is made if it is missing."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        weights = {
            name: value.detach().cpu().contiguous() for name, value in self.encoder.state_dict().items()
        }
        safetensors.torch.save_file(weights, folder / WEIGHTS_FILE)
        (folder / CONFIG_FILE).write_text(self.config.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path, *, device: Device = "auto", precision: Precision = "auto") -> Self:
        """Read an encoder folder; nothing in it is executed, and every weight must fit.

        Raises:
            FileNotFoundError: the folder lacks `encoder.json` or `encoder.safetensors`.
            ValueError: one of them is not of this format, or the weights are not those of the config.
        """
        folder = Path(folder)
        for name in (CONFIG_FILE, WEIGHTS_FILE):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"{folder} is no encoder folder: it has no {name}")
        text = (folder / CONFIG_FILE).read_text(encoding="utf-8")
        try:
            config = AudioEncoderConfig.model_validate(json.loads(text))
        except (ValidationError, json.JSONDecodeError) as error:
            raise ValueError(f"{folder / CONFIG_FILE} is not an encoder's config: {error}") from error
        audio_encoder = cls(config, device=device, precision=precision)
        try:
            weights = safetensors.torch.load_file(folder / WEIGHTS_FILE)
            audio_encoder.encoder.load_state_dict(weights, strict=True)
        except (RuntimeError, safetensors.SafetensorError) as error:
            raise ValueError(
                f"{folder / WEIGHTS_FILE} does not hold the weights of its config: {error}"
            ) from error
        return audio_encoder


def _as_float_batch(waveform: ArrayLike | Tensor) -> NDArray[np.float32]:
    array = waveform.detach().cpu().numpy() if isinstance(waveform, Tensor) else np.asarray(waveform)
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(
            f"waveform has shape {array.shape}; give (samples,) for one recording or (recordings, samples), "
            "with at least one sample"
        )
    if np.issubdtype(array.dtype, np.signedinteger):
        array = array / -float(np.iinfo(array.dtype).min)
    elif not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"waveform is of type {array.dtype}; give floats within -1..1 or signed integers")
    array = np.atleast_2d(array.astype(np.float32, copy=False))
    if not np.isfinite(array).all():
        raise ValueError("waveform holds NaN or infinite samples; remove them before embedding")
    return array
