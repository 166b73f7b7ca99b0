"""Encoders: networks from log-mels (B, 1, F, T) to embeddings (B, D), chosen by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from echopair.models.encoders.configs import (
    AnyEncoderConfig,
    CrnnConfig,
    EncoderConfig,
    ResNetConfig,
    SampleCnnConfig,
    TimmConfig,
    VggLikeConfig,
    check_input,
)

if TYPE_CHECKING:
    from echopair.models.encoders.base import Encoder

__all__ = [
    "AnyEncoderConfig",
    "CrnnConfig",
    "EncoderConfig",
    "ResNetConfig",
    "SampleCnnConfig",
    "TimmConfig",
    "VggLikeConfig",
    "build_encoder",
    "check_input",
]


def build_encoder(config: AnyEncoderConfig) -> Encoder:
    """Build the encoder that `config.name` chooses.

    Args:
        config: one of the encoder configs.

    Returns:
        An `nn.Module` from (B, 1, F, T) to (B, D) with D in its `embedding_dim`. Its weights are drawn from
        torch's global generator and nothing else: seed that to repeat them.

    Raises:
        ValueError: a timm architecture that is unknown or takes no log-mels of any length.
    """
    # Imported here: the configs are used without torch.
    match config:
        case ResNetConfig():
            from echopair.models.encoders.resnet import ResNet

            return ResNet(config)
        case VggLikeConfig():
            from echopair.models.encoders.vgg_like import VggLike

            return VggLike(config)
        case CrnnConfig():
            from echopair.models.encoders.crnn import Crnn

            return Crnn(config)
        case TimmConfig():
            from echopair.models.encoders.timm_cnn import TimmCnn

            return TimmCnn(config)
        case SampleCnnConfig():
            from echopair.models.encoders.sample_cnn import SampleCnn

            return SampleCnn(config)
