"""Writes unusual but complete recordings; they must be accepted.

`ACCEPTED` maps a name to a writer, which takes a folder, writes one recording into it, and returns its path.
"""

import os
import struct
from pathlib import Path

import soundfile

from tests.pipeline.decoding.tone_recordings import (
    FORMATS,
    RATE_HZ,
    Writer,
    mp3_frames,
    patched,
    tag,
    tone,
    write,
)


def streaming_wav(length: int) -> Writer:
    """A header written before the length was known, as a pipe or a killed recorder leaves it."""

    def writer(folder: Path) -> Path:
        path = write(folder / "streaming.wav")
        riff = length if length else 36
        return patched(patched(path, 40, struct.pack("<I", length)), 4, struct.pack("<I", riff))

    return writer


def streaming_flac(folder: Path) -> Path:
    path = write(folder / "streaming.flac")
    # The lower 36 bits of bytes 18 to 26 hold the number of samples; 0 is "unknown".
    return patched(patched(path, 21, bytes([path.read_bytes()[21] & 0xF0])), 22, bytes(4))


def flac_of_small_total(folder: Path) -> Path:
    path = write(folder / "small.flac")
    return patched(path, 22, struct.pack(">I", 5000))


def unset_data_length(folder: Path) -> Path:
    """The RIFF length was reserved beforehand, the data length never filled in."""
    return patched(write(folder / "reserved.wav"), 40, bytes(4))


def counted_header(excess: int) -> Writer:
    """The writer counted its own header as sound."""

    def writer(folder: Path) -> Path:
        path = write(folder / "counted.wav")
        return patched(path, 40, struct.pack("<I", 2 * len(tone()) + excess))

    return writer


def forgotten_pad(folder: Path) -> Path:
    """A chunk of odd length in front of the sound, without the pad byte."""
    path = write(folder / "unpadded.wav")
    whole = path.read_bytes()
    path.write_bytes(whole[:36] + b"LIST" + struct.pack("<I", 17) + b"INFOICMT\x05\0\0\0hello" + whole[36:])
    return path


def bw64(folder: Path) -> Path:
    path = write(folder / "long.wav", container="RF64", subtype="PCM_16")
    return patched(path, 0, b"BW64")


def tagged(container: str, subtype: str) -> Writer:
    def writer(folder: Path) -> Path:
        path = write(folder / "tagged", container=container, subtype=subtype)
        path.write_bytes(tag() + path.read_bytes())
        return path

    return writer


def zeros_behind(folder: Path) -> Path:
    """Space that the recorder reserved and did not need."""
    path = write(folder / "reserved.wav")
    path.write_bytes(path.read_bytes() + bytes(50_000))
    return path


def trailing_chunk(folder: Path) -> Path:
    path = write(folder / "trailing.wav")
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 12) + b"INFOICMT\0\0\0\0")
    return path


def cut_trailing_chunk(folder: Path) -> Path:
    path = trailing_chunk(folder)
    path.write_bytes(path.read_bytes()[:-7])
    return path


def missing_pad_byte(folder: Path) -> Path:
    """An odd number of bytes of sound needs a pad byte, which many writers omit."""
    path = write(folder / "odd.wav", tone()[:-1], subtype="PCM_U8")
    path.write_bytes(path.read_bytes()[: 44 + len(tone()) - 1])
    return path


def tagged_mp3(folder: Path) -> Path:
    path = write(folder / "tagged.mp3")
    path.write_bytes(b"ID3\x03\0\0\0\0\x07\x76" + bytes(1014) + path.read_bytes() + b"TAG" + bytes(125))
    return path


def ogg_with_foreign_tail(folder: Path) -> Path:
    path = write(folder / "tail.ogg")
    path.write_bytes(path.read_bytes() + bytes(300_000))
    return path


def name_not_utf8(folder: Path) -> Path:
    return write(Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.wav")))


def oddity(name: str, rate_hz: int = RATE_HZ, channels: int = 1, **options: str) -> Writer:
    return lambda folder: write(folder / name, tone(rate_hz=rate_hz, channels=channels), rate_hz, **options)


def mp3_of_constant_rate_without_length(folder: Path) -> Path:
    path = folder / "constant.mp3"
    soundfile.write(path, tone(), RATE_HZ, bitrate_mode="CONSTANT", compression_level=0.5)
    second_frame = mp3_frames(path)[1]
    path.write_bytes(path.read_bytes()[second_frame:])
    return path


ACCEPTED: dict[str, Writer] = {
    **{extension: oddity(f"plain{extension}") for extension in FORMATS},
    "wav named mp3": oddity("misnamed.mp3", container="WAV", subtype="PCM_16"),
    "mp3 named wav": oddity("misnamed.wav", container="MP3", subtype="MPEG_LAYER_III"),
    "capital extension": oddity("LOUD.WAV"),
    "eight channels": oddity("eight.wav", channels=8),
    "192 kHz": oddity("fast.wav", rate_hz=192000),
    "8 kHz": oddity("slow.wav", rate_hz=8000),
    "24 bit": oddity("deep.wav", subtype="PCM_24"),
    "24 bit flac": oddity("deep.flac", subtype="PCM_24"),
    "32 bit": oddity("deeper.wav", subtype="PCM_32"),
    "float": oddity("float.wav", subtype="FLOAT"),
    "double": oddity("double.wav", subtype="DOUBLE"),
    "unsigned 8 bit": oddity("u8.wav", subtype="PCM_U8"),
    "mu-law": oddity("ulaw.wav", subtype="ULAW"),
    "adpcm": oddity("adpcm.wav", subtype="IMA_ADPCM"),
    "rf64": oddity("long.wav", container="RF64", subtype="PCM_16"),
    "wavex": oddity("wavex.wav", container="WAVEX", subtype="PCM_24"),
    "float aiff": oddity("float.aiff", subtype="FLOAT"),
    "streaming, 0": streaming_wav(0),
    "streaming, 0xFFFFFFFF": streaming_wav(0xFFFFFFFF),
    "streaming, 0x7FFFF000": streaming_wav(0x7FFFF000),
    "streaming, 0x80000000": streaming_wav(0x80000000),
    "streaming flac": streaming_flac,
    "flac of small total": flac_of_small_total,
    "unset data length": unset_data_length,
    "counted header": counted_header(44),
    "counted riff header": counted_header(36),
    "forgotten pad": forgotten_pad,
    "bw64": bw64,
    "tagged ogg": tagged("OGG", "VORBIS"),
    "tagged caf": tagged("CAF", "PCM_16"),
    "zeros behind": zeros_behind,
    "trailing chunk": trailing_chunk,
    "cut trailing chunk": cut_trailing_chunk,
    "missing pad byte": missing_pad_byte,
    "mp3 of constant rate without a length": mp3_of_constant_rate_without_length,
    "tagged mp3": tagged_mp3,
    "ogg with a foreign tail": ogg_with_foreign_tail,
    "name not utf-8": name_not_utf8,
    "spaces and unicode": oddity("naïve señor 鳥 .wav"),
}
