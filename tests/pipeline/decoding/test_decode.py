"""Refused recordings, unusual ones that are accepted, and the properties of clips."""

import errno
import hashlib
import io
import math
import os
import resource
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from echopair.pipeline.decoding import decode as decode_module
from echopair.pipeline.decoding import reading as reading_module
from echopair.pipeline.decoding.decode import Clip, Refused, decode
from tests.pipeline.decoding.bad_recordings import REFUSED
from tests.pipeline.decoding.odd_recordings import ACCEPTED
from tests.pipeline.decoding.tone_recordings import RATE_HZ, SECONDS, tone, write

NOBODY = 65534


def decoded(path: Path, sample_rate_hz: int = RATE_HZ) -> tuple[Clip, NDArray[np.float32]]:
    sink = io.BytesIO()
    clip = decode(path, sample_rate_hz, sink, min_seconds=0.1)
    samples = np.frombuffer(sink.getvalue(), "<i2")
    return clip, samples * np.float32(clip.scale)


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_recording_is_refused_with_its_reason_and_appends_nothing(tmp_path: Path, name: str) -> None:
    writer, reason = REFUSED[name]
    sink = io.BytesIO(b"before")
    with pytest.raises(Refused, match=reason):
        decode(writer(tmp_path), RATE_HZ, sink, min_seconds=0.1)
    assert sink.getvalue() == b"before"


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_unusual_recording_is_accepted_whole(tmp_path: Path, name: str) -> None:
    clip, waveform = decoded(ACCEPTED[name](tmp_path))
    assert clip.samples == len(waveform)
    # ADPCM fills its last block, and only an MP3's header tells its sound from its padding.
    padding_seconds = 0.1 if name in ("adpcm", "mp3 of constant rate without a length") else 0.0
    assert SECONDS - 0.001 <= clip.seconds <= SECONDS + 0.001 + padding_seconds
    spectrum = np.abs(np.fft.rfft(waveform[:RATE_HZ]))
    assert abs(int(np.argmax(spectrum)) % 440) in (0, 1, 439)


def test_no_permission_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "private.wav")
    path.chmod(0)
    is_root = os.geteuid() == 0
    if is_root:  # whom no permission stops
        os.seteuid(NOBODY)
    try:
        with pytest.raises(Refused, match="no permission to read it"):
            decode(path, RATE_HZ, io.BytesIO(), min_seconds=0.1)
    finally:
        if is_root:
            os.seteuid(0)


def test_a_lossless_recording_at_the_clip_rate_keeps_its_waveform(tmp_path: Path) -> None:
    clip, waveform = decoded(write(tmp_path / "a.wav", subtype="FLOAT"))
    original = tone()[:, 0]
    assert np.abs(waveform - original).max() <= clip.scale * 0.51
    assert clip.peak_dbfs == pytest.approx(20 * math.log10(np.abs(original).max()), abs=1e-4)
    assert (clip.original_rate_hz, clip.channels, clip.seconds) == (RATE_HZ, 1, SECONDS)


@pytest.mark.parametrize("gain", [1e-3, 20.0])
def test_resolution_follows_the_peak(tmp_path: Path, gain: float) -> None:
    original = tone() * np.float32(gain)
    clip, waveform = decoded(write(tmp_path / "a.wav", original, subtype="FLOAT"))
    error = np.abs(waveform - original[:, 0]).max() / np.abs(original).max()
    assert error < 10 ** (-96 / 20)
    assert np.abs(waveform).max() == pytest.approx(np.abs(original).max(), rel=1e-6)
    assert (clip.peak_dbfs > 0) == (gain > 1)


def test_channels_are_averaged(tmp_path: Path) -> None:
    original = tone(channels=8)
    clip, waveform = decoded(write(tmp_path / "a.wav", original, subtype="FLOAT"))
    assert clip.channels == 8
    assert np.abs(waveform - original.mean(axis=1)).max() <= clip.scale * 0.51


@pytest.mark.parametrize("rate_hz", [8000, 44100, 192000])
def test_blocks_resample_as_one(tmp_path: Path, rate_hz: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_module, "BLOCK_SECONDS", 1)
    monkeypatch.setattr(decode_module, "QUANTISE_BYTES", 4096)
    monkeypatch.setattr(decode_module, "SPOOL_BYTES", 100_000)
    original = tone(seconds=3.3, rate_hz=rate_hz)
    clip, waveform = decoded(write(tmp_path / "a.wav", original, rate_hz, "FLOAT"))
    expected = soxr.resample(original[:, 0], rate_hz, RATE_HZ)
    assert clip.samples == len(expected)
    assert np.abs(waveform - expected).max() <= clip.scale * 0.51


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(
    rate_hz=st.sampled_from([8000, 11025, 22050, 44100, 48000, 96000, 192000, 250000, 384000]),
    clip_rate_hz=st.sampled_from([1000, 4000, 16000, 32000]),
    blocks=st.integers(1, 3),
    excess=st.integers(-3, 40) | st.integers(-500, 500),
)
def test_a_length_around_a_border_of_blocks_decodes_as_in_one_go(
    rate_hz: int, clip_rate_hz: int, blocks: int, excess: int
) -> None:
    block = rate_hz // 10
    original = tone(seconds=0.5, rate_hz=rate_hz)[: blocks * block + excess]
    expected = soxr.resample(original[:, 0], rate_hz, clip_rate_hz)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(reading_module, "BLOCK_VALUES", block)
        path = write(Path(folder) / "a.wav", original, rate_hz, "FLOAT")
        sink = io.BytesIO()
        clip = decode(path, clip_rate_hz, sink, min_seconds=1e-3)
    assert clip.samples == len(expected)
    assert np.array_equal(
        np.frombuffer(sink.getvalue(), "<i2"), np.rint(expected / np.float32(clip.scale)).astype("<i2")
    )


