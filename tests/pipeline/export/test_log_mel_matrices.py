"""Log-mels by matrices against those of `LogMel`."""

import pytest
import torch

from echopair.models.log_mel import LogMel
from echopair.models.log_mel_config import LogMelConfig
from echopair.pipeline.export.log_mel_matrices import LogMelMatrices

BATS = LogMelConfig(
    sample_rate_hz=256000, mel_bands=32, window_seconds=0.002, hop_seconds=0.0005, min_hz=10000
)


@pytest.mark.parametrize(
    ("config", "samples"),
    [
        (LogMelConfig(), 15360),
        (LogMelConfig(), 300),  # shorter than a window: padded with silence
        (LogMelConfig(sample_rate_hz=44100), 44101),  # a hop of 441 samples in windows of 4096
        (LogMelConfig(hop_seconds=0.064), 20000),  # more samples than whole frames
        (LogMelConfig(mel_bands=8, floor_db=-200), 1600),
        (BATS, 12345),
        (LogMelConfig(sample_rate_hz=1000, mel_bands=8, window_seconds=0.003, hop_seconds=0.002), 99),
    ],
)
@pytest.mark.filterwarnings("ignore:At least one mel filterbank")
def test_equal_those_of_the_transform(config: LogMelConfig, samples: int) -> None:
    log_mel = LogMel(config)
    draw = torch.Generator().manual_seed(0)
    noise = torch.randn(3, samples, generator=draw) * torch.tensor([[1e-4], [0.1], [1.0]])
    waveforms = torch.cat([noise, torch.zeros(1, samples)])
    matrices = LogMelMatrices(log_mel, samples)
    assert all(value.dtype == torch.float32 for value in matrices.buffers())
    torch.testing.assert_close(matrices(waveforms), log_mel(waveforms), rtol=0, atol=1e-3)
    difference = (matrices(waveforms) - log_mel(waveforms)).abs().mean()
    assert difference < 1e-6
