"""Augmentations of waveforms (audiomentations), one a file; a config's `name` chooses among them."""

from augment.waveform.air_absorption import AirAbsorptionConfig
from augment.waveform.aliasing import AliasingConfig
from augment.waveform.background_noise import BackgroundNoiseConfig
from augment.waveform.band_pass import BandPassConfig
from augment.waveform.band_stop import BandStopConfig
from augment.waveform.bit_crush import BitCrushConfig
from augment.waveform.clipping import ClippingConfig
from augment.waveform.coloured_noise import ColouredNoiseConfig
from augment.waveform.gain import WaveformGainConfig
from augment.waveform.gain_transition import GainTransitionConfig
from augment.waveform.high_pass import HighPassConfig
from augment.waveform.impulse_response import ImpulseResponseConfig
from augment.waveform.low_pass import LowPassConfig
from augment.waveform.mp3_compression import Mp3CompressionConfig
from augment.waveform.pitch_shift import PitchShiftConfig
from augment.waveform.polarity import PolarityConfig
from augment.waveform.reverse import WaveformReverseConfig
from augment.waveform.room_simulation import RoomSimulationConfig
from augment.waveform.seven_band_eq import SevenBandEqConfig
from augment.waveform.shift import WaveformShiftConfig
from augment.waveform.tanh_distortion import TanhDistortionConfig
from augment.waveform.time_mask import WaveformTimeMaskConfig
from augment.waveform.time_stretch import TimeStretchConfig
from augment.waveform.white_noise import WhiteNoiseConfig

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
