"""Log-mel front end: the one way from a waveform to what every encoder sees."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor, nn

from echopair.models.log_mel_config import LogMelConfig

# On a CPU the power spectrogram of a few crops stays in cache; that of a whole batch does not, and is
# three times slower.
CPU_CHUNK_SAMPLES = 16 * 15360


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
        crops_per_chunk = max(1, CPU_CHUNK_SAMPLES // waveforms.shape[1])
        return torch.cat([self._log_mel(chunk) for chunk in torch.split(waveforms, crops_per_chunk)])

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
