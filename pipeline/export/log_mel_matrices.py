"""The log-mel as products of matrices, which every runtime computes fast."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from echopair.models.log_mel import LogMel


class LogMelMatrices(nn.Module):
    """Log-mels of waveforms of one length, equal to those of `LogMel` up to rounding.

    The Fourier transform of N = P Q samples is made of transforms of P samples and of Q, one product of matrices each;
    the second holds the twiddle factors. It takes an eighth of the time of onnxruntime's operator DFT (1.32, 1,024
    samples, two cores).

    Args:
        log_mel: whose log-mels they are.
        samples: L of the waveforms.

    Source: Cooley and Tukey, An Algorithm for the Machine Calculation of Complex Fourier Series, 1965, section 2.
    """

    window: Tensor
    first: Tensor
    second: Tensor
    filterbank: Tensor

    def __init__(self, log_mel: LogMel, samples: int) -> None:
        super().__init__()
        self.samples = samples
        self.frames = log_mel.config.frames(samples)
        self.hop_samples = log_mel.config.hop_samples
        self.fft_samples = n = log_mel.fft_samples
        self.padding = log_mel.padding(samples)
        self.floor_power = log_mel.floor_power
        self.p = p = 2 ** (int(math.log2(n)) // 2)
        self.q = q = n // p
        # Sample Q i + j of a frame, bin k + P m of its spectrum; bins beyond N / 2 repeat those before.
        i, j, k, m = (torch.arange(size, dtype=torch.float64) for size in (p, q, p, q // 2 + 1))
        first = _rotation(k[:, None] * i / p)  # (P, P)
        second = _rotation(k[:, None, None] * j[:, None] / n + j[:, None] * m / q)  # (P, Q, bins)
        from_real = torch.cat([second.real, second.imag], 2)
        from_imaginary = torch.cat([-second.imag, second.real], 2)
        filterbank = log_mel.filterbank[:, ::2].cpu()  # (F, N / 2 + 1)
        filterbank = F.pad(filterbank, (0, p * len(m) - filterbank.shape[1])).view(-1, len(m), p)
        filterbank = (
            filterbank.permute(2, 1, 0).repeat(1, 2, 1).flatten(0, 1)
        )  # of squares of real and imaginary
        self.register_buffer("window", log_mel.window.cpu().view(p, q))
        self.register_buffer("first", torch.cat([first.real, first.imag]).float())  # (2 P, P)
        self.register_buffer("second", torch.cat([from_real, from_imaginary], 1).float())  # (P, 2 Q, 2 bins)
        self.register_buffer("filterbank", filterbank.contiguous())  # (2 P bins, F)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Log-mels (B, F, T) of waveforms (B, L)."""
        frames = self._frames(waveforms).reshape(-1, self.p, self.q)  # (B T, P, Q)
        spectra = self.first @ (frames * self.window)  # (B T, 2 P, Q)
        # Each axis is moved alone: onnxruntime copies whole rows then.
        spectra = spectra.view(-1, 2, self.p, self.q).permute(2, 0, 1, 3)  # (P, B T, 2, Q)
        spectra = spectra.reshape(self.p, -1, 2 * self.q) @ self.second  # (P, B T, 2 bins)
        squares = (spectra * spectra).transpose(0, 1).reshape(-1, self.filterbank.shape[0])
        log_mels = (squares @ self.filterbank + self.floor_power).log()  # (B T, F)
        return log_mels.view(waveforms.shape[0], self.frames, -1).transpose(1, 2)

    def _frames(self, waveforms: Tensor) -> Tensor:
        """Overlapping frames (B, T, N): stretches of one hop side by side, which copies whole rows."""
        hops = math.ceil(self.fft_samples / self.hop_samples)
        left, right = self.padding
        mode = "reflect" if self.samples > max(left, right) else "constant"
        padded = F.pad(waveforms, (left, right), mode=mode)
        padded = F.pad(padded, (0, (self.frames + hops - 1) * self.hop_samples - padded.shape[1]))
        rows = padded.view(waveforms.shape[0], -1, self.hop_samples)
        frames = torch.cat([rows[:, hop : hop + self.frames] for hop in range(hops)], dim=2)
        return frames[:, :, : self.fft_samples]


def _rotation(turns: Tensor) -> Tensor:
    """exp(-2 pi i turns)."""
    return torch.polar(torch.ones_like(turns), -2 * math.pi * turns)
