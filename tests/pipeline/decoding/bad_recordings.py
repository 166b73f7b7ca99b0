"""Writes recordings that must be refused; `odd_recordings` has the unusual ones that must be accepted.

`REFUSED` maps a name to a writer and to a pattern of the reason. A writer takes a folder, writes one
recording into it, and returns its path.
"""

import os
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.pipeline.decoding.tone_recordings import (
    RATE_HZ,
    Writer,
    cut,
    patched,
    tag,
    tone,
    write,
    xing_offset,
)


def cut_in_half(extension: str, subtype: str | None = None, container: str | None = None) -> Writer:
    return lambda folder: cut(
        write(folder / f"half{extension}", subtype=subtype, container=container), share=0.5
    )


def content(name: str, data: bytes) -> Writer:
    def writer(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return writer


def waveform(
    name: str, samples: NDArray[np.float32], rate_hz: int = RATE_HZ, subtype: str = "FLOAT"
) -> Writer:
    return lambda folder: write(folder / name, samples, rate_hz, subtype)


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.wav")
    return folder / "pipe.wav"


def folder_named_as_recording(folder: Path) -> Path:
    (folder / "folder.wav").mkdir()
    return folder / "folder.wav"


def dangling_link(folder: Path) -> Path:
    (folder / "link.wav").symlink_to(folder / "gone.wav")
    return folder / "link.wav"


def spoilt(value: float) -> Writer:
    samples = tone()
    samples[100:103] = value
    return waveform("spoilt.wav", samples)


def cut_wav_header(folder: Path) -> Path:
    path = write(folder / "header.wav")
    path.write_bytes(path.read_bytes()[:44])
    return path


def damaged_flac(folder: Path) -> Path:
    path = write(folder / "damaged.flac")
    return patched(path, path.stat().st_size // 2, bytes(500))


def ogg_without_end(folder: Path) -> Path:
    """Cut between two pages, so that nothing in it is incomplete."""
    path = write(folder / "no_end.ogg", tone(seconds=8))
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rfind(b"OggS")])
    return path


def ogg_of_absurd_length(folder: Path) -> Path:
    path = write(folder / "absurd.ogg")
    data = bytearray(path.read_bytes())
    page = data[data.rfind(b"OggS") :]
    page[6:14] = struct.pack("<q", 10**15)
    page[22:26] = bytes(4)
    remainder = 0  # the CRC of RFC 3533, or the page is skipped
    for byte in page:
        remainder ^= byte << 24
        for _ in range(8):
            remainder = (remainder << 1 ^ (0x04C11DB7 if remainder >> 31 else 0)) & 0xFFFFFFFF
    page[22:26] = struct.pack("<I", remainder)
    path.write_bytes(data[: data.rfind(b"OggS")] + page)
    return path


def chained_ogg(folder: Path) -> Path:
    """Two streams one after the other, as a radio's dump holds them; libsndfile reads the first."""
    path = write(folder / "chained.ogg")
    second = write(folder / "second.ogg", tone()[::-1])
    path.write_bytes(path.read_bytes() + second.read_bytes())
    second.unlink()
    return path


def joined(extension: str) -> Writer:
    """Two recordings in one file, as `cat` makes them; the second is shorter."""

    def writer(folder: Path) -> Path:
        path = write(folder / f"joined{extension}")
        second = write(folder / f"second{extension}", tone(seconds=0.7))
        path.write_bytes(path.read_bytes() + second.read_bytes())
        second.unlink()
        return path

    return writer


def declares_less(name: str, at: int, fmt: str, value: int, container: str | None = None) -> Writer:
    """A header that was written during the recording, or whose 32 bits were not enough."""

    def writer(folder: Path) -> Path:
        return patched(
            write(folder / name, container=container, subtype="PCM_16"), at, struct.pack(fmt, value)
        )

    return writer


def aiff_of_more_frames(folder: Path) -> Path:
    path = write(folder / "more.aiff")
    return patched(path, path.read_bytes().find(b"COMM") + 10, struct.pack(">I", 48000))


def tagged_half(extension: str) -> Writer:
    def writer(folder: Path) -> Path:
        path = cut(write(folder / f"half{extension}"), share=0.5)
        path.write_bytes(tag() + path.read_bytes())
        return path

    return writer


