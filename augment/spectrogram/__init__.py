"""Augmentations of batches of log-mels, one a file; a config's `name` chooses among them."""

from typing import Annotated, Any

from pydantic import Field

from augment.spectrogram.augmentation import SpectrogramAugmentation
from augment.spectrogram.frequency_mask import FrequencyMask, FrequencyMaskConfig
from augment.spectrogram.gain import Gain, GainConfig
from augment.spectrogram.mix_back import MixBack, MixBackConfig
from augment.spectrogram.random_resized_crop import RandomResizedCrop, RandomResizedCropConfig
from augment.spectrogram.tilt import Tilt, TiltConfig
from augment.spectrogram.time_mask import TimeMask, TimeMaskConfig

AugmentationConfig = Annotated[
    MixBackConfig | RandomResizedCropConfig | GainConfig | TiltConfig | FrequencyMaskConfig | TimeMaskConfig,
    Field(discriminator="name"),
]


def build_augmentation(config: AugmentationConfig, strength: float) -> SpectrogramAugmentation[Any]:
    """The augmentation that a config names.

    Args:
        config: its ranges at strength 1.
        strength: scales them, 0 to 4.

    Raises:
        ValueError: the strength is out of range.
    """
    match config:
        case MixBackConfig():
            return MixBack(config, strength)
        case RandomResizedCropConfig():
            return RandomResizedCrop(config, strength)
        case GainConfig():
            return Gain(config, strength)
        case TiltConfig():
            return Tilt(config, strength)
        case FrequencyMaskConfig():
            return FrequencyMask(config, strength)
        case TimeMaskConfig():
            return TimeMask(config, strength)
