"""MP3 streams of varying bit rate that do not declare their length."""

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from echopair.pipeline.decoding.decode import decode
from tests.pipeline.decoding.tone_recordings import (
    RATE_HZ,
    mp3_frames,
    patched,
    tag,
    tone,
    write,
    xing_offset,
)


def samples_of(path: Path, rate_hz: int = RATE_HZ) -> NDArray[np.int16]:
    sink = io.BytesIO()
    decode(path, rate_hz, sink, min_seconds=0.1)
    return np.frombuffer(sink.getvalue(), "<i2")


def loud_at_one_end(folder: Path, *, at_end: bool, channels: int, rate_hz: int) -> Path:
    """So that a guess of the length from the first frames is far too short, or too long."""
    sound = tone(seconds=6, channels=channels, rate_hz=rate_hz)
    sound[slice(3 * rate_hz) if at_end else slice(3 * rate_hz, None)] *= 1e-4
    return write(folder / "a.mp3", sound, rate_hz)


@pytest.mark.parametrize("at_end", [True, False])
@pytest.mark.parametrize(("channels", "rate_hz"), [(1, RATE_HZ), (2, RATE_HZ), (1, 44100), (2, 44100)])
def test_a_stream_without_a_length_is_read_whole(
    at_end: bool, channels: int, rate_hz: int, tmp_path: Path
) -> None:
    path = loud_at_one_end(tmp_path, at_end=at_end, channels=channels, rate_hz=rate_hz)
    expected = samples_of(path, rate_hz).astype(int)
    stream = path.read_bytes()[mp3_frames(path)[1] :]
    for front in (b"", tag() + bytes(500)):
        path.write_bytes(front + stream)
        samples = samples_of(path, rate_hz).astype(int)
        # Without the header that says so, the encoder's delay and padding are not taken off: a frame at each end.
        assert len(expected) < len(samples) < len(expected) + 2 * 1152 + 529
        middle = slice(3 * rate_hz - 1000, 3 * rate_hz + 1000)
        shift = min(range(1200), key=lambda first: np.abs(samples[first:][middle] - expected[middle]).max())
        assert np.abs(samples[shift:][: len(expected)] - expected).max() < 700  # the scales differ a little


def test_a_header_without_the_number_of_frames_is_replaced(tmp_path: Path) -> None:
    path = loud_at_one_end(tmp_path, at_end=True, channels=1, rate_hz=RATE_HZ)
    expected = len(samples_of(path))
    patched(path, xing_offset(path) + 4, bytes(4))
    assert expected < len(samples_of(path)) < expected + 2400


def test_a_cut_stream_without_a_length_has_all_of_its_frames(tmp_path: Path) -> None:
    path = loud_at_one_end(tmp_path, at_end=True, channels=1, rate_hz=RATE_HZ)
    frames = mp3_frames(path)
    kept = len(frames) * 3 // 4
    path.write_bytes(path.read_bytes()[frames[1] : frames[kept]])
    assert len(samples_of(path)) == pytest.approx((kept - 1) * 576, abs=2 * 576)
