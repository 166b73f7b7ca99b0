"""Damaged recordings: each must be decoded or refused, in bounded time and memory.

    python -m tests.torture.fuzz_decoding [--files 600] [--seed 0] [--only flac ...]

A file is a small valid recording with one to three random changes: flipped bits in the header or the body, a cut,
bytes deleted, repeated or inserted, a number of the header replaced by an extreme one, zeros. The checksums of half of
the Ogg files are made right again, as a decoder passes over a page with a wrong one. A child process decodes them,
which is replaced when it dies, takes longer than `TIME_LIMIT_SECONDS` or more memory than `MEMORY_LIMIT_MEGABYTES`.
The exit status is 1 if anything but a clip or a refusal by our own checks came out.
"""

import argparse
import io
import multiprocessing
import os
import random
import re
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from echopair.pipeline.decoding.decode import Refused, decode

RATE_HZ = 16000
TIME_LIMIT_SECONDS = 20.0
MEMORY_LIMIT_MEGABYTES = 1024
HEADER_BYTES = 128
# Format and subtype for soundfile, and the recording's rate, channels and seconds; above 10 s it is decoded in blocks.
Form = tuple[str, str, int, int, float]
FORMS: dict[str, list[Form]] = {
    "wav": [
        ("WAV", "PCM_16", 16000, 1, 1.0),
        ("WAVEX", "PCM_24", 44100, 2, 0.3),
        ("WAV", "FLOAT", 22050, 1, 0.5),
        ("WAV", "IMA_ADPCM", 8000, 1, 1.0),
        ("WAV", "MS_ADPCM", 16000, 2, 0.5),
        ("RF64", "PCM_16", 48000, 1, 0.3),
        ("WAV", "PCM_U8", 8000, 1, 21.0),
    ],
    "flac": [
        ("FLAC", "PCM_16", 16000, 1, 1.0),
        ("FLAC", "PCM_24", 44100, 2, 0.5),
        ("FLAC", "PCM_S8", 8000, 1, 21.0),
    ],
    "ogg": [
        ("OGG", "VORBIS", 16000, 1, 2.0),
        ("OGG", "VORBIS", 44100, 2, 1.0),
        ("OGG", "VORBIS", 8000, 1, 21.0),
    ],
    "opus": [("OGG", "OPUS", 16000, 1, 2.0), ("OGG", "OPUS", 48000, 2, 1.0), ("OGG", "OPUS", 8000, 1, 21.0)],
    "mp3": [
        ("MP3", "MPEG_LAYER_III", 16000, 1, 2.0),
        ("MP3", "MPEG_LAYER_III", 44100, 2, 1.0),
        ("MP3", "MPEG_LAYER_III", 8000, 1, 21.0),
    ],
    "aiff": [
        ("AIFF", "PCM_16", 16000, 1, 1.0),
        ("AIFF", "PCM_24", 44100, 2, 0.3),
        ("AIFF", "FLOAT", 22050, 1, 0.5),
        ("AIFF", "IMA_ADPCM", 22050, 1, 0.5),
        ("AIFF", "PCM_S8", 8000, 1, 21.0),
    ],
}
EXTREMES = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF)
REFUSAL_KINDS = {
    "truncated": "^truncated",
    "wrong or absurd header": "^wrong header|sample rate of",
    "several in one file": "in one file",
    "only a part would be read": "would be read",
    "of no known format": "^not audio|not of a known",
    "no sound": "^no samples|no sound|^too short",
    "NaN, silent or too large": "NaN|silent|too large|far above full scale|in integer units|^a wild peak",
    "needs ffmpeg": "needs ffmpeg",
    "libsndfile's reason": "^cannot be decoded: (?!\\w+(Error|Exception): )",
    "unexpected exception": "^cannot be decoded: \\w+(Error|Exception): ",
}


class Outcome(NamedTuple):
    """What became of one file."""

    kind: str
    detail: str
    seconds: float
    megabytes: float


