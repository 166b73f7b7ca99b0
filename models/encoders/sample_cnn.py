"""SampleCNN: an encoder of waveforms."""

import torch
from torch import Tensor, nn

from echopair.models.encoders.base import Encoder
from echopair.models.encoders.configs import SampleCnnConfig


class SampleCnn(Encoder):
    """Convolutions of 3 samples on the waveform, each followed by max pooling of 3; mean and maximum over time.

    The input is a waveform in place of a log-mel, (B, 1, 1, L): one band, and a sample for each frame. The embedding
    has `8 * width` dimensions. The authors' last pooling leaves one frame; here their mean and maximum are taken, so
    that any length fits the same weights.

    Args:
        config: width and number of blocks.

    Source: Lee et al., Sample-level Deep Convolutional Neural Networks for Music Auto-tagging Using Raw Waveforms,
    SMC 2017, section 3 and table 1.
    """

    def __init__(self, config: SampleCnnConfig) -> None:
        super().__init__(config)
        layers: list[nn.Module] = [*_convolution(1, config.width, stride=3)]
        channels = config.width
        for block in range(config.blocks):
            # As in the paper, wider towards the end: twice after two blocks, four times in the last one.
            widening = 4 if block == config.blocks - 1 else 1 if block < 2 else 2
            # Rounded up, so that no length is too short for the later blocks.
            layers += [
                *_convolution(channels, widening * config.width),
                nn.MaxPool2d((1, 3), ceil_mode=True),
            ]
            channels = widening * config.width
        self.layers = nn.Sequential(*layers)
        self.feature_channels = channels
        self.embedding_dim = 2 * channels

    def convolve(self, log_mel: Tensor) -> Tensor:
        features: Tensor = self.layers(log_mel)  # (B, 4 * width, 1, L / 3 ** (blocks + 1))
        return features

    def pool(self, features: Tensor) -> Tensor:
        frames = features.flatten(2)  # (B, 4 * width, T')
        return torch.cat([frames.mean(2), frames.amax(2)], dim=1)  # (B, D)


def _convolution(in_channels: int, out_channels: int, stride: int = 1) -> list[nn.Module]:
    padding = 0 if stride > 1 else 1
    return [
        nn.Conv2d(in_channels, out_channels, (1, 3), (1, stride), (0, padding), bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]
