"""Log-mel front end: the one way from a waveform to what every encoder sees."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
import torchaudio
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

# On a CPU the power spectrogram of a few crops stays in cache; that of a whole batch does not, and is
# three times slower.
CPU_CHUNK_SAMPLES = 16 * 15360


class LogMelConfig(BaseModel, frozen=True, extra="forbid"):
    """Parameters of the log-mel; the defaults are those of BYOL-A (Niizumi et al. 2021, section III-A)."""

    sample_rate_hz: int = Field(16000, ge=1000, le=500000, description="rate of the clips and of the encoder")
    mel_bands: int = Field(64, ge=8, le=256, description="mel bands (HTK scale), F")
    window_seconds: float = Field(0.064, gt=0, le=0.5, description="length of the Hann window")
    hop_seconds: float = Field(0.010, gt=0, le=0.1, description="time between two frames")
    min_hz: float = Field(60.0, ge=0, description="lower edge of the lowest mel band")
    max_hz: float = Field(7800.0, gt=0, description="upper edge of the highest mel band")
    floor_db: float = Field(-90.0, ge=-200, le=-20, description="added power, dB below a full-scale sine")

    @model_validator(mode="after")
    def _ranges_fit(self) -> "LogMelConfig":
        if self.max_hz > self.sample_rate_hz / 2:
            raise ValueError(
                f"max_hz={self.max_hz:g} is above half of sample_rate_hz={self.sample_rate_hz}; "
                f"set max_hz to at most {self.sample_rate_hz / 2:g}"
            )
        if self.min_hz >= self.max_hz:
            raise ValueError(f"min_hz={self.min_hz:g} must be below max_hz={self.max_hz:g}")
        if self.hop_samples > self.window_samples:
            raise ValueError(
                f"hop_seconds={self.hop_seconds:g} must not exceed window_seconds={self.window_seconds:g}"
            )
        return self

    @property
    def window_samples(self) -> int:
        """Length of the window, at least 2 samples."""
        return max(2, round(self.window_seconds * self.sample_rate_hz))

    @property
    def hop_samples(self) -> int:
        """Samples between two frames, at least 1."""
        return max(1, round(self.hop_seconds * self.sample_rate_hz))

    def frames(self, samples: int) -> int:
        """How many frames T a waveform of `samples` samples gives: one for each whole hop, at least one."""
        return max(1, samples // self.hop_samples)


@dataclass(frozen=True)
class LogMelStatistics:
    """Mean and standard deviation of the log-mels of the pretraining clips, over bands and frames."""

    mean: float
    standard_deviation: float

    def normalise(self, log_mel: Tensor) -> Tensor:
        """Shift and scale a log-mel of any shape to zero mean and unit deviation over the clips."""
        return (log_mel - self.mean) / self.standard_deviation


class LogMel(nn.Module):
    """Natural logarithm of the mel power spectrogram, 0 for a full-scale sine in one band's centre.

    Frames are one hop each: L samples give L // hop frames, so a crop of 0.96 s has exactly 96.
    """

    def __init__(self, config: LogMelConfig) -> None:
        super().__init__()
        self.config = config
        fft_samples = 2 ** math.ceil(math.log2(config.window_samples))
        self.mel = torchaudio.transforms.MelSpectrogram(
            sample_rate=config.sample_rate_hz,
            n_fft=fft_samples,
            win_length=config.window_samples,
            hop_length=config.hop_samples,
            f_min=config.min_hz,
            f_max=config.max_hz,
            n_mels=config.mel_bands,
            center=False,
        )
        self.fft_samples = fft_samples
        full_scale_sine = float(self.mel.spectrogram.window.sum() / 2) ** 2
        self.mel.mel_scale.fb /= full_scale_sine
        self.floor_power = 10 ** (config.floor_db / 10)
        # Both are functions of the config: nothing of them belongs into a state dict.
        for module in (self.mel.spectrogram, self.mel.mel_scale):
            module._non_persistent_buffers_set.update(module._buffers)

    @property
    def band_centres_hz(self) -> list[float]:
        """Centre frequency of each mel band in Hz, lowest first; F values."""
        edges = torch.linspace(
            _hz_to_mel(self.config.min_hz), _hz_to_mel(self.config.max_hz), self.config.mel_bands + 2
        )
        return [700.0 * (10.0 ** (mel / 2595.0) - 1.0) for mel in edges[1:-1].tolist()]

    @torch.no_grad()
    def forward(self, waveforms: Tensor) -> Tensor:
        """Log-mel of a batch of waveforms.

        Args:
            waveforms: (B, L) float32 within about -1..1 at `config.sample_rate_hz`; L of at least 1.

        Returns:
            (B, F, T) float32 natural-log mel power, T = max(1, L // hop).
        """
        if waveforms.device.type != "cpu":
            return self._log_mel(waveforms)
        crops_a_chunk = max(1, CPU_CHUNK_SAMPLES // waveforms.shape[1])
        return torch.cat([self._log_mel(chunk) for chunk in torch.split(waveforms, crops_a_chunk)])

    def _log_mel(self, waveforms: Tensor) -> Tensor:
        frames = self.config.frames(waveforms.shape[1])
        padding = (frames - 1) * self.config.hop_samples + self.fft_samples - waveforms.shape[1]
        left = max(0, padding // 2)
        right = max(0, padding - left)
        # Reflection needs more samples than it adds; what is shorter than that is padded with silence.
        mode = "reflect" if waveforms.shape[1] > max(left, right) else "constant"
        padded = F.pad(waveforms, (left, right), mode=mode)
        power: Tensor = self.mel(padded)  # (B, F, T)
        return power.add_(self.floor_power).log_()


def _hz_to_mel(frequency_hz: float) -> float:
    return 2595.0 * math.log10(1.0 + frequency_hz / 700.0)
