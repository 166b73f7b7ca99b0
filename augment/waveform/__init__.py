"""Augmentations of waveforms (audiomentations), one a file; a config's `name` chooses among them."""

from augment.waveform.gain import WaveformGainConfig
from augment.waveform.polarity import PolarityConfig

WaveformChoice = WaveformGainConfig | PolarityConfig