def mp3_of_small_length(folder: Path) -> Path:
    path = write(folder / "small.mp3")
    return patched(path, xing_offset(path) + 8, struct.pack(">I", 10))


def mp3_of_absurd_length(folder: Path) -> Path:
    path = write(folder / "absurd.mp3")
    return patched(path, xing_offset(path) + 8, struct.pack(">I", 0x7FFFFFFF))


def wild(value: float, level: float) -> Writer:
    """One damaged sample in a recording."""

    def writer(folder: Path) -> Path:
        samples = tone() * np.float32(level)
        samples[1000] = value
        return write(folder / "wild.wav", samples, subtype="FLOAT")

    return writer


def cancelled(folder: Path) -> Path:
    mono = tone()
    return write(folder / "cancelled.wav", np.concatenate([mono, -mono], axis=1))


def ultrasound(folder: Path) -> Path:
    time = np.arange(192000) / 192000
    fade = np.hanning(len(time))
    return write(
        folder / "ultrasound.wav", (0.5 * fade * np.sin(2 * np.pi * 40000 * time)).astype(np.float32), 192000
    )


def write_huge(folder: Path, rate_hz: int, channels: int) -> Path:
    signs = np.repeat(np.sign(tone(rate_hz=rate_hz)), channels, axis=1)
    return write(folder / "huge.wav", signs * np.float32(3.4e38), rate_hz, "FLOAT")


def rate_of(rate_hz: int, frames: int) -> Writer:
    return lambda folder: write(folder / "rate.wav", tone()[:frames], rate_hz)