@pytest.mark.parametrize("frames", [2, 3, 30])
def test_a_recording_of_a_few_samples_is_too_short(tmp_path: Path, frames: int) -> None:
    path = write(tmp_path / "a.wav", tone()[:frames], 44100 if frames < 30 else 1_000_000)
    with pytest.raises(Refused, match=r"too short: it leaves [01] samples at 16000 Hz"):
        decode(path, RATE_HZ, io.BytesIO(), min_seconds=1e-9)


def test_1024_channels_are_averaged(tmp_path: Path) -> None:
    clip, _ = decoded(write(tmp_path / "a.wav", np.tile(tone(0.2, 44100), 1024), 44100))
    assert (clip.channels, clip.samples) == (1024, 3200)


def test_whatever_a_library_raises_costs_the_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("unexpected state")  # as no content known today makes it do

    monkeypatch.setattr(soxr, "resample", fail)
    with pytest.raises(Refused, match="cannot be decoded: RuntimeError: unexpected state"):
        decode(write(tmp_path / "a.wav", tone(rate_hz=8000), 8000), RATE_HZ, io.BytesIO(), min_seconds=0.1)


def test_block_size_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [
        write(tmp_path / f"a{extension}", tone(3.3, 44100), 44100) for extension in (".flac", ".ogg", ".mp3")
    ]
    whole = [decoded(path)[0] for path in paths]
    monkeypatch.setattr(reading_module, "BLOCK_VALUES", 7919)
    for path, clip in zip(paths, whole, strict=True):
        again = decoded(path)[0]
        assert again.samples_sha256 == clip.samples_sha256
        assert again.loudness_lufs == pytest.approx(clip.loudness_lufs, abs=1e-9)


def test_hash_covers_scale_and_samples(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", subtype="FLOAT")
    sink = io.BytesIO()
    clip = decode(path, RATE_HZ, sink, min_seconds=0.1)
    content = np.float32(clip.scale).tobytes() + sink.getvalue()
    assert clip.samples_sha256 == hashlib.sha256(content).hexdigest()
    louder = decoded(write(tmp_path / "b.wav", tone() * 2, subtype="FLOAT"))[0]
    assert louder.samples_sha256 != clip.samples_sha256


def test_clips_are_appended_one_after_another(tmp_path: Path) -> None:
    paths = [write(tmp_path / "a.wav"), write(tmp_path / "b.wav", tone(channels=2))]
    with (tmp_path / "shard").open("w+b") as sink:
        clips = [decode(path, RATE_HZ, sink, min_seconds=0.1) for path in paths]
        sink.seek(0)
        stored = np.frombuffer(sink.read(), "<i2")
    assert len(stored) == sum(clip.samples for clip in clips)
    second = stored[clips[0].samples :] * np.float32(clips[1].scale)
    assert np.array_equal(second, decoded(paths[1])[1])


def test_a_full_disk_is_no_refusal_and_the_sink_is_restored(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav")
    with (tmp_path / "shard").open("w+b") as sink:
        sink.write(b"before")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        try:
            with pytest.raises(OSError, match="File too large") as failure:
                decode(path, RATE_HZ, sink, min_seconds=0.1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert failure.value.errno == errno.EFBIG
        clip = decode(path, RATE_HZ, sink, min_seconds=0.1)
    assert (tmp_path / "shard").stat().st_size == len(b"before") + 2 * clip.samples


@pytest.mark.parametrize("written", [0, None])
def test_a_sink_that_fails_or_writes_too_little_is_restored(tmp_path: Path, written: int | None) -> None:
    class FullSink(io.BytesIO):
        def write(self, data: Any) -> int:
            super().write(bytes(data)[:1000])
            if written is None:
                raise OSError(errno.ENOSPC, "No space left on device")
            return 1000

    sink = FullSink(b"before")
    with pytest.raises(OSError, match="No space left") as failure:
        decode(write(tmp_path / "a.wav"), RATE_HZ, sink, min_seconds=0.1)
    assert failure.value.errno == errno.ENOSPC
    assert sink.getvalue() == b"before"


def test_memory_does_not_grow_with_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_module, "SPOOL_BYTES", 1 << 20)
    peaks = []
    for repeats in (100, 400):
        path = write(tmp_path / "long.wav", np.tile(tone(), (repeats, 1)), subtype="PCM_U8")
        with (tmp_path / "shard").open("w+b") as sink:
            tracemalloc.start()
            decode(path, RATE_HZ, sink, min_seconds=0.1)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_loudness_of_a_clip_is_measured_at_its_own_level(tmp_path: Path) -> None:
    loud = decoded(write(tmp_path / "a.wav", subtype="FLOAT"))[0].loudness_lufs
    quiet = decoded(write(tmp_path / "b.wav", tone() * np.float32(0.1), subtype="FLOAT"))[0].loudness_lufs
    assert loud - quiet == pytest.approx(20, abs=0.01)


def test_min_seconds_is_the_shortest_accepted_duration(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav")
    assert decode(path, RATE_HZ, io.BytesIO(), min_seconds=SECONDS).seconds == SECONDS
    with pytest.raises(Refused, match=r"too short: 1\.5 s"):
        decode(path, RATE_HZ, io.BytesIO(), min_seconds=SECONDS + 0.01)


def test_workers_need_no_torch() -> None:
    check = "import sys, echopair.pipeline.decoding.decode; sys.exit(bool({'torch', 'librosa'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
