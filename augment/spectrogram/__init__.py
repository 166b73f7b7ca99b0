"""Augmentations of batches of log-mels, one a file; a config's `name` chooses among them."""

from augment.spectrogram.blur import BlurConfig
from augment.spectrogram.compander import CompanderConfig
from augment.spectrogram.frequency_mask import FrequencyMaskConfig
from augment.spectrogram.frequency_shift import FrequencyShiftConfig
from augment.spectrogram.gain import GainConfig
from augment.spectrogram.gaussian_noise import GaussianNoiseConfig
from augment.spectrogram.mix_back import MixBackConfig
from augment.spectrogram.mixup import MixupConfig
from augment.spectrogram.random_linear_fader import RandomLinearFaderConfig
from augment.spectrogram.random_resized_crop import RandomResizedCropConfig
from augment.spectrogram.tilt import TiltConfig
from augment.spectrogram.time_mask import TimeMaskConfig
from augment.spectrogram.time_reversal import TimeReversalConfig
from augment.spectrogram.time_shift import TimeShiftConfig
from augment.spectrogram.time_warp import TimeWarpConfig

# In the order in which a pool of them is applied: sources mix, the mixture moves and stretches, level and
# contrast change over fixed bands, noise lies over all; the masks come last, so that nothing moves them.
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
