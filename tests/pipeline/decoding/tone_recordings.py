"""Writes recordings of a tone by their extension, and changes their bytes."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

Writer = Callable[[Path], Path]
RATE_HZ = 16000
SECONDS = 1.5
# What soundfile is told to write, by extension.
FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".aiff": ("AIFF", "PCM_16"),
}


def tone(seconds: float = SECONDS, rate_hz: int = RATE_HZ, channels: int = 1) -> NDArray[np.float32]:
    """A seeded tone in a little noise, below -6 dBFS: float32 of shape (frames, channels)."""
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    noise = np.random.default_rng(7).standard_normal((len(time), channels))
    tones = [np.sin(2 * np.pi * 440 * (channel + 1) * time) for channel in range(channels)]
    return (0.3 * np.stack(tones, axis=1) + 0.02 * noise).astype(np.float32)


def write(
    path: Path,
    waveform: NDArray[np.float32] | None = None,
    rate_hz: int = RATE_HZ,
    subtype: str | None = None,
    container: str | None = None,
) -> Path:
    """Write a recording by its extension, or by `container` whatever its extension."""
    default = FORMATS.get(path.suffix, ("WAV", "PCM_16"))
    soundfile.write(
        os.fsencode(path),
        tone(rate_hz=rate_hz) if waveform is None else waveform,
        rate_hz,
        format=container or default[0],
        subtype=subtype or (default[1] if container is None else None),
    )
    return path


def patched(path: Path, at: int, new: bytes) -> Path:
    content = bytearray(path.read_bytes())
    content[at : at + len(new)] = new
    path.write_bytes(content)
    return path


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def tag(payload_bytes: int = 300) -> bytes:
    return b"ID3\x04\0\0" + bytes([0, 0, payload_bytes >> 7, payload_bytes & 127]) + bytes(payload_bytes)


def xing_offset(path: Path) -> int:
    head = path.read_bytes()[:200]
    return max(head.find(b"Xing"), head.find(b"Info"))


def mp3_frames(path: Path) -> list[int]:
    """Offsets of the frames, the first of which holds the length and no sound."""
    data = path.read_bytes()
    return [at for at in range(len(data) - 1) if data[at : at + 2] == data[:2]]