def valid(form: Form) -> bytes:
    """The bytes of a recording of noise."""
    import numpy as np
    import soundfile

    container, subtype, rate_hz, channels, seconds = form
    waveform = np.random.default_rng(0).normal(scale=0.1, size=(round(rate_hz * seconds), channels))
    file = io.BytesIO()
    soundfile.write(file, waveform, rate_hz, format=container, subtype=subtype)
    return file.getvalue()


def mutated(original: bytes, draw: random.Random) -> bytes:
    """The recording with one to three random changes."""
    data = bytearray(original)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        draw.choice(CHANGES)(data, draw)
    return with_checksums(data) if data[:4] == b"OggS" and draw.random() < 0.5 else bytes(data)


def _flip_in_header(data: bytearray, draw: random.Random) -> None:
    for _ in range(draw.choice((1, 2, 8))):
        _flip(data, draw.randrange(HEADER_BYTES), draw)


def _flip_in_body(data: bytearray, draw: random.Random) -> None:
    for _ in range(draw.choice((1, 4, 64))):
        _flip(data, draw.randrange(len(data) + 1), draw)


def _flip(data: bytearray, at: int, draw: random.Random) -> None:
    if at < len(data):
        data[at] ^= 1 << draw.randrange(8)


def _cut(data: bytearray, draw: random.Random) -> None:
    del data[draw.randrange(len(data) + 1) :]


def _delete(data: bytearray, draw: random.Random) -> None:
    begin, end = _block(data, draw)
    del data[begin:end]


def _repeat(data: bytearray, draw: random.Random) -> None:
    begin, end = _block(data, draw)
    data[end:end] = data[begin:end] * draw.choice((1, 1, 5))


def _move(data: bytearray, draw: random.Random) -> None:
    begin, end = _block(data, draw)
    block = data[begin:end]
    del data[begin:end]
    at = draw.randrange(len(data) + 1)
    data[at:at] = block


def _insert(data: bytearray, draw: random.Random) -> None:
    at = draw.choice((0, draw.randrange(HEADER_BYTES), draw.randrange(len(data) + 1)))
    data[at:at] = draw.randbytes(draw.choice((1, 2, 7, 100, 5000)))


def _zero(data: bytearray, draw: random.Random) -> None:
    begin, end = _block(data, draw)
    data[begin:end] = bytes(end - begin)


def _extreme_number(data: bytearray, draw: random.Random) -> None:
    form = draw.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
    size = struct.calcsize(form)
    at = draw.randrange(HEADER_BYTES)
    if at + size <= len(data):
        number = draw.choice((*EXTREMES, draw.getrandbits(32), len(data) + draw.randint(-9, 9)))
        data[at : at + size] = struct.pack(form, max(0, number) % (1 << 8 * size))


