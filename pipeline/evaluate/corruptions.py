"""Corruptions of clips that a robust encoder should hardly notice, each at five severities."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from echopair.augment.waveform.clipping import ClippingConfig
from echopair.augment.waveform.coloured_noise import ColouredNoiseConfig
from echopair.augment.waveform.high_pass import HighPassConfig
from echopair.augment.waveform.low_pass import LowPassConfig
from echopair.augment.waveform.mp3_compression import BIT_RATES_KBPS, nearest_kbps
from echopair.augment.waveform.reverberation import mix_reverberation
from echopair.augment.waveform.white_noise import WhiteNoiseConfig
from echopair.lazy import np

if TYPE_CHECKING:
    from echopair.augment.waveform.augmentation import Waveform, WaveformConfig

SEVERITIES = 5
SLOPE_DB_PER_OCTAVE = 24  # of the filters
PINK_DB_PER_OCTAVE = -3
REVERBERATION_SECONDS = 1.0  # until it has fallen by 60 dB: a large room
PACKET_SECONDS = 0.02  # as most speech codecs send
# Samples by which MP3 delays a sound (LAME's encoder 576, a decoder 529), left in by files without a LAME header.
MP3_DELAY_SAMPLES = 1105
MP3_TABLE_KHZ = 16
HIGHEST_COMPRESSION = 0.9999  # libsndfile refuses 1


class Sound(NamedTuple):
    """A clip to corrupt.

    Args:
        waveform: (L,) float32.
        background: (L,) float32 at any level: other sounds.
        sample_rate_hz: of both.
    """

    waveform: Waveform
    background: Waveform
    sample_rate_hz: int


@dataclass(frozen=True)
class Corruption:
    """A way in which recordings go wrong.

    Args:
        name: what tables call it.
        parameter: what the severities are, with their unit.
        severities: five, the mildest first.
        change: (sound, severity, seed) -> (L,) float32; a sound and a seed decide all draws, whatever the severity.
    """

    name: str
    parameter: str
    severities: tuple[float, float, float, float, float]
    change: Callable[[Sound, float, int], Waveform]

    @property
    def key(self) -> str:
        """Of its metric."""
        return self.name.replace(" ", "_")

    def versions(self, sound: Sound, seed: int) -> list[Waveform]:
        """The sound at each severity.

        Args:
            sound: never changed.
            seed: 0 to 2**32 - 1.
        """
        return [self.change(sound, severity, seed) for severity in self.severities]


def white_noise(sound: Sound, snr_db: float, seed: int) -> Waveform:
    """The hiss of a preamplifier; the ratio compares mean powers over the whole clip, as in all noises here."""
    return _augmented(sound, WhiteNoiseConfig(min_snr_db=snr_db, max_snr_db=snr_db), seed)


def pink_noise(sound: Sound, snr_db: float, seed: int) -> Waveform:
    """Rain or wind: noise that falls by 3 dB an octave, from 50 Hz on."""
    config = ColouredNoiseConfig(
        min_snr_db=snr_db,
        max_snr_db=snr_db,
        min_slope_db_per_octave=PINK_DB_PER_OCTAVE,
        max_slope_db_per_octave=PINK_DB_PER_OCTAVE,
    )
    return _augmented(sound, config, seed)


def background(sound: Sound, snr_db: float, _seed: int) -> Waveform:
    """Other sounds at the same time; a silent background changes nothing."""
    size = np.linalg.norm(sound.background)
    if size == 0:
        return sound.waveform
    gain = np.linalg.norm(sound.waveform) / size * 10 ** (-snr_db / 20)
    return sound.waveform + sound.background * np.float32(gain)


def reverberation(sound: Sound, direct_to_reverberant_db: float, seed: int) -> Waveform:
    """A large room: the further the microphone, the weaker the direct sound beside the reverberation.

    The tail is Gaussian noise that decays exponentially. The power stays that of the clip.

    Source: Polack, La transmission de l'énergie sonore dans les salles, 1988.
    """
    from scipy.signal import fftconvolve

    samples = round(REVERBERATION_SECONDS * sound.sample_rate_hz)
    decay = 10 ** (-3 * np.arange(samples) / samples)
    response = decay * np.random.default_rng(seed).normal(size=samples)
    response[0] = 0
    response *= 10 ** (-direct_to_reverberant_db / 20) / np.linalg.norm(response)
    response[0] = 1
    return mix_reverberation(sound.waveform, fftconvolve(sound.waveform, response), response, 1.0)


def low_pass(sound: Sound, percent: float, seed: int) -> Waveform:
    """A wall, a distance or a dull microphone."""
    return _filtered(sound, LowPassConfig, percent, seed)


def high_pass(sound: Sound, percent: float, seed: int) -> Waveform:
    """A small loudspeaker or microphone."""
    return _filtered(sound, HighPassConfig, percent, seed)


def mp3(sound: Sound, kbps: float, _seed: int) -> Waveform:
    """MP3 of constant bit rate and back, by libsndfile, so that no further package is needed.

    The bit rate is in proportion to the sample rate, and then the nearest of MP3. At a rate that MP3 lacks, it
    encodes the clip as if it were played at the next lower rate, as bat recordings are; up to 12 kHz it has too few
    bit rates for five. At full scale, since it turns quiet recordings into silence.

    Args:
        sound: of any rate.
        kbps: at 16 kHz.
    """
    import soundfile

    rate = max((one for one in BIT_RATES_KBPS if one <= sound.sample_rate_hz), default=min(BIT_RATES_KBPS))
    known = BIT_RATES_KBPS[rate]
    chosen = nearest_kbps(kbps * rate / (1000 * MP3_TABLE_KHZ), known)
    compression = min((known[-1] - chosen) / (known[-1] - known[0]), HIGHEST_COMPRESSION)
    samples = len(sound.waveform)
    peak = np.abs(sound.waveform).max() or np.float32(1)
    file = io.BytesIO()
    soundfile.write(
        file,
        sound.waveform / peak,
        rate,
        format="MP3",
        subtype="MPEG_LAYER_III",
        bitrate_mode="CONSTANT",
        compression_level=compression,
    )
    file.seek(0)
    decoded: Waveform = soundfile.read(file, dtype="float32")[0]
    begin = MP3_DELAY_SAMPLES if len(decoded) > samples else 0
    return _of_length(decoded[begin:], samples) * peak


def clipping(sound: Sound, percent: float, seed: int) -> Waveform:
    """Too much gain: this percentage of the samples clipped, half of them above and half below."""
    clipped = int(percent)
    config = ClippingConfig(min_clipped_percent=clipped, max_clipped_percent=clipped)
    return _augmented(sound, config, seed)


def quiet(sound: Sound, loss_db: float, _seed: int) -> Waveform:
    """Too little gain, rounded to 16 bits as a recorder does: soft passages are lost."""
    gain = np.float32(32768 * 10 ** (-loss_db / 20))
    rounded: Waveform = np.rint(sound.waveform * gain) / np.float32(32768)
    return rounded


def resampling(sound: Sound, percent: float, _seed: int) -> Waveform:
    """Recorded at a lower sample rate: nothing is left above half of it."""
    import soxr

    lower = soxr.resample(sound.waveform, 100, percent)
    return _of_length(soxr.resample(lower, percent, 100), len(sound.waveform))


def packet_loss(sound: Sound, percent: float, seed: int) -> Waveform:
    """A bad connection: this percentage of the packets of 20 ms is silence, one at least."""
    size = round(PACKET_SECONDS * sound.sample_rate_hz)
    packets = -(-len(sound.waveform) // size)
    order = np.random.default_rng(seed).permutation(packets)
    lost = order < max(1, round(percent / 100 * packets))
    return np.where(np.repeat(lost, size)[: len(sound.waveform)], np.float32(0), sound.waveform)


def speed(sound: Sound, factor: float, _seed: int) -> Waveform:
    """Played too fast: shorter, and higher in pitch."""
    import soxr

    faster: Waveform = soxr.resample(sound.waveform, factor, 1)
    return faster


def _filtered(
    sound: Sound, kind: type[LowPassConfig] | type[HighPassConfig], percent: float, seed: int
) -> Waveform:
    cutoff_hz = percent / 100 * sound.sample_rate_hz / 2
    config = kind(
        min_cutoff_hz=cutoff_hz,
        max_cutoff_hz=cutoff_hz,
        min_slope_db_per_octave=SLOPE_DB_PER_OCTAVE,
        max_slope_db_per_octave=SLOPE_DB_PER_OCTAVE,
    )
    return _augmented(sound, config, seed)


def _augmented(sound: Sound, config: WaveformConfig, seed: int) -> Waveform:
    return config.build(1.0, sound.sample_rate_hz)(sound.waveform, seed)[0]


def _of_length(waveform: Waveform, samples: int) -> Waveform:
    return np.pad(waveform[:samples], (0, max(0, samples - len(waveform))))


CORRUPTIONS = (
    Corruption("white noise", "SNR in dB", (30, 20, 10, 0, -10), white_noise),
    Corruption("pink noise", "SNR in dB", (30, 20, 10, 0, -10), pink_noise),
    Corruption("background", "SNR in dB", (20, 10, 5, 0, -5), background),
    Corruption("reverberation", "direct to reverberant in dB", (10, 5, 0, -5, -10), reverberation),
    Corruption("low pass", "cutoff in % of Nyquist", (75, 50, 25, 12, 6), low_pass),
    Corruption("high pass", "cutoff in % of Nyquist", (1.5, 3, 6, 12, 25), high_pass),
    Corruption("mp3", f"kbit/s at {MP3_TABLE_KHZ} kHz", (64, 32, 24, 16, 8), mp3),
    Corruption("clipping", "clipped samples in %", (4, 10, 20, 40, 80), clipping),
    Corruption("quiet", "loss in dB", (6, 12, 20, 30, 40), quiet),
    Corruption("resampling", "% of the sample rate", (75, 50, 33, 25, 12), resampling),
    Corruption("packet loss", "packets lost in %", (5, 10, 20, 40, 60), packet_loss),
    Corruption("speed", "factor", (1.1, 1.2, 1.4, 1.7, 2.0), speed),
)
"""All of them, in the order of tables. A change of this table raises the suite's `code_version`."""
