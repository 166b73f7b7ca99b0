"""Recordings that are cut anywhere are refused, or have all of their samples."""

import io
import struct
import tempfile
from functools import cache
from pathlib import Path

import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from echopair.pipeline.decoding.containers import HEADER_TOLERANCE_BYTES
from echopair.pipeline.decoding.decode import Refused, decode
from tests.pipeline.decoding.tone_recordings import RATE_HZ, cut, tone, write


def test_an_ogg_cut_late_says_what_it_holds(tmp_path: Path) -> None:
    path = cut(write(tmp_path / "a.ogg", tone(seconds=8)), share=0.9)
    with pytest.raises(Refused, match=r"truncated: the end of its stream is missing, holds [4-7]\.\d\d s"):
        decode(path, RATE_HZ, io.BytesIO(), min_seconds=0.1)


CUT_KINDS = [
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("RF64", "PCM_16"),
    ("AIFF", "PCM_24"),
    ("FLAC", "PCM_16"),
    ("MP3", "MPEG_LAYER_III"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("W64", "PCM_16"),
    ("AU", "PCM_16"),
    ("CAF", "FLOAT"),
    ("NIST", "PCM_16"),
]


@cache
def whole_recording(container: str, subtype: str) -> tuple[bytes, bytes]:
    """A recording, and the samples of its clip."""
    sink = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "whole"
        soundfile.write(path, tone(seconds=2), RATE_HZ, format=container, subtype=subtype)
        decode(path, RATE_HZ, sink, min_seconds=0.1)
        return path.read_bytes(), sink.getvalue()


@pytest.mark.parametrize(("container", "subtype"), CUT_KINDS)
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_a_cut_recording_is_refused_or_decodes_whole(
    container: str, subtype: str, data: st.DataObject
) -> None:
    """Where the format permits: see pipeline.decoding.truncation for cuts that leave no trace."""
    recording, expected = whole_recording(container, subtype)
    # Cuts near the end are the hard ones, so half of the examples are there.
    anywhere = st.integers(0, len(recording) - 1)
    kept = data.draw(anywhere | st.integers(len(recording) - 600, len(recording)))
    sink = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cut"
        path.write_bytes(recording[:kept])
        try:
            decode(path, RATE_HZ, sink, min_seconds=0.1)
        except Refused:
            assert kept < len(recording)
            assert not sink.getvalue()
        else:
            # A header that is wrong by a few bytes is no truncation, so as many may be missing.
            lost = HEADER_TOLERANCE_BYTES if container not in ("FLAC", "MP3", "OGG") else 0
            if len(recording) - kept > lost or not lost:
                assert sink.getvalue() == expected
            assert len(expected) - len(sink.getvalue()) <= lost


LENGTH_FIELDS = {  # where the length of the sound stands, how it is packed, and what leaves it open
    "W64": (lambda data: data.index(b"data\xf3\xac") + 16, "<Q", (24, 2**64 - 1)),
    "AU": (lambda _: 8, ">I", (0, 2**32 - 1)),
    "CAF": (lambda data: data.index(b"data") + 4, ">q", (-1,)),
}


@pytest.mark.parametrize("container", LENGTH_FIELDS)
def test_lengths_that_are_open_or_wrong(container: str, tmp_path: Path) -> None:
    find, packing, left_open = LENGTH_FIELDS[container]
    recording, expected = whole_recording(container, "PCM_16")
    at = find(recording)

    def decoded(recording: bytes) -> bytes:
        (tmp_path / "a").write_bytes(recording)
        sink = io.BytesIO()
        decode(tmp_path / "a", RATE_HZ, sink, min_seconds=0.1)
        return sink.getvalue()

    def with_length(length: int) -> bytes:
        packed = struct.pack(packing, length)
        return recording[:at] + packed + recording[at + len(packed) :]

    for length in left_open:
        assert decoded(with_length(length)) == expected
    assert decoded(recording + bytes(500)) == expected  # padding
    with pytest.raises(Refused, match=r"wrong header: declares 1\.00 s, holds 2\.00 s"):
        decoded(with_length(struct.unpack_from(packing, recording, at)[0] - len(expected) // 2))
