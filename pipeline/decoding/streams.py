"""Ogg and FLAC: streams without a length in bytes. Sources: RFC 3533 (Ogg), RFC 9639 (FLAC)."""

import re
from typing import BinaryIO

from echopair.pipeline.decoding.envelope import Envelope, Part, blocks_of

OGG_END_OF_STREAM = 4
OGG_BEGIN = re.compile(rb"OggS\0[\x02\x06]")  # of a stream; a page without that flag goes on with it
FLAC_BEGIN = re.compile(rb"fLaC[\0\x80]\0\0\x22")
FLAC_TAIL_BYTES = 1 << 17
FLAC_STREAMINFO_BYTES = 26  # up to the number of samples
FLAC_SYNC = re.compile(rb"\xff[\xf8\xf9][\x10-\xff][\0-\xaf]")  # with a block size, and a number of channels


def ogg(file: BinaryIO, size_bytes: int) -> Envelope:
    """An Ogg stream ends with a flagged page; without it, the end of the stream is missing."""
    several = "several Ogg streams" if _occurs_again(file, OGG_BEGIN) else None
    window, end = 1 << 17, size_bytes  # two of the largest pages; further back only for a foreign tail
    while end > 0:
        begin = max(0, end - window)
        file.seek(begin)
        found = file.read(end - begin + 3).rfind(b"OggS")
        if found >= 0:
            break
        end = begin
    else:
        return Envelope(cut=True)
    file.seek(begin + found)
    page = file.read(27 + 255)
    lacing = page[27 : 27 + page[26]] if len(page) >= 27 else b""
    whole = len(page) >= 27 and len(lacing) == page[26]
    if not whole or begin + found + 27 + len(lacing) + sum(lacing) > size_bytes:
        return Envelope(cut=True, joined=several)
    return Envelope(cut=not page[5] & OGG_END_OF_STREAM, joined=several)


def first_packet(page: bytes) -> bytes:
    """The rest of an Ogg page from its first packet on, which names the codec; b"" if it does not come so far."""
    return page[27 + page[26] :] if len(page) > 26 else b""


def flac(file: BinaryIO, size_bytes: int) -> Envelope:
    """libsndfile stops at the declared number of samples; if the last frame goes further, none is declared to it."""
    if _occurs_again(file, FLAC_BEGIN):
        return Envelope(joined="several FLAC streams")
    file.seek(0)
    head = file.read(FLAC_STREAMINFO_BYTES)
    if len(head) < FLAC_STREAMINFO_BYTES or head[4] & 0x7F:
        return Envelope()
    declared = (head[21] & 0x0F) << 32 | int.from_bytes(head[22:26], "big")
    tail_start = max(0, size_bytes - FLAC_TAIL_BYTES)
    file.seek(tail_start)
    tail = file.read()
    largest_block = int.from_bytes(head[10:12], "big")
    heads = (tail[one.start() : one.start() + 20] for one in FLAC_SYNC.finditer(tail))
    if not declared or not any(_is_flac_frame_beyond(declared, head, largest_block) for head in heads):
        return Envelope(declared_frames=declared)
    # 0 is "unknown". A frame that is none, but looks like it, costs nothing: what is read is what is there.
    unknown = head[:21] + bytes([head[21] & 0xF0]) + bytes(4)
    return Envelope(part=Part(unknown, FLAC_STREAMINFO_BYTES, size_bytes))


def _is_flac_frame_beyond(declared: int, head: bytes, largest_block: int) -> bool:
    """Whether this is the header of a frame that ends after so many samples."""
    if len(head) < 16 or head[2] & 15 == 15 or head[3] & 1:
        return False
    first, digits = head[4], 1
    while digits < 7 and first << digits & 0x80:
        digits += 1
    # As UTF-8: the number of leading ones is the number of bytes, one byte has none.
    count = 1 if not first & 0x80 else digits
    number = first & (0x7F if count == 1 else 0x7F >> count)
    for byte in head[5 : 4 + count]:
        number = number << 6 | byte & 0x3F
    at, size_code = 4 + count, head[2] >> 4
    extra = {6: 1, 7: 2}.get(size_code, 0)
    if extra:
        block = int.from_bytes(head[at : at + extra], "big") + 1
    else:
        block = 192 if size_code == 1 else 576 << size_code - 2 if size_code < 6 else 256 << size_code - 8
    at += extra + {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    end = (number if head[1] & 1 else number * largest_block) + block
    return end > declared and _crc8(head[:at]) == head[at]  # the checksum last: it takes longest


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ (7 if crc & 0x80 else 0)) & 0xFF
    return crc


def _occurs_again(file: BinaryIO, begin: re.Pattern[bytes]) -> bool:
    return any(begin.search(block) for _, block in blocks_of(file, 1, overlap=7))
