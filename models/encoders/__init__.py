"""Encoders: networks from log-mels (B, 1, F, T) to embeddings (B, D), chosen by name."""

from typing import Annotated

from pydantic import Field

from echopair.models.encoders.base import Encoder
from echopair.models.encoders.crnn import Crnn, CrnnConfig
from echopair.models.encoders.resnet import ResNet, ResNetConfig
from echopair.models.encoders.timm_cnn import TimmCnn, TimmConfig
from echopair.models.encoders.vgg_like import VggLike, VggLikeConfig

__all__ = [
    "CrnnConfig",
    "Encoder",
    "EncoderConfig",
    "ResNetConfig",
    "TimmConfig",
    "VggLikeConfig",
    "build_encoder",
]

EncoderConfig = Annotated[
    ResNetConfig | VggLikeConfig | CrnnConfig | TimmConfig,
    Field(discriminator="name"),
]


def build_encoder(config: EncoderConfig) -> Encoder:
    """Build the encoder that `config.name` chooses.

    Args:
        config: one of the encoder configs.

    Returns:
        An `nn.Module` from (B, 1, F, T) to (B, D) with D in its `embedding_dim`. Its weights are drawn from
        torch's global generator and nothing else: seed that to repeat them.

    Raises:
        ValueError: a timm architecture that is unknown or takes no log-mels of any length.
    """
    match config:
        case ResNetConfig():
            return ResNet(config)
        case VggLikeConfig():
            return VggLike(config)
        case CrnnConfig():
            return Crnn(config)
        case TimmConfig():
            return TimmCnn(config)
