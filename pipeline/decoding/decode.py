"""Decodes a recording to a clip (checked, mono, resampled, int16) or raises `Refused` with the reason."""

import errno
import hashlib
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soxr
from numpy.typing import NDArray

from echopair.audio_files import UNKNOWN_FRAMES
from echopair.models.resample import HIGHEST_PEAK, RESAMPLING_QUALITY
from echopair.pipeline.decoding.envelope import Envelope
from echopair.pipeline.decoding.loudness import LoudnessMeter
from echopair.pipeline.decoding.opening import opened
from echopair.pipeline.decoding.reading import (
    TOLERANCE_SECONDS,
    Refused,
    SequentialSoundFile,
    declared_and_found,
    read_blocks,
    undecodable,
)

__all__ = ["Clip", "Refused", "decode"]

SAMPLE_STEP = 1 / 32768  # one 16-bit step of a full scale from -1 to 1
SAMPLES_OF_A_SOUND = 2  # a single sample has no width, and would be called silent
SPOOL_BYTES = 64 << 20
QUANTISE_BYTES = 4 << 20
MOST_LOST_SHARE = 0.5
MPEG_DELAY_FRAMES = 2304  # that a decoder leaves out at both ends, where the stream declares them


@dataclass(frozen=True)
class Clip:
    """Properties of a clip.

    Attributes:
        samples, seconds: length at the clip's rate.
        original_rate_hz, channels: of the recording.
        peak_dbfs: highest absolute value in dB of full scale; above 0 for some float recordings.
        loudness_lufs: integrated loudness by BS.1770-4, -70.0 if nothing exceeds its absolute gate.
        scale: factor from int16 samples to the waveform.
        samples_sha256: of the scale (little-endian float32) and the int16 samples.
    """

    samples: int
    seconds: float
    original_rate_hz: int
    channels: int
    peak_dbfs: float
    loudness_lufs: float
    scale: float
    samples_sha256: str


def decode(path: str | Path, sample_rate_hz: int, sink: BinaryIO, *, min_seconds: float) -> Clip:
    """Check a recording, mix it down, resample it and append its samples to `sink`.

    Memory is bounded: samples beyond 64 MiB (17 min at 16 kHz) are held in a temporary file.

    Args:
        path: a recording, recognised by its content (libsndfile's formats) or its extension (those of ffmpeg).
        sample_rate_hz: rate of the clip, 1000 or more.
        sink: seekable binary file, to which little-endian int16 of shape (samples,) is appended.
        min_seconds: shortest duration of a recording.

    Raises:
        Refused: the recording cannot be a clip; the message is the reason. OSError: the sink or the disk fails.
            In both cases nothing stays appended.
    """
    try:
        return _decode(path, sample_rate_hz, sink, min_seconds)
    except (Refused, OSError):
        raise
    except Exception as error:
        raise undecodable(error) from error


def _decode(path: str | Path, sample_rate_hz: int, sink: BinaryIO, min_seconds: float) -> Clip:
    with (
        tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool,
        opened(path) as (sound, envelope),
    ):
        mixdown, meter, span = _Mixdown(sound), LoudnessMeter(sample_rate_hz), _Span()
        samples = 0
        for block in _resampled(mixdown.blocks(), sound.samplerate, sample_rate_hz):
            span.add(block)
            meter.add(block)
            samples += len(block)
            spool.write(block.data)
        mixdown.check(envelope, min_seconds)
        _check_clip(span, samples, sample_rate_hz)
        spool.seek(0)
        scale, samples_sha256 = _append(spool, sink, span.peak)
        return Clip(
            samples=samples,
            seconds=samples / sample_rate_hz,
            original_rate_hz=sound.samplerate,
            channels=sound.channels,
            peak_dbfs=20 * math.log10(span.peak),
            loudness_lufs=meter.lufs(),
            scale=scale,
            samples_sha256=samples_sha256,
        )


class _Span:
    """Lowest and highest value of all added blocks; both are NaN after a NaN."""

    def __init__(self) -> None:
        self.low, self.high = math.inf, -math.inf

    def add(self, waveform: NDArray[np.float32]) -> None:
        if waveform.size:
            self.low = float(np.minimum(self.low, waveform.min()))
            self.high = float(np.maximum(self.high, waveform.max()))

    @property
    def width(self) -> float:
        return self.high - self.low

    @property
    def peak(self) -> float:
        return float(np.maximum(-self.low, self.high))


