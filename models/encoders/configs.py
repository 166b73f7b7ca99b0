"""Configs of the encoders, apart from the networks: importing them does not import torch."""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, Field

DOWNSAMPLING_OF_STEM = {"fine": 1, "strided": 2, "patch": 4, "coarse": 4}


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
    depths: Literal["last", "all"] = Field(
        "all",
        description="of what embeddings of recordings are made: the features of the last stage, with which methods "
        "learn, or those of the stem and of all stages",
    )

    @property
    def minimum_mel_bands(self) -> int:
        """Fewest F that leave one band after all downsampling."""
        return DOWNSAMPLING_OF_STEM[self.stem] << (len(self.blocks) - 1)

    @property
    def minimum_frames(self) -> int:
        """Fewest T that leave one frame after all downsampling."""
        return self.minimum_mel_bands


class VggLikeConfig(BaseModel, frozen=True, extra="forbid"):
    """Shape of `VggLike`; the defaults are the authors'."""

    minimum_mel_bands: ClassVar = 8
    minimum_frames: ClassVar = 8
    name: Literal["vgg_like"] = "vgg_like"
    width: int = Field(
        32, ge=8, le=4096, multiple_of=8, description="channels of the first stage; each doubles them"
    )
    embedding_dim: int = Field(512, ge=8, le=4096, multiple_of=8, description="width of the embedding")


class CrnnConfig(BaseModel, frozen=True, extra="forbid"):
    """Shape of `Crnn`; the defaults are the authors'."""

    minimum_mel_bands: ClassVar = 5 * 4 * 2
    minimum_frames: ClassVar = 2 * 2 * 2
    name: Literal["crnn"] = "crnn"
    width: int = Field(128, ge=8, le=4096, multiple_of=8, description="channels of each convolution")
    embedding_dim: int = Field(
        64, ge=8, le=4096, multiple_of=8, description="units of the GRU in each direction"
    )


class TimmConfig(BaseModel, frozen=True, extra="forbid"):
    """Which architecture of timm."""

    # Nearly every CNN of timm downsamples by 32 in all.
    minimum_mel_bands: ClassVar = 32
    minimum_frames: ClassVar = 32
    name: Literal["timm"] = "timm"
    model: str = Field(min_length=1, description="architecture, as timm.list_models() spells it: resnet18")


class SampleCnnConfig(BaseModel, frozen=True, extra="forbid"):
    """Shape of `SampleCnn`, an encoder of waveforms; half as wide as the paper's, and for crops of about a second."""

    minimum_mel_bands: ClassVar = 1
    minimum_frames: ClassVar = 3
    name: Literal["sample_cnn"] = "sample_cnn"
    width: int = Field(64, ge=8, le=4096, multiple_of=8, description="channels of the first blocks")
    blocks: int = Field(
        7,
        ge=1,
        le=11,
        description="convolutions with pooling; a last frame is of 3 to the power of blocks + 1 samples",
    )


EncoderConfig = Annotated[
    ResNetConfig | VggLikeConfig | CrnnConfig | TimmConfig,
    Field(discriminator="name"),
]
# `encoder.name` of a run chooses among those of log-mels; a method may train one of waveforms.
AnyEncoderConfig = Annotated[EncoderConfig | SampleCnnConfig, Field(discriminator="name")]


def check_input(config: AnyEncoderConfig, mel_bands: int, frames: int) -> None:
    """Refuse log-mels that are too small for an encoder.

    Args:
        config: of the encoder.
        mel_bands: F.
        frames: T of a crop.

    Raises:
        ValueError: says how many the encoder needs.
    """
    if mel_bands < config.minimum_mel_bands:
        raise ValueError(
            f"{mel_bands} mel bands: encoder {config.name!r} needs at least "
            f"{config.minimum_mel_bands}; compute more mel bands or choose another encoder"
        )
    if frames < config.minimum_frames:
        raise ValueError(
            f"crops of {frames} frames: encoder {config.name!r} needs at least "
            f"{config.minimum_frames}; use longer crops, a shorter hop or another encoder"
        )