REFUSED: dict[str, tuple[Writer, str]] = {
    "missing": (lambda folder: folder / "gone.wav", "missing: no such file"),
    "dangling link": (dangling_link, "missing: no such file"),
    "inside a file": (lambda folder: write(folder / "a.wav") / "b.wav", "missing: no such file"),
    "null in its name": (lambda folder: folder / "a\0b.wav", "missing: no such file"),
    "name too long": (lambda folder: folder / ("a" * 300 + ".wav"), "cannot be read: File name too long"),
    "fifo": (fifo, "not a regular file: a pipe"),
    "folder": (folder_named_as_recording, "not a regular file: a folder"),
    "empty": (content("empty.wav", b""), "empty: the file has zero bytes"),
    "one byte": (content("byte.wav", b"R"), "not audio"),
    "text": (content("text.wav", b"once upon a time\n" * 99), "not audio"),
    "utf-16 text": (content("text.mp3", "hällo wörld".encode("utf-16") * 500), "not audio"),
    "zeros": (content("zeros.flac", bytes(9999)), "not audio"),
    "noise after an mp3's sync": (
        content("noise.mp3", b"\xff\xfb\x90\x64" + np.random.default_rng(1).bytes(9999)),
        "no sound behind its header",
    ),
    "another format": (
        lambda folder: write(folder / "sound.voc", container="VOC", subtype="PCM_16"),
        "of the format VOC, whose length cannot be checked: convert it",
    ),
    "no samples": (waveform("none.wav", np.zeros((0, 1), np.float32)), "no samples"),
    "one sample": (
        waveform("one.wav", tone()[:1]),
        r"too short: 6.25e-05 s \(samples: 1\), 0.1 s are needed",
    ),
    "half a wav": (cut_in_half(".wav"), r"truncated: declares 1.50 s, holds 0.75 s"),
    "half a float wav": (cut_in_half(".wav", "FLOAT"), r"truncated: declares 1.50 s, holds 0.75 s"),
    "half an adpcm wav": (cut_in_half(".wav", "MS_ADPCM"), r"truncated: declares 1.\d+ s, holds 0.\d+ s"),
    "half an rf64": (cut_in_half(".wav", "PCM_16", "RF64"), r"truncated: declares 1.50 s, holds 0.75 s"),
    "half an aiff": (cut_in_half(".aiff"), r"truncated: declares 1.50 s, holds 0.75 s"),
    "half a flac": (
        cut_in_half(".flac"),
        r"truncated or damaged: declares 1.50 s, cannot be decoded after 0.\d\d s",
    ),
    "half an ogg": (cut_in_half(".ogg"), "truncated: "),
    "half an opus": (cut_in_half(".opus"), r"truncated: "),
    "half an mp3": (cut_in_half(".mp3"), r"truncated: declares 1.50 s, holds 0.\d\d s"),
    "wav header alone": (cut_wav_header, "truncated: it ends before its first sample"),
    "ogg without its last page": (
        ogg_without_end,
        r"truncated: the end of its stream is missing, holds \d.\d\d s",
    ),
    "ogg of absurd length": (ogg_of_absurd_length, r"truncated: declares 62500000000.00 s, holds 1.5\d s"),
    "chained ogg": (chained_ogg, "several Ogg streams"),
    **{
        f"joined {extension}": (joined(extension), reason)
        for extension, reason in {
            ".wav": "several parts of sound in one file",
            ".aiff": "several parts of sound in one file",
            ".flac": "several FLAC streams in one file",
            ".opus": "several Ogg streams in one file",
            ".mp3": r"only 1.5\d s of 2.\d\d s would be read",
        }.items()
    },
    "wav that declares less": (
        declares_less("less.wav", 40, "<I", 16000),
        "wrong header: declares 0.50 s, holds 1.50 s",
    ),
    "aiff that declares less": (
        declares_less("less.aiff", 42, ">I", 16008),
        "wrong header: declares 0.50 s, holds 1.50 s",
    ),
    "aiff of more frames": (aiff_of_more_frames, "truncated: declares 3.00 s, holds 1.50 s"),
    "tagged half of a wav": (tagged_half(".wav"), "truncated: declares 1.50 s, holds 0.75 s"),
    "tagged half of an ogg": (tagged_half(".ogg"), "truncated: "),
    "mp3 of small length": (mp3_of_small_length, r"only 0.\d\d s of 1.\d\d s would be read"),
    "mp3 of absurd length": (mp3_of_absurd_length, r"truncated: declares \d{7,}.\d\d s, holds 1.\d\d s"),
    "damaged flac": (damaged_flac, "truncated or damaged: declares 1.50 s"),
    "nan": (spoilt(np.nan), "3 of its 24000 samples are NaN or infinite"),
    "infinite": (spoilt(np.inf), "3 of its 24000 samples are NaN or infinite"),
    "silent": (waveform("silent.wav", np.zeros((8000, 1), np.float32)), "silent: every sample is 0"),
    "constant": (
        waveform("constant.wav", np.full((8000, 1), 0.5, np.float32)),
        "silent: every sample is 0.5",
    ),
    "below one step": (waveform("faint.wav", tone() * np.float32(1e-5)), "silent: it moves by less"),
    "cancelled": (cancelled, "silent once mixed down: its channels cancel each other"),
    "ultrasound": (ultrasound, "silent at 16000 Hz: its sound is above 8000 Hz"),
    "rate of 20 Hz": (rate_of(20, frames=24000), "sample rate of 20 Hz: below 1000 Hz"),
    "rate of 2 GHz": (rate_of(2_000_000_000, frames=24000), "sample rate of 2000000000 Hz: above 2000000 Hz"),
    "three samples at 500 kHz": (rate_of(500_000, frames=3), r"too short: 6e-06 s \(samples: 3\)"),
    "too large to mix": (lambda folder: write_huge(folder, RATE_HZ, channels=2), "too large to mix down"),
    "huge": (
        lambda folder: write_huge(folder, 44100, channels=1),
        r"in integer units: .* the peak is 3.4e\+38",
    ),
    "integer units": (
        waveform("units.wav", np.rint(tone(channels=2) * 32768)),
        r"in integer units: every value is a whole number and the peak is \d+.*; divide by 32768",
    ),
    "wild sample": (wild(1e6, level=1.0), "far above full scale: its peak is 1e\\+06"),
    "wild sample of a quiet recording": (wild(99, level=1e-3), "a wild peak: it is 99, .* would be lost"),
    "wav of rate zero": (
        lambda folder: patched(write(folder / "rate.wav"), 24, bytes(4)),
        "wrong header: a sample rate of zero",
    ),
    "wav without channels": (
        lambda folder: patched(write(folder / "none.wav"), 22, bytes(2)),
        "wrong header: it declares no channels",
    ),
}
