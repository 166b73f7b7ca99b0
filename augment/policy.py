"""Which augmentations make a view, and in which order."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from pydantic import BaseModel, Field
from torch import Generator, Tensor

from augment.spectrogram import AugmentationConfig, build_augmentation
from augment.spectrogram.augmentation import SpectrogramAugmentation
from augment.spectrogram.frequency_mask import FrequencyMaskConfig
from augment.spectrogram.gain import GainConfig
from augment.spectrogram.mix_back import MixBackConfig
from augment.spectrogram.random_resized_crop import RandomResizedCropConfig
from augment.spectrogram.tilt import TiltConfig
from augment.spectrogram.time_mask import TimeMaskConfig
from augment.strength import Strength

# In the order in which sound meets the world: sources mix (their energies still untouched), the mixture is
# shifted and stretched, the microphone sets level and slope over fixed bands; the masks come last, so that
# nothing moves or tilts what they hide.
DEFAULT_AUGMENTATIONS: tuple[AugmentationConfig, ...] = (
    MixBackConfig(),
    RandomResizedCropConfig(),
    GainConfig(),
    TiltConfig(),
    FrequencyMaskConfig(),
    TimeMaskConfig(),
)


class AllConfig(BaseModel, frozen=True, extra="forbid"):
    """Every listed augmentation, in the listed order, for every view."""

    name: Literal["all"] = "all"
    augmentations: tuple[AugmentationConfig, ...] = Field(
        DEFAULT_AUGMENTATIONS,
        description="what is applied, first to last; an empty list leaves crops as they are",
    )


PolicyConfig = AllConfig


class AugmentConfig(BaseModel, frozen=True, extra="forbid"):
    """How views are made from log-mels."""

    strength: Strength = 1.0
    policy: PolicyConfig = AllConfig()


class Policy(Protocol):
    """Makes one view of each clip in a batch; called once for each view, on rows that are different clips."""

    def __call__(self, log_mel: Tensor, generator: Generator) -> Tensor:
        """One view of each row.

        Args:
            log_mel: (B, F, T) float32, natural logarithm of mel power, not normalised; never changed.
            generator: decides everything random; on the CPU or on the device of `log_mel`.

        Returns:
            (B, F, T) float32; `log_mel` itself where nothing is to be done.

        Raises:
            ValueError: `log_mel` is not a float32 tensor of three axes.
        """


class AllPolicy:
    """One augmentation after the other, all of them for every view.

    Args:
        augmentations: first to last.
    """

    def __init__(self, augmentations: Sequence[SpectrogramAugmentation[Any]]) -> None:
        self.augmentations = tuple(augmentations)

    def __call__(self, log_mel: Tensor, generator: Generator) -> Tensor:
        """One view of each row; see `Policy`."""
        for augmentation in self.augmentations:
            log_mel = augmentation(log_mel, generator)
        return log_mel


def build_policy(config: AugmentConfig) -> Policy:
    """The policy that a config names, at its strength.

    Args:
        config: policy, augmentations and strength.

    Returns:
        A callable `(log_mel, generator) -> log_mel`, both (B, F, T).
    """
    match config.policy:
        case AllConfig():
            return AllPolicy(
                [build_augmentation(one, config.strength) for one in config.policy.augmentations]
            )
