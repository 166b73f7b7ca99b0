"""Augmentations of waveforms (audiomentations), one a file; a config's `name` chooses among them."""

from echopair.augment.waveform.air_absorption import AirAbsorptionConfig
from echopair.augment.waveform.aliasing import AliasingConfig
from echopair.augment.waveform.background_noise import BackgroundNoiseConfig
from echopair.augment.waveform.band_pass import BandPassConfig
from echopair.augment.waveform.band_stop import BandStopConfig
from echopair.augment.waveform.bit_crush import BitCrushConfig
from echopair.augment.waveform.clipping import ClippingConfig
from echopair.augment.waveform.coloured_noise import ColouredNoiseConfig
from echopair.augment.waveform.gain import WaveformGainConfig
from echopair.augment.waveform.gain_transition import GainTransitionConfig
from echopair.augment.waveform.high_pass import HighPassConfig
from echopair.augment.waveform.impulse_response import ImpulseResponseConfig
from echopair.augment.waveform.low_pass import LowPassConfig
from echopair.augment.waveform.mp3_compression import Mp3CompressionConfig
from echopair.augment.waveform.pitch_shift import PitchShiftConfig
from echopair.augment.waveform.polarity import PolarityConfig
from echopair.augment.waveform.reverse import WaveformReverseConfig
from echopair.augment.waveform.room_simulation import RoomSimulationConfig
from echopair.augment.waveform.seven_band_eq import SevenBandEqConfig
from echopair.augment.waveform.shift import WaveformShiftConfig
from echopair.augment.waveform.tanh_distortion import TanhDistortionConfig
from echopair.augment.waveform.time_mask import WaveformTimeMaskConfig
from echopair.augment.waveform.time_stretch import TimeStretchConfig
from echopair.augment.waveform.white_noise import WhiteNoiseConfig

WaveformChoice = (
    WaveformGainConfig
    | GainTransitionConfig
    | PolarityConfig
    | WaveformReverseConfig
    | WaveformShiftConfig
    | WaveformTimeMaskConfig
    | PitchShiftConfig
    | TimeStretchConfig
    | LowPassConfig
    | HighPassConfig
    | BandPassConfig
    | BandStopConfig
    | SevenBandEqConfig
    | WhiteNoiseConfig
    | ColouredNoiseConfig
    | BackgroundNoiseConfig
    | ImpulseResponseConfig
    | RoomSimulationConfig
    | AirAbsorptionConfig
    | ClippingConfig
    | TanhDistortionConfig
    | BitCrushConfig
    | AliasingConfig
    | Mp3CompressionConfig
)
