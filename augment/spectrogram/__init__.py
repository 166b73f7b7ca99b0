"""Augmentations of batches of log-mels, one a file; a config's `name` chooses among them."""

from augment.spectrogram.frequency_mask import FrequencyMaskConfig
from augment.spectrogram.gain import GainConfig
from augment.spectrogram.mix_back import MixBackConfig
from augment.spectrogram.random_resized_crop import RandomResizedCropConfig
from augment.spectrogram.tilt import TiltConfig
from augment.spectrogram.time_mask import TimeMaskConfig

SpectrogramChoice = (
    MixBackConfig | RandomResizedCropConfig | GainConfig | TiltConfig | FrequencyMaskConfig | TimeMaskConfig
)
