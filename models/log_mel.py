"""Log-mel front end: the one way from a waveform to what every encoder sees."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor, nn

from echopair.models.log_mel_config import LogMelConfig

# On a CPU the spectra of some frames stay in cache; those of a whole batch do not, and are twice as slow.
CPU_CHUNK_FRAMES = 384
# Bands of one product with the filterbank, which is nearly all zeros: few bands need few bins.
BANDS_PER_PRODUCT = 16


@dataclass(frozen=True)
class LogMelStatistics:
    """Mean and standard deviation of the log-mels of the pretraining clips, over bands and frames."""

    mean: float
    standard_deviation: float

    def normalise(self, log_mel: Tensor) -> Tensor:
        """Shift and scale a log-mel of any shape to zero mean and unit deviation over the clips."""
        return (log_mel - self.mean).div_(self.standard_deviation)


class LogMel(nn.Module):
    """Natural logarithm of the mel power spectrogram, 0 for a full-scale sine in one band's centre.

    Frames are one hop each: L samples give L // hop frames, so a crop of 0.96 s has exactly 96.
    """

    window: Tensor
    filterbank: Tensor

    def __init__(self, config: LogMelConfig) -> None:
        super().__init__()
        self.config = config
        fft_samples = config.transform_samples
        window = {"hann": torch.hann_window, "hamming": torch.hamming_window}[config.window](
            config.window_samples
        )
        filterbank = torchaudio.functional.melscale_fbanks(
            fft_samples // 2 + 1,
            config.min_hz,
            config.max_hz,
            config.mel_bands,
            config.sample_rate_hz,
            mel_scale=config.mel_scale,
        )  # (bins, F)
        full_scale_sine = float(window.sum() / 2) ** 2
        # One column for the square of a bin's real value and one for that of its imaginary value.
        filterbank = (filterbank.T / full_scale_sine).repeat_interleave(2, dim=1)  # (F, 2 bins)
        starts = range(0, config.mel_bands, BANDS_PER_PRODUCT)
        self.products = [
            (bands, _nonzero_columns(filterbank[bands])) for bands in map(slice, starts, (*starts[1:], None))
        ]
        self.fft_samples = fft_samples
        self.floor_power = 10 ** (config.floor_db / 10)
        before = (fft_samples - config.window_samples) // 2
        window = F.pad(window, (before, fft_samples - config.window_samples - before))
        # Both are functions of the config: nothing of them belongs into a state dict.
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filterbank", filterbank, persistent=False)

    @property
    def band_centres_hz(self) -> list[float]:
        """Centre frequency of each mel band in Hz, lowest first; F values."""
        from librosa import mel_frequencies

        config = self.config
        edges = mel_frequencies(
            config.mel_bands + 2, fmin=config.min_hz, fmax=config.max_hz, htk=config.mel_scale == "htk"
        )
        return [float(edge) for edge in edges[1:-1]]

    @torch.no_grad()
    def forward(self, waveforms: Tensor) -> Tensor:
        """Log-mel of a batch of waveforms.

        Args:
            waveforms: (B, L) float32 within about -1..1 at `config.sample_rate_hz`; L of at least 1.

        Returns:
            (B, F, T) float32 natural-log mel power, T = max(1, L // hop).
        """
        if waveforms.device.type != "cpu":
            log_mels = [self._log_mel(self._frames(waveforms))]
        else:
            crops_per_chunk = max(1, CPU_CHUNK_FRAMES // self.config.frames(waveforms.shape[1]))
            log_mels = [
                self._log_mel(frames)
                for crops in torch.split(waveforms, crops_per_chunk)
                for frames in torch.split(self._frames(crops), CPU_CHUNK_FRAMES, dim=1)
            ]
        log_mel = torch.cat(log_mels, dim=1)  # (F, B T)
        return log_mel.view(len(log_mel), len(waveforms), -1).transpose(0, 1).contiguous()

    @torch.no_grad()
    def of_overlapping(self, waveforms: Tensor, positions: Tensor) -> Tensor:
        """Log-mels as of `forward`, of crops that overlap: a frame that several of them hold is computed once.

        Args:
            waveforms: (B, L), see `forward`.
            positions: (B,) int64, first sample of each crop in the signal that all are cut from.

        Returns:
            (B, F, T), see `forward`.
        """
        samples = waveforms.shape[1]
        padded = self._padded(waveforms)
        frames = padded.view(-1).unfold(
            0, self.fft_samples, self.config.hop_samples
        )  # of all waveforms, one hop each
        rows = torch.arange(0, padded.numel(), padded.shape[1], device=waveforms.device)
        numbers = (  # in `frames`, (B, T)
            rows[:, None] // self.config.hop_samples
            + torch.arange(self.config.frames(samples), device=waveforms.device)
        )
        first = numbers[0] * self.config.hop_samples - self.padding(samples)[0]  # sample of the crop, (T,)
        # A frame at a crop's edge holds padding: it is the frame of no other crop.
        edge = (first < 0) | (first + self.fft_samples > samples)
        content = torch.where(edge, -1 - numbers, positions.to(waveforms.device)[:, None] + first)  # (B, T)
        distinct, place = torch.unique(content, return_inverse=True)  # (n,), (B, T)
        source = torch.empty_like(distinct).scatter_(0, place.flatten(), numbers.flatten())
        at_once = CPU_CHUNK_FRAMES if waveforms.device.type == "cpu" else len(source)
        log_mels = [
            self._log_mel(frames.index_select(0, some))  # in a third of the time of frames[some]
            for some in torch.split(source, at_once)
        ]
        log_mel = torch.cat(log_mels, dim=1).index_select(1, place.flatten())  # (F, B T)
        return log_mel.view(len(log_mel), *place.shape).transpose(0, 1).contiguous()

    def padding(self, samples: int) -> tuple[int, int]:
        """Samples before and behind a waveform that make its frames one hop each."""
        frames = self.config.frames(samples)
        padding = (frames - 1) * self.config.hop_samples + self.fft_samples - samples
        left = max(0, padding // 2)
        return left, max(0, padding - left)

    def _frames(self, waveforms: Tensor) -> Tensor:
        """Overlapping frames (B, T, fft) of padded waveforms (B, L), as a view."""
        frames = self._padded(waveforms).unfold(1, self.fft_samples, self.config.hop_samples)
        return frames[:, : self.config.frames(waveforms.shape[1])]  # one more may fit into the zeros

    def _padded(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, L) with their `padding`, and zeros behind it up to a whole number of hops."""
        samples = waveforms.shape[1]
        left, right = self.padding(samples)
        rest = -(left + samples + right) % self.config.hop_samples
        # Reflection needs more samples than it adds; what is shorter than that is padded with silence.
        if samples <= max(left, right):
            return F.pad(waveforms, (left, right + rest))
        before = waveforms[:, 1 : left + 1].flip(1)
        behind = waveforms[:, samples - 1 - right : samples - 1].flip(1)
        # In half the time of F.pad(mode="reflect").
        return torch.cat([before, waveforms, behind, waveforms.new_zeros(len(waveforms), rest)], dim=1)

    def _log_mel(self, frames: Tensor) -> Tensor:
        """Log-mel (F, n) of frames (..., fft), of which there are n in all."""
        spectrum = torch.fft.rfft(frames * self.window)
        squares = torch.view_as_real(spectrum).square_().view(-1, self.filterbank.shape[1])  # (n, 2 bins)
        power = [self.filterbank[bands, bins] @ squares[:, bins].T for bands, bins in self.products]
        return torch.cat(power).add_(self.floor_power).log_()


def _nonzero_columns(matrix: Tensor) -> slice:
    """From the first column that is not all zeros to the last."""
    nonzero = matrix.any(dim=0).int()
    return slice(int(nonzero.argmax()), len(nonzero) - int(nonzero.flip(0).argmax()))
