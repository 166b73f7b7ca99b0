"""Augmentations of batches of log-mels, one a file; a config's `name` chooses among them."""

from echopair.augment.spectrogram.blur import BlurConfig
from echopair.augment.spectrogram.compander import CompanderConfig
from echopair.augment.spectrogram.frequency_mask import FrequencyMaskConfig
from echopair.augment.spectrogram.frequency_shift import FrequencyShiftConfig
from echopair.augment.spectrogram.gain import GainConfig
from echopair.augment.spectrogram.gaussian_noise import GaussianNoiseConfig
from echopair.augment.spectrogram.mix_back import MixBackConfig
from echopair.augment.spectrogram.mixup import MixupConfig
from echopair.augment.spectrogram.random_linear_fader import RandomLinearFaderConfig
from echopair.augment.spectrogram.random_resized_crop import RandomResizedCropConfig
from echopair.augment.spectrogram.tilt import TiltConfig
from echopair.augment.spectrogram.time_mask import TimeMaskConfig
from echopair.augment.spectrogram.time_reversal import TimeReversalConfig
from echopair.augment.spectrogram.time_shift import TimeShiftConfig
from echopair.augment.spectrogram.time_warp import TimeWarpConfig

# In the order in which a pool of them is applied: sources mix, the mixture moves and stretches, level and
# contrast change over fixed bands, noise is added to all; the masks come last, so that nothing moves them.
SpectrogramChoice = (
    MixBackConfig
    | MixupConfig
    | TimeReversalConfig
    | RandomResizedCropConfig
    | TimeWarpConfig
    | TimeShiftConfig
    | FrequencyShiftConfig
    | BlurConfig
    | GainConfig
    | TiltConfig
    | RandomLinearFaderConfig
    | CompanderConfig
    | GaussianNoiseConfig
    | FrequencyMaskConfig
    | TimeMaskConfig
)