class _Mixdown:
    """The mean of a recording's channels, with the statistics that `check` needs."""

    def __init__(self, sound: SequentialSoundFile) -> None:
        self._sound = sound
        self._frames = self._not_finite = 0
        self._span = _Span()
        self._channel_spans = [_Span() for _ in range(sound.channels)]
        self._is_whole = sound.subtype in ("FLOAT", "DOUBLE")  # whether every value is a whole number

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield mono blocks of shape (frames,) at the recording's rate, up to the first that is not finite."""
        channels = self._sound.channels
        for block in read_blocks(self._sound):
            self._frames += len(block)
            self._is_whole = self._is_whole and bool((block == np.rint(block)).all())
            mono = block[:, 0]
            if channels > 1:
                mono = mono.copy()
                # Channel by channel is faster than a mean along the short axis.
                with np.errstate(invalid="ignore", over="ignore"):
                    for channel in range(1, channels):
                        mono += block[:, channel]
                    mono *= np.float32(1 / channels)
            self._span.add(mono)
            if not math.isfinite(self._span.width):
                self._not_finite += int(np.count_nonzero(~np.isfinite(block)))
                continue
            if channels > 1 and self._span.width < SAMPLE_STEP:
                for channel, channel_span in enumerate(self._channel_spans):
                    channel_span.add(block[:, channel])
            yield mono

    def check(self, envelope: Envelope, min_seconds: float) -> None:
        """Raise Refused if the recording, read to its end, cannot be a clip."""
        self._check_length(envelope)
        if not self._frames:
            raise Refused("no samples")
        if not math.isfinite(self._span.width):
            if not self._not_finite:
                raise Refused("its samples are too large to mix down")
            values = self._frames * self._sound.channels
            raise Refused(f"{self._not_finite} of its {values} samples are NaN or infinite")
        self._check_unit()
        seconds = self._frames / self._sound.samplerate
        if seconds < min_seconds:
            raise Refused(
                f"too short: {seconds:.3g} s (samples: {self._frames}), {min_seconds:g} s are needed"
            )
        if self._span.width < SAMPLE_STEP:
            if any(span.width >= SAMPLE_STEP for span in self._channel_spans):
                raise Refused("silent once mixed down: its channels cancel each other")
            if self._span.width == 0:
                raise Refused(f"silent: every sample is {self._span.low:g}")
            raise Refused("silent: it moves by less than a 16-bit step")

    def _check_unit(self) -> None:
        peak = self._span.peak
        if peak > 1 and self._is_whole:
            raise Refused(
                f"in integer units: every value is a whole number and the peak is {peak:g}, but full scale of floating "
                "point is 1; divide by 32768 if they were of 16 bit, or save as PCM"
            )
        if peak > HIGHEST_PEAK:
            raise Refused(
                f"far above full scale: its peak is {peak:g}, but full scale of floating point is 1; divide by the "
                "full scale of its unit (32768 for 16 bit), or cut out its damaged samples"
            )

    def _check_length(self, envelope: Envelope) -> None:
        read, rate_hz, sound = self._frames, self._sound.samplerate, self._sound
        tolerated = TOLERANCE_SECONDS * rate_hz if sound.is_mpeg or sound.format == "OGG" else 0
        declared = 0 if sound.frames == UNKNOWN_FRAMES else max(sound.frames, envelope.declared_frames)
        counted = None if envelope.mpeg_seconds is None else envelope.mpeg_seconds * rate_hz
        if sound.format == "MP3" and counted is not None:
            if counted - read > tolerated + MPEG_DELAY_FRAMES and counted > sound.frames:
                seconds = f"{read / rate_hz:.2f} s of {counted / rate_hz:.2f} s"
                why = "it declares no length" if envelope.length_is_guessed else "it declares no more"
                raise Refused(f"only {seconds} would be read, as {why}: convert it")
            if envelope.length_is_guessed:
                declared = min(declared, round(counted))
        missing = declared - read
        if missing > tolerated or (missing > 0 and envelope.may_be_cut):
            raise Refused(f"truncated: {declared_and_found(declared / rate_hz, read / rate_hz)}")


def _check_clip(span: _Span, samples: int, sample_rate_hz: int) -> None:
    if samples < SAMPLES_OF_A_SOUND:
        raise Refused(f"too short: it leaves {samples} samples at {sample_rate_hz} Hz")
    if span.width < SAMPLE_STEP:
        raise Refused(f"silent at {sample_rate_hz} Hz: its sound is above {sample_rate_hz / 2:g} Hz")


def _resampled(
    blocks: Iterator[NDArray[np.float32]], rate_hz: int, sample_rate_hz: int
) -> Iterator[NDArray[np.float32]]:
    if rate_hz == sample_rate_hz:
        yield from map(np.ascontiguousarray, blocks)
        return
    first, second = next(blocks, None), next(blocks, None)
    # Most recordings are a single block; resampling that at once is twice as fast as a stream.
    if first is not None and second is None:
        yield soxr.resample(np.ascontiguousarray(first), rate_hz, sample_rate_hz, quality=RESAMPLING_QUALITY)
        return
    resampler = soxr.ResampleStream(rate_hz, sample_rate_hz, 1, dtype="float32", quality=RESAMPLING_QUALITY)
    for block in chain((one for one in (first, second) if one is not None), blocks):
        yield resampler.resample_chunk(block)
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def _append(spool: Any, sink: BinaryIO, peak: float) -> tuple[float, str]:
    """Quantise the spooled samples so that the peak becomes 32767; returns the scale and the digest.

    Raises:
        Refused: the peak is so far above the rest that most samples become zero.
    """
    scale = np.float32(peak / 32767)
    digest = hashlib.sha256(scale.astype("<f4").tobytes())
    start = sink.seek(0, os.SEEK_END)
    audible = lost = 0
    try:
        while data := spool.read(QUANTISE_BYTES):
            waveform = np.frombuffer(data, np.float32)
            quotient = waveform / scale
            samples = np.rint(quotient, out=quotient).astype("<i2")
            if peak > 1:  # up to full scale, whatever is at least a 16-bit step is kept
                is_audible = np.abs(waveform) >= SAMPLE_STEP
                audible += int(np.count_nonzero(is_audible))
                lost += int(np.count_nonzero(is_audible & (samples == 0)))
            digest.update(samples.data)
            if sink.write(samples.data) != samples.nbytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if lost > MOST_LOST_SHARE * audible:
            raise Refused(
                f"a wild peak: it is {peak:g}, so far above the rest that {lost / audible:.0%} of the samples would be "
                "lost in 16 bit; cut the peak out, or limit it to 1"
            )
        # Before the return: a buffered file reports a full disk only when it is flushed.
        sink.flush()
    except BaseException:
        with suppress(OSError):
            # Below the buffer first: truncating through it would write its content, and fail again.
            os.ftruncate(sink.fileno(), start)
            os.lseek(sink.fileno(), start, os.SEEK_SET)
        sink.truncate(start)
        sink.seek(start)
        raise
    return float(scale), digest.hexdigest()
