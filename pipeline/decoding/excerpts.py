"""Cuts excerpts out of a recording, all of them while it is read once."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from echopair.pipeline.decoding.opening import opened
from echopair.pipeline.decoding.reading import Refused, read_blocks, undecodable

TOLERANCE_SECONDS = 0.1  # of the end of an event behind that of the recording: tables round
LARGEST_WAV_BYTES = 1 << 31


def sounds_of(
    path: str | Path, excerpts: Sequence[tuple[float, float]]
) -> Iterator[tuple[int, str | Path | Refused]]:
    """What to decode of a recording: its excerpts, see `cut`, or without any the whole, with the number 0."""
    yield from cut(path, excerpts) if excerpts else [(0, path)]


def cut(path: str | Path, excerpts: Sequence[tuple[float, float]]) -> Iterator[tuple[int, Path | Refused]]:
    """Write each excerpt to a WAV file of its own, at the recording's rate and with its channels.

    Args:
        path: see `decode`.
        excerpts: begin and end in seconds, in any order; they may overlap.

    Yields:
        The position in `excerpts`, and a file that exists until the next is asked for, or why there is none.
    """
    waiting = sorted(range(len(excerpts)), key=lambda index: excerpts[index], reverse=True)
    active: list[_Excerpt] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="echopair-")))
        try:
            sound, _ = stack.enter_context(opened(path))
            rate_hz, done = sound.samplerate, 0
            for block in read_blocks(sound):
                while waiting and excerpts[waiting[-1]][0] * rate_hz < done + len(block):
                    index = waiting.pop()
                    active.append(_Excerpt(index, excerpts[index], folder, rate_hz, sound.channels))
                for one in list(active):
                    one.add(block, done)
                    if one.last <= done + len(block):
                        active.remove(one)
                        yield one.index, one.finish()
                done += len(block)
                if not waiting and not active:
                    return
            held = done / rate_hz
            for one in active:
                end = excerpts[one.index][1]
                is_whole = end <= held + TOLERANCE_SECONDS
                file = one.finish()
                yield one.index, file if is_whole else Refused(_beyond("ends", end, held))
            for index in waiting:
                yield index, Refused(_beyond("begins", excerpts[index][0], held))
        except OSError:
            raise
        except Exception as error:
            refusal = error if isinstance(error, Refused) else undecodable(error)
            for index in [*(one.index for one in active), *waiting]:
                yield index, refusal


def _beyond(verb: str, event: float, held: float) -> str:
    return f"the event {verb} at {event:.2f} s, its recording ends at {held:.2f} s"


class _Excerpt:
    """An excerpt that is being written."""

    def __init__(
        self, index: int, excerpt: tuple[float, float], folder: Path, rate_hz: int, channels: int
    ) -> None:
        self.index = index
        self._first, self.last = (round(second * rate_hz) for second in excerpt)
        self._path = folder / f"{index}.wav"
        is_large = (self.last - self._first) * channels * 4 > LARGEST_WAV_BYTES
        form = "RF64" if is_large else "WAV"
        self._file = soundfile.SoundFile(self._path, "w", rate_hz, channels, "FLOAT", format=form)

    def add(self, block: NDArray[np.float32], begin: int) -> None:
        """Write what the excerpt has of a block, (frames, channels), that begins at a frame of the recording."""
        self._file.write(block[max(0, self._first - begin) : max(0, self.last - begin)])

    def finish(self) -> Path | Refused:
        """The whole file; the caller of `cut` is done with it when it asks for the next."""
        self._file.close()
        return self._path if self.last > self._first else Refused("too short: begin and end are the same")
