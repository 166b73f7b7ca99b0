"""What a user takes home: log-mel front end, statistics and encoder, in a folder that describes itself."""

import copy
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field, field_validator, model_validator
from torch import Tensor, nn

from echopair.models.clip_crops import ClipPool, crop_starts, tile_to_length
from echopair.models.encoders import AnyEncoderConfig, SampleCnnConfig, build_encoder
from echopair.models.log_mel import LogMel, LogMelStatistics
from echopair.models.log_mel_config import LogMelConfig
from echopair.models.precision import Device, Precision, autocast, resolve_device
from echopair.models.resample import resample
from echopair.models.waveforms import Channels, OneRecording, is_one, waveforms

CONFIG_FILE = "encoder.json"
WEIGHTS_FILE = "encoder.safetensors"
# Crops in one forward pass: large enough to keep a CPU or GPU busy, small enough for any memory.
CROPS_PER_BATCH = 128
# On a CPU the feature maps of fewer crops stay in cache: with 64 the default encoder takes a tenth less time.
CROPS_ON_CPU = 64
# Distance of two recordings among the positions of their crops, so that none overlap; longer than any.
LONGEST_SAMPLES = 2**38


class AudioEncoderConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Everything besides the weights that decides an embedding; stored as JSON beside them."""

    format: Literal["echopair-encoder"] = "echopair-encoder"
    format_version: Literal[1] = 1
    log_mel: LogMelConfig
    log_mel_mean: float
    log_mel_standard_deviation: float = Field(gt=0)
    encoder: AnyEncoderConfig
    crop_seconds: float = Field(gt=0, le=3600, description="length of a crop")
    crop_hop_seconds: float = Field(gt=0, description="time between the starts of two crops")

    @field_validator("encoder", mode="before")
    @classmethod
    def _depths_of_earlier_versions(cls, values: Any) -> Any:
        """A ResNet without the key was saved before there were other depths than the last."""
        if isinstance(values, dict) and values.get("name") == "resnet":
            return {"depths": "last"} | values
        return values

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
        self.crop_embedding_dim = int(encoder.readout_dim)  # type: ignore[arg-type]
        self.encoder = encoder.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.eval()

    @property
    def embedding_dim(self) -> int:
        """Size of a clip's embedding: twice the encoder's own, for mean and maximum."""
        return 2 * self.crop_embedding_dim

    @torch.no_grad()
    def embed_crops(self, crops: Tensor, recordings: Tensor, starts: Tensor) -> Tensor:
        """Embeddings of crops at the encoder's own rate.

        Args:
            crops: (B, L) float32.
            recordings: (B,) int64, number of the recording that each crop is cut from.
            starts: (B,) int64, its first sample there; what overlapping crops share is computed once.

        Returns:
            (B, D) float32 on the CPU.
        """
        crops = crops.to(self.device)
        if isinstance(self.config.encoder, SampleCnnConfig):
            inputs = crops.unsqueeze(1)  # (B, 1, L)
        else:
            log_mels = self.log_mel.of_overlapping(crops, recordings * LONGEST_SAMPLES + starts)  # (B, F, T)
            inputs = self.config.statistics.normalise(log_mels)
        with autocast(self.precision, self.device):
            at_once = CROPS_ON_CPU if self.device.type == "cpu" else len(inputs)
            embeddings = torch.cat(
                [self.encoder.readout(part.unsqueeze(1)) for part in torch.split(inputs, at_once)]
            )  # (B, D)
        return embeddings.float().cpu()

    def folded(self) -> Self:
        """A copy that embeds faster: each batch normalisation is part of the weights of its convolution.

        Its embeddings differ by rounding alone. It is in evaluation mode for good, and cannot be saved or trained.
        """
        folded = copy.deepcopy(self)
        for name, layers in folded.encoder.named_children():
            if isinstance(layers, nn.Sequential):
                setattr(folded.encoder, name, _fused(layers).to(memory_format=torch.channels_last))  # type: ignore[call-overload]
        return folded

    def embed(
        self,
        recordings: OneRecording | Sequence[OneRecording],
        sample_rate_hz: int | None = None,
        *,
        channels: Channels | None = None,
    ) -> Tensor:
        """Embed one recording or several.

        Args:
            recordings: a path, an open file, or (L,) numpy or torch; or several: a list of these, or (B, L). Floats
                within about -1..1, or integers of at most 32 bits, scaled by their type's range.
            sample_rate_hz: of arrays, 1000 to 2 million; resampled to the encoder's where it differs.
            channels: "last" if a 2-D array is one recording of (samples, channels), as soundfile returns it, "first"
                for (channels, samples), as torchaudio does. The channels are averaged, as those of files are.

        Returns:
            (D,) for one recording, (B, D) for several; float32 on the CPU, D = `embedding_dim`.

        Raises:
            ValueError: another shape or type, no samples, NaN, infinite or huge samples, a rate out of range, a file
                that is no sound, or an encoder whose output is not finite.
        """
        one = is_one(recordings, channels)
        numbers: list[int] = []
        starts: list[int] = []
        batch: list[NDArray[np.float32]] = []
        pool = ClipPool(1 if one else len(recordings), self.crop_embedding_dim)  # type: ignore[arg-type]

        def flush() -> None:
            crops = torch.from_numpy(np.stack(batch))
            rows = torch.tensor(numbers)
            pool.add(self.embed_crops(crops, rows, torch.tensor(starts)), rows)
            numbers.clear()
            starts.clear()
            batch.clear()

        for number, (waveform, rate) in enumerate(waveforms(recordings, sample_rate_hz, channels)):
            for start, crop in self._crops(waveform, rate):
                numbers.append(number)
                starts.append(start)
                batch.append(crop)
                if len(batch) == CROPS_PER_BATCH:
                    flush()
        if batch:
            flush()
        embeddings = pool.result()
        if not embeddings.isfinite().all():
            raise ValueError("the embedding is not finite: weights or statistics of the encoder are damaged")
        return embeddings[0] if one else embeddings

    def _crops(
        self, waveform: NDArray[np.float32], sample_rate_hz: int
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        own_rate, crop_samples = self.config.log_mel.sample_rate_hz, self.config.crop_samples
        resampled = resample(waveform, sample_rate_hz, own_rate)
        if not resampled.size:
            raise ValueError(
                f"a waveform of {waveform.size} samples leaves none at {own_rate} Hz; it is too short"
            )
        resampled = tile_to_length(resampled, crop_samples)
        for start in crop_starts(resampled.shape[0], crop_samples, self.config.crop_hop_samples).tolist():
            yield start, resampled[start : start + crop_samples]

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
        try:
            text = (folder / CONFIG_FILE).read_text(encoding="utf-8")
            config = AudioEncoderConfig.model_validate(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{folder / CONFIG_FILE} is not an encoder's config: {error}") from error
        try:
            _check_shapes(config, folder / WEIGHTS_FILE)
            audio_encoder = cls(config, device=device, precision=precision)
            weights = safetensors.torch.load_file(folder / WEIGHTS_FILE)
            audio_encoder.encoder.load_state_dict(weights, strict=True)
        except (RuntimeError, safetensors.SafetensorError) as error:
            raise ValueError(
                f"{folder / WEIGHTS_FILE} does not hold the weights of its config: {error}"
            ) from error
        damaged = [name for name, value in weights.items() if not value.isfinite().all()]
        if damaged:
            raise ValueError(
                f"{folder / WEIGHTS_FILE} is damaged: {damaged[0]} holds NaN or infinite weights"
            )
        return audio_encoder


def _fused(layers: nn.Module) -> nn.Module:
    """Layers whose convolutions have the batch normalisations in their weights; blocks can still be run one by one."""
    from torch.fx.experimental.optimization import fuse  # not needed by most who load an encoder

    if isinstance(layers, nn.Sequential) and not any(isinstance(one, nn.Conv2d) for one in layers):
        return nn.Sequential(*map(_fused, layers))
    fused: nn.Module = fuse(layers)
    return fused


def _check_shapes(config: AudioEncoderConfig, file: Path) -> None:
    """Compare shapes before any memory is taken for weights: an absurd width would take all there is."""
    with torch.device("meta"):
        expected = {
            name: list(value.shape) for name, value in build_encoder(config.encoder).state_dict().items()
        }
    with safetensors.safe_open(file, framework="pt") as weights:
        found = {name: list(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118
    different = sorted(
        name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
    )
    if different:
        name = different[0]
        raise RuntimeError(f"{name} has shape {found.get(name)}, not {expected.get(name)}")
