"""The small VGG-like encoder of Fonseca et al. 2021."""

import torch
from torch import Tensor, nn

from echopair.models.encoders.base import Encoder
from echopair.models.encoders.configs import VggLikeConfig


class VggLike(Encoder):
    """Three, two and one 3x3 convolutions, each stage closed by 2x2 max pooling; then one dense layer.

    Maximum and mean over bands and frames, side by side, enter the dense layer; the embedding is its
    rectified output.

    Args:
        config: width of the stages and of the embedding.

    Source: Fonseca et al., Unsupervised Contrastive Learning of Sound Event Representations, ICASSP 2021.
    """

    def __init__(self, config: VggLikeConfig) -> None:
        super().__init__(config)
        self.embedding_dim = config.embedding_dim
        layers: list[nn.Module] = []
        channels = 1
        for stage, conv_count in enumerate((3, 2, 1)):
            stage_channels = config.width * 2**stage
            for _ in range(conv_count):
                layers += [
                    nn.Conv2d(channels, stage_channels, 3, padding=1, bias=False),
                    nn.BatchNorm2d(stage_channels),
                    nn.ReLU(inplace=True),
                ]
                channels = stage_channels
            layers.append(nn.MaxPool2d(2))
        self.layers = nn.Sequential(*layers)
        self.feature_channels = channels
        self.dense = nn.Linear(2 * channels, config.embedding_dim)

    def convolve(self, log_mel: Tensor) -> Tensor:
        features: Tensor = self.layers(log_mel)  # (B, 4 * width, F / 8, T / 8)
        return features

    def pool(self, features: Tensor) -> Tensor:
        pooled = torch.cat([features.amax((2, 3)), features.mean((2, 3))], dim=1)  # (B, 8 * width)
        return torch.relu(self.dense(pooled))  # (B, D)
