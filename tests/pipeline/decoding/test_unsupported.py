"""Codecs that libsndfile does not read in containers that it does, with and without ffmpeg."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest

from echopair.pipeline.decoding.decode import Refused, decode
from echopair.pipeline.decoding.streams import _crc8
from tests.pipeline.decoding.test_ffmpeg import converted, needs_ffmpeg, whole_clip
from tests.pipeline.decoding.tone_recordings import RATE_HZ, Writer, cut, patched, tone, write

BLOCK = 4096


def integers(bits: int) -> list[int]:
    return [int(value) for value in np.rint(tone()[:, 0].astype(np.float64) * 2 ** (bits - 1))]


def flac_of_20_bits(folder: Path) -> Path:
    """Blocks that are not compressed, by RFC 9639."""
    values = integers(20)
    info = (RATE_HZ << 44 | 19 << 36 | len(values)).to_bytes(8, "big")
    content = b"fLaC\x80\0\0\x22" + struct.pack(">HH6x", BLOCK, BLOCK) + info + bytes(16)
    for number, first in enumerate(range(0, len(values), BLOCK)):
        block = values[first : first + BLOCK]
        head = b"\xff\xf8\x70\x0a" + bytes([number]) + struct.pack(">H", len(block) - 1)
        bits = "00000010" + "".join(f"{value & 0xFFFFF:020b}" for value in block)
        bits += "0" * (-len(bits) % 8)
        frame = head + bytes([_crc8(head)]) + int(bits, 2).to_bytes(len(bits) // 8, "big")
        content += frame + struct.pack(">H", crc16(frame))
    (folder / "deep.flac").write_bytes(content)
    return folder / "deep.flac"


def crc16(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x8005 if crc & 0x8000 else 0)) & 0xFFFF
    return crc


def nist_of_24_bits(folder: Path) -> Path:
    values = integers(24)
    header = (
        f"NIST_1A\n   1024\nsample_count -i {len(values)}\nsample_n_bytes -i 3\nchannel_count -i 1\n"
        f"sample_byte_format -s2 01\nsample_rate -i {RATE_HZ}\nsample_coding -s3 pcm\nend_head\n"
    )
    samples = b"".join(value.to_bytes(3, "little", signed=True) for value in values)
    (folder / "deep.sph").write_bytes(header.encode().ljust(1024) + samples)
    return folder / "deep.sph"


def ogg_packet(packet: bytes) -> Writer:
    """A stream of one page, enough to tell its codec."""

    def writer(folder: Path) -> Path:
        page = b"OggS\0\x06" + bytes(20) + bytes([1, len(packet)]) + packet
        (folder / "stream.oga").write_bytes(page)
        return folder / "stream.oga"

    return writer


UNSUPPORTED: dict[str, Writer] = {
    "FLAC of 20 bits": flac_of_20_bits,
    "FLAC in Ogg": ogg_packet(b"\x7fFLAC\1\0\0\1fLaC"),
    "Speex in Ogg": ogg_packet(b"Speex   1.2rc1"),
    "NIST SPHERE of this encoding": nist_of_24_bits,
    "WAV with codec 0x0020": lambda folder: patched(write(folder / "a.wav"), 20, b"\x20\0"),
}


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_without_ffmpeg_each_kind_is_refused_by_name(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Refused, match=f"^{kind} needs ffmpeg: install it on the PATH, or convert"):
        decode(UNSUPPORTED[kind](tmp_path), RATE_HZ, io.BytesIO(), min_seconds=0.1)


def test_damaged_flac_of_a_readable_width_is_not_said_to_need_ffmpeg(tmp_path: Path) -> None:
    file = patched(write(tmp_path / "a.flac"), 4, b"\xff")  # the length of its first block
    with pytest.raises(Refused) as refused:
        decode(file, RATE_HZ, io.BytesIO(), min_seconds=0.1)
    assert "ffmpeg" not in str(refused.value)


@needs_ffmpeg
@pytest.mark.parametrize("writer", [flac_of_20_bits, nist_of_24_bits])
def test_ffmpeg_reads_every_sample(writer: Writer, tmp_path: Path) -> None:
    sinks = [io.BytesIO(), io.BytesIO()]
    expected = decode(write(tmp_path / "a.wav", subtype="FLOAT"), RATE_HZ, sinks[0], min_seconds=0.1)
    clip = decode(writer(tmp_path), RATE_HZ, sinks[1], min_seconds=0.1)
    assert clip.scale == pytest.approx(expected.scale, rel=1e-4)
    samples = [np.frombuffer(sink.getvalue(), "<i2").astype(int) for sink in sinks]
    assert np.abs(samples[0] - samples[1]).max() <= 1


@needs_ffmpeg
def test_ffmpeg_reads_flac_and_speex_in_ogg(tmp_path: Path) -> None:
    flac = converted(tmp_path, "flac.ogg", "-c:a", "flac")
    assert whole_clip(flac) == whole_clip(tmp_path / "a.wav")
    speex = converted(tmp_path, "speex.ogg", "-c:a", "libspeex")
    assert whole_clip(speex).seconds == pytest.approx(1.5, abs=0.03)
    for path in (flac, speex):
        with pytest.raises(Refused, match="truncated: its end is missing"):
            whole_clip(cut(path, 0.6))


@needs_ffmpeg
def test_a_cut_or_damaged_recording_is_refused(tmp_path: Path) -> None:
    whole = flac_of_20_bits(tmp_path).read_bytes()
    frame = 8 + BLOCK * 20 // 8 + 3  # bytes of a header, its samples and checksum
    for content in (whole[:-100], whole[: 42 + 5 * frame], patched_in_the_middle(whole)):
        (tmp_path / "bad.flac").write_bytes(content)
        with pytest.raises(Refused, match=r"^truncated"):
            whole_clip(tmp_path / "bad.flac")
    cut(nist_of_24_bits(tmp_path), 0.99)
    with pytest.raises(Refused, match=r"^truncated: holds \d\d% of its declared bytes"):
        whole_clip(tmp_path / "deep.sph")


@needs_ffmpeg
def test_what_ffmpeg_does_not_read_either_is_refused_by_name(tmp_path: Path) -> None:
    path = nist_of_24_bits(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"sample_byte_format -s2 01", b"sample_byte_format -s2 zz"))
    with pytest.raises(
        Refused, match=r"^NIST SPHERE of this encoding: this version of ffmpeg does not read it"
    ):
        whole_clip(path)


def patched_in_the_middle(content: bytes) -> bytes:
    at = len(content) // 2
    return content[:at] + bytes(50) + content[at + 50 :]
