"""A ResNet for log-mels, half as wide as ResNet-18 by default."""

from itertools import accumulate

import torch
from torch import Tensor, nn

from echopair.models.encoders.base import Encoder
from echopair.models.encoders.configs import ResNetConfig


class ResNet(Encoder):
    """Residual network of basic blocks; mean and maximum over bands and frames, side by side.

    The embedding has `width * 2 ** stages` dimensions; the readout of all depths has twice as many, those of the stem
    and of each stage side by side.

    Args:
        config: width, stem and depth.

    Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016 (blocks and initialisation);
    Fonseca et al., Unsupervised Contrastive Learning of Sound Event Representations, ICASSP 2021 (pooling);
    Niizumi et al., Composing General Audio Representation by Fusing Multilayer Features of a Pre-trained Model,
    EUSIPCO 2022 (depths).
    """

    config: ResNetConfig

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__(config)
        self.stem = _build_stem(config)
        stages: list[nn.Module] = []
        channels = config.width
        for stage, block_count in enumerate(config.blocks):
            stage_channels = config.width * 2**stage
            for block in range(block_count):
                stride = 2 if stage > 0 and block == 0 else 1
                stages.append(BasicBlock(channels, stage_channels, stride))
                channels = stage_channels
        self.stages = nn.Sequential(*stages)
        self.feature_channels = channels
        self.embedding_dim = 2 * channels
        # Blocks whose output the readout of all depths pools, counted from 0.
        self._last_blocks = [end - 1 for end in accumulate(config.blocks)]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @property
    def readout_dim(self) -> int:
        return (2 if self.config.depths == "all" else 1) * self.embedding_dim

    def convolve(self, log_mel: Tensor) -> Tensor:
        features: Tensor = self.stem(log_mel)  # (B, width, F / stem, T / stem)
        features = self.stages(features)  # (B, D / 2, F / all strides, T / all strides)
        return features

    def encode_readout(self, log_mel: Tensor) -> Tensor:
        if self.config.depths == "last":
            return super().encode_readout(log_mel)
        features = self.stem(log_mel)
        pooled = [self.pool(features)]
        for number, block in enumerate(self.stages):
            features = block(features)
            if number in self._last_blocks:
                pooled.append(self.pool(features))
        return torch.cat(pooled, dim=1)  # (B, R)

    def pool(self, features: Tensor) -> Tensor:
        return torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)  # (B, D)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside an identity, or beside a 1x1 convolution where the shape changes."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            # Dropping every second band and frame, then a 1x1 convolution: equal to the paper's strided one,
            # whose float32 channels_last weight gradient writes out of bounds on CPU with fewer than
            # 16 channels (oneDNN of torch 2.11: the process dies of a damaged heap).
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(1, stride),
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, features: Tensor) -> Tensor:
        residual = torch.relu_(self.norm1(self.conv1(features)))
        residual = self.norm2(self.conv2(residual))
        output: Tensor = torch.relu_(residual.add_(self.shortcut(features)))
        return output


def _build_stem(config: ResNetConfig) -> nn.Sequential:
    """The stem; it downsamples bands and frames as `DOWNSAMPLING_OF_STEM` says."""
    pool: list[nn.Module] = []
    match config.stem:
        case "fine":
            conv = nn.Conv2d(1, config.width, 3, padding=1, bias=False)
        case "strided":
            conv = nn.Conv2d(1, config.width, 3, stride=2, padding=1, bias=False)
        case "patch":
            conv = nn.Conv2d(1, config.width, 4, stride=4, bias=False)
        case "coarse":
            conv = nn.Conv2d(1, config.width, 7, stride=2, padding=3, bias=False)
            pool = [nn.MaxPool2d(3, stride=2, padding=1)]
    return nn.Sequential(conv, nn.BatchNorm2d(config.width), nn.ReLU(inplace=True), *pool)
