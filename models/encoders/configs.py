"""Configs of the encoders, apart from the networks: importing them does not import torch."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field


class ResNetConfig(BaseModel, frozen=True, extra="forbid"):
    """Shape of `ResNet`. Width 64 with the coarse stem is ResNet-18 but for its pooling."""

    name: Literal["resnet"] = "resnet"
    width: int = Field(
        32, ge=8, le=4096, multiple_of=8, description="channels of the first stage; each stage doubles them"
    )
    stem: Literal["fine", "strided", "patch", "coarse"] = Field(
        # Of "strided" and "coarse" the one whose probe was better after equal minutes of pretraining.
        "strided",
        description="fine: 3x3, keeps every band and frame; strided: 3x3 stride 2; "
        "patch: 4x4 stride 4; coarse: 7x7 stride 2 and max pooling, stride 4 in all",
    )
    blocks: tuple[Annotated[int, Field(ge=1, le=100)], ...] = Field(
        (2, 2, 2, 2), min_length=1, max_length=5, description="residual blocks of each stage"
    )


class VggLikeConfig(BaseModel, frozen=True, extra="forbid"):
    """Shape of `VggLike`; the defaults are the authors'."""

    name: Literal["vgg_like"] = "vgg_like"
    width: int = Field(
        32, ge=8, le=4096, multiple_of=8, description="channels of the first stage; each doubles them"
    )
    embedding_dim: int = Field(512, ge=8, le=4096, multiple_of=8, description="width of the embedding")


class CrnnConfig(BaseModel, frozen=True, extra="forbid"):
    """Shape of `Crnn`; the defaults are the authors'."""

    name: Literal["crnn"] = "crnn"
    width: int = Field(128, ge=8, le=4096, multiple_of=8, description="channels of each convolution")
    embedding_dim: int = Field(
        64, ge=8, le=4096, multiple_of=8, description="units of the GRU in each direction"
    )


class TimmConfig(BaseModel, frozen=True, extra="forbid"):
    """Which architecture of timm."""

    name: Literal["timm"] = "timm"
    model: str = Field(min_length=1, description="architecture, as timm.list_models() spells it: resnet18")


EncoderConfig = Annotated[
    ResNetConfig | VggLikeConfig | CrnnConfig | TimmConfig,
    Field(discriminator="name"),
]
