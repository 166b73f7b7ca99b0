"""Opens a recording for decoding, by way of ffmpeg where libsndfile does not read it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from echopair.pipeline.decoding.envelope import Envelope
from echopair.pipeline.decoding.ffmpeg import converted, format_by_name
from echopair.pipeline.decoding.reading import (
    SequentialSoundFile,
    Unsupported,
    check_header,
    open_recording,
    read_envelope,
)
from echopair.pipeline.decoding.unsupported import Kind


@contextmanager
def opened(path: str | Path) -> Iterator[tuple[SequentialSoundFile, Envelope]]:
    """The recording, its header checked, and its envelope.

    Whether it needs ffmpeg is decided by its content; by its name for the formats of which libsndfile reads nothing.

    Raises:
        Refused: with the reason. OSError: the disk is full.
    """
    with ExitStack() as stack:
        form = format_by_name(path)
        kind = Kind(Path(path).suffix.lower(), form) if form else None
        envelope = Envelope()
        if kind is None:
            envelope = read_envelope(path)
            try:
                sound = stack.enter_context(open_recording(path, envelope))
            except Unsupported as refusal:
                kind = refusal.kind
        if kind is not None:
            wav = stack.enter_context(converted(path, kind))
            # What the container declares holds for the converted sound.
            envelope = Envelope(declared_frames=envelope.declared_frames, held_ratio=envelope.held_ratio)
            sound = stack.enter_context(open_recording(wav, envelope))
        check_header(sound, envelope)
        yield sound, envelope
