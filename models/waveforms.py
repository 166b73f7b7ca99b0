"""Recordings as people have them (arrays, files, lists of both) -> mono float32 waveforms with their rates."""

import math
import os
from collections.abc import Iterator
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from echopair.models.resample import HIGHEST_PEAK, HIGHEST_RATE_HZ, LOWEST_RATE_HZ

Channels = Literal["first", "last"]
OneRecording = ArrayLike | Tensor | str | os.PathLike[str] | BinaryIO

# A batch of more recordings than samples of each is (samples, channels), as soundfile returns it.
SHORTEST_SECONDS_OF_MANY = 0.01
MOST_CHANNELS = 1024  # of libsndfile
INTEGERS = (np.int8, np.int16, np.int32)


def is_file(recording: object) -> bool:
    """Whether it is a path or an open file."""
    return isinstance(recording, str | os.PathLike) or hasattr(recording, "read")


def is_one(recordings: object, channels: Channels | None = None) -> bool:
    """Whether it is one recording: a path, an open file, one array; and no list or batch of them."""
    if is_file(recordings):
        return True
    if isinstance(recordings, list | tuple):
        return not recordings or (not is_file(recordings[0]) and np.ndim(recordings[0]) == 0)
    return np.ndim(recordings) < 2 or channels is not None  # type: ignore[arg-type]


def waveforms(
    recordings: Any, sample_rate_hz: int | None, channels: Channels | None
) -> Iterator[tuple[NDArray[np.float32], int]]:
    """The recordings one after the other, each as (samples,) mono float32 and its rate in Hz.

    Args:
        recordings: see `AudioEncoder.embed`.
        sample_rate_hz: of arrays; a file brings its own.
        channels: which axis of a 2-D array holds channels.

    Raises:
        ValueError: what cannot be sound.
    """
    if is_one(recordings, channels):
        recordings = [recordings]
    elif not isinstance(recordings, list | tuple):
        _check_batch(np.shape(recordings), sample_rate_hz)
    for recording in recordings:
        if is_file(recording):
            waveform, rate = _read(recording)
            if sample_rate_hz not in (None, rate):
                raise ValueError(
                    f"sample_rate_hz={sample_rate_hz}, but {_name_of(recording)} has {rate} Hz; leave it out for files"
                )
            yield _mono(waveform, "last"), _checked(rate)
        else:
            rate = _checked(sample_rate_hz)
            yield _mono(_as_array(recording), channels), rate


def _checked(rate: int | None) -> int:
    if rate is None:
        raise ValueError("sample_rate_hz is missing; an array does not tell its rate")
    if not (LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ and rate == int(rate)):
        raise ValueError(
            f"sample_rate_hz={rate} must be a whole number from {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ}"
        )
    return int(rate)


def _name_of(file: Any) -> str:
    return str(getattr(file, "name", file))


def _read(file: Any) -> tuple[NDArray[np.float32], int]:
    import soundfile  # here, since it is not needed to embed arrays

    try:
        waveform, rate = soundfile.read(file, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, TypeError) as error:
        raise ValueError(f"{_name_of(file)} cannot be read as sound: {error}") from error
    if not len(waveform):
        raise ValueError(f"{_name_of(file)} holds no samples")
    return waveform, int(rate)


def _check_batch(shape: tuple[int, ...], rate: int | None) -> None:
    if len(shape) != 2 or 0 in shape:
        raise ValueError(
            f"waveform has shape {shape}; give (samples,) for one recording or (recordings, samples), "
            "with at least one sample"
        )
    recordings, samples = shape
    if samples < recordings and samples < SHORTEST_SECONDS_OF_MANY * _checked(rate):
        raise ValueError(
            f"waveform has shape {shape}, which as a batch is {recordings} recordings of {samples} samples; give "
            "channels='last' for one recording of (samples, channels), as soundfile returns it"
        )


def _as_array(recording: Any) -> NDArray[Any]:
    return recording.detach().cpu().numpy() if isinstance(recording, Tensor) else np.asarray(recording)


def _mono(array: NDArray[Any], channels: Channels | None) -> NDArray[np.float32]:
    if array.ndim != (2 if channels and array.ndim != 1 else 1) or array.size == 0:
        shapes = "(samples,)" if channels is None else f"(samples,), or 2-D with channels={channels!r}"
        raise ValueError(
            f"a recording has shape {array.shape}; give {shapes}, with at least one sample; 2-D with its channels in "
            "one axis needs channels='first' or 'last'"
        )
    if array.dtype in INTEGERS:
        # Full scale is a power of two, so that nothing but the conversion rounds.
        scale = np.float32(-1 / np.iinfo(array.dtype).min)
        array = np.multiply(array, scale, dtype=np.float32)
    elif not np.issubdtype(array.dtype, np.floating):
        raise ValueError(
            f"waveform is of type {array.dtype}; give floats within -1..1, or int16 or int32 as soundfile reads them "
            "(their full scale is that of the type)"
        )
    if array.ndim == 2:
        axis = 0 if channels == "first" else 1
        if array.shape[axis] > MOST_CHANNELS:
            raise ValueError(
                f"channels={channels!r}: shape {array.shape} has more than {MOST_CHANNELS} of them; name the other axis"
            )
        array = array.astype(np.float32, copy=False).mean(axis=axis)
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite
        waveform = array.astype(np.float32, copy=False)
    peak = max(float(waveform.max()), -float(waveform.min()))  # without a copy of hours of sound
    if not math.isfinite(peak):
        raise ValueError("waveform holds NaN or infinite samples; remove them before embedding")
    if peak > HIGHEST_PEAK:
        raise ValueError(
            f"waveform reaches {peak:g}, far above the full scale of 1; divide integers that became floats by their "
            "full scale, such as 32768"
        )
    return waveform
