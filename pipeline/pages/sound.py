"""Sound for the players of the page: lossless, at a safe level, no longer than the page has room for."""

import io

import numpy as np

from echopair.augment.waveform.augmentation import Waveform

# All sound of a page, as base64 and before it is packed; that of usual crops (1 s at 16 kHz) fits in full.
SOUND_BYTES = 7_000_000
BYTES_A_SAMPLE = 2 * 4 / 3
SHORTEST_SECONDS = 0.25

ORIGINAL_PEAK = 0.25  # -12 dBFS: views may be so much louder before they are turned down
HIGHEST_PEAK = 0.89  # -1 dBFS
HIGHEST_GAIN = 100.0  # 40 dB: a crop of near silence stays quiet


def playing_gain(waveform: Waveform) -> float:
    """The gain at which a crop and all its views are played, so that they can be compared.

    Args:
        waveform: (L,) of the crop as it is.
    """
    return min(ORIGINAL_PEAK / max(float(np.abs(waveform).max()), 1e-9), HIGHEST_GAIN)


def turned_down_db(waveform: Waveform, gain: float) -> float:
    """By how much a view must be softer than `gain` says to be safe to listen to; 0 as a rule."""
    peak = gain * float(np.abs(waveform).max())
    return max(0.0, 20 * float(np.log10(max(peak, 1e-9) / HIGHEST_PEAK)))


def samples_played(players: int, samples: int, sample_rate_hz: int) -> int:
    """How many samples of a crop each player may hold.

    Args:
        players: on the page.
        samples: of a crop.
        sample_rate_hz: of the crops.
    """
    room = int(SOUND_BYTES / (BYTES_A_SAMPLE * max(players, 1)))
    return min(samples, max(room, int(SHORTEST_SECONDS * sample_rate_hz)))


def flac(waveform: Waveform, sample_rate_hz: int) -> bytes:
    """A waveform as FLAC of 16 bits, half the size of WAV.

    Args:
        waveform: (L,) within -1..1.
        sample_rate_hz: of the waveform.
    """
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, waveform, sample_rate_hz, format="FLAC", subtype="PCM_16")
    return file.getvalue()