def _block(data: bytearray, draw: random.Random) -> tuple[int, int]:
    begin = draw.randrange(len(data) + 1)
    return begin, min(len(data), begin + draw.choice((1, 2, 4, 37, 512, 4096, len(data) // 2)))


CHANGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip_in_header,
    _flip_in_header,
    _extreme_number,
    _extreme_number,
    _flip_in_body,
    _cut,
    _delete,
    _repeat,
    _move,
    _insert,
    _zero,
)


def with_checksums(data: bytearray) -> bytes:
    """An Ogg file with the right checksum in each page that is whole."""
    for found in re.finditer(b"OggS", bytes(data)):
        at = found.start()
        if at + 27 > len(data):
            continue
        end = at + 27 + data[at + 26] + sum(data[at + 27 : at + 27 + data[at + 26]])
        if end > len(data):
            continue
        data[at + 22 : at + 26] = bytes(4)
        crc = 0
        for byte in data[at:end]:
            crc = (crc << 8 & 0xFFFFFFFF) ^ CRC_TABLE[crc >> 24 ^ byte]
        data[at + 22 : at + 26] = struct.pack("<I", crc)
    return bytes(data)


def _crc_of(byte: int) -> int:
    crc = byte << 24
    for _ in range(8):
        crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    return crc


CRC_TABLE = [_crc_of(byte) for byte in range(256)]


def work(jobs: Connection) -> None:
    """Decode the files whose paths come through a connection; send back the outcome of each."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libmpg123 reports each fault that it finds
    while True:
        try:
            path = jobs.recv()
        except EOFError:
            return
        Path("/proc/self/clear_refs").write_text("5")  # the peak of the memory begins anew
        began = time.perf_counter()
        try:
            clip = decode(path, RATE_HZ, io.BytesIO(), min_seconds=0.05)
            kind, detail = "accepted", f"{clip.seconds:.2f} s"
        except Refused as refusal:
            detail = str(refusal)
            kind = next((kind for kind, form in REFUSAL_KINDS.items() if re.search(form, detail)), "other")
        except BaseException as error:  # which `decode` must not let out
            kind, detail = "escaped exception", f"{type(error).__name__}: {error}"
        seconds = time.perf_counter() - began
        jobs.send(Outcome(kind, detail, seconds, _megabytes(os.getpid(), "VmHWM")))


def _megabytes(pid: int, field: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


class Child:
    """The process that decodes."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._jobs, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def decode(self, path: Path) -> tuple[Outcome, bool]:
        """The outcome of a file, and whether this child goes on."""
        self._jobs.send(path)
        began, pid, peak = time.perf_counter(), self._process.pid or 0, 0.0
        while not self._jobs.poll(0.02):
            seconds, peak = time.perf_counter() - began, max(peak, _megabytes(pid, "VmRSS"))
            if seconds > TIME_LIMIT_SECONDS or peak > MEMORY_LIMIT_MEGABYTES:
                self._process.kill()
                kind = "timeout" if seconds > TIME_LIMIT_SECONDS else "too much memory"
                return Outcome(kind, "", seconds, peak), False
        try:
            return self._jobs.recv(), True
        except (EOFError, ConnectionError):
            self._process.join()
            seconds = time.perf_counter() - began
            return Outcome("crash", f"exit code {self._process.exitcode}", seconds, peak), False


def play(name: str, files: int, seed: int, folder: Path) -> dict[str, list[tuple[int, Outcome]]]:
    """Decode the damaged files of one format; returns their numbers and outcomes by kind."""
    originals = [valid(form) for form in FORMS[name]]
    outcomes: dict[str, list[tuple[int, Outcome]]] = {}
    child = Child()
    for number, original in enumerate(originals):
        path = folder / f"{name}-valid-{number}"
        path.write_bytes(original)
        outcome, _ = child.decode(path)
        assert outcome.kind == "accepted", f"{FORMS[name][number]} undamaged: {outcome}"
    for number in range(files):
        draw = random.Random(f"{name} {seed} {number}")
        path = folder / name
        path.write_bytes(mutated(draw.choice(originals), draw))
        outcome, goes_on = child.decode(path)
        outcomes.setdefault(outcome.kind, []).append((number, outcome))
        if not goes_on:
            child = Child()
    return outcomes


BAD = ("unexpected exception", "other", "escaped exception", "crash", "timeout", "too much memory")


def main() -> None:
    """Play the formats and print the figures of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=600, help="of each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", choices=FORMS, metavar="FORMAT", help=", ".join(FORMS))
    arguments = parser.parse_args()
    violations = 0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        for name in arguments.only or FORMS:
            began = time.monotonic()
            outcomes = play(name, arguments.files, arguments.seed, Path(temporary))
            every = [one for found in outcomes.values() for one in found]
            slowest = max(every, key=lambda one: one[1].seconds)
            largest = max(every, key=lambda one: one[1].megabytes)
            print(
                f"{name}: {len(every)} files in {time.monotonic() - began:.0f} s; slowest {slowest[1].seconds:.2f} s "
                f"(number {slowest[0]}), peak {largest[1].megabytes:.0f} MB (number {largest[0]})"
            )
            for kind in ("accepted", *REFUSAL_KINDS, *BAD[1:]):
                found = outcomes.get(kind, [])
                if found or kind in BAD[2:]:
                    print(f"  {len(found):>5}  {kind}")
                if kind in BAD:
                    violations += len(found)
                    reasons = Counter(outcome.detail for _, outcome in found)
                    for reason, count in reasons.most_common(8):
                        numbers = [number for number, outcome in found if outcome.detail == reason][:3]
                        print(f"         {count} x {reason} (numbers {numbers})")
            sys.stdout.flush()
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
