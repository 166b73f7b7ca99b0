"""Decodes the recordings of a corpus in worker processes.

A file that kills its process, or keeps it busy beyond a limit, costs itself alone.
"""

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from echopair.pipeline.cores import available_cores, end_with
from echopair.pipeline.decoding.time_limit import LEAST_SECONDS, time_limit_seconds
from echopair.pipeline.errors import UserError

if TYPE_CHECKING:
    from echopair.pipeline.corpora.recording import Recording
    from echopair.pipeline.decoding.decode import Clip

RECORDINGS_PER_TASK = 8
LARGEST_KEPT_BYTES = 30 << 20  # below glibc's DEFAULT_MMAP_THRESHOLD_MAX
SHARD_PREFIX = "worker-"
KILLED = "crashes the decoder: its process was killed, or ran out of memory"


class Outcome(NamedTuple):
    """What became of one recording: a clip at a place in a shard, or the reason it was refused."""

    recording: int
    clip: "Clip | None"
    reason: str
    worker_shard: str
    offset: int


class File(NamedTuple):
    """A file that is decoded whole, or of which several recordings are excerpts."""

    path: str
    recordings: list[int]
    excerpts: list[tuple[float, float]]  # none: the whole file


def decode_all(
    corpus: str,
    recordings: "Sequence[Recording]",
    workers: int | None,
    sample_rate_hz: int,
    min_seconds: float,
    folder: Path,
) -> Iterator[Outcome]:
    """Decode recordings, in any order, into shards of the worker processes.

    Args:
        corpus: its name, for messages.
        recordings: what the corpus lists, at least one.
        workers: processes; one a core for None.
        sample_rate_hz: rate of the clips.
        min_seconds: a shorter recording is refused.
        folder: existing folder to write the shards to.

    Yields:
        An outcome for each recording.

    Raises:
        UserError: the disk is full, or worker processes cannot be started.
    """
    files = _files(recordings)
    most = min(workers or available_cores(), max(1, len(files) // RECORDINGS_PER_TASK))
    start = partial(
        ProcessPoolExecutor,
        # A fork of a process with torch's threads can deadlock.
        mp_context=get_context("spawn"),
        initializer=_open_worker_shard,
        initargs=(os.getpid(), str(folder), sample_rate_hz, min_seconds, LEAST_SECONDS),
    )
    tasks: Iterator[list[File]] = iter(
        files[first : first + RECORDINGS_PER_TASK] for first in range(0, len(files), RECORDINGS_PER_TASK)
    )
    try:
        for number, recording in enumerate(recordings):
            if recording.refusal:
                yield Outcome(number, None, recording.refusal, "", 0)
        while True:
            unfinished: list[list[File]] = []
            for outcomes in _decode_until_killed(start, most, tasks, unfinished):
                yield from outcomes
            if not unfinished:
                return
            # A pool hands tasks out in their order: one for each worker, and one more waits in its queue.
            suspects = unfinished[: most + 1]
            tasks = chain(unfinished[most + 1 :], tasks)
            for outcomes in _decode_one_by_one(start, corpus, [file for task in suspects for file in task]):
                yield from outcomes
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise UserError(
            f"{folder}: the disk is full; free space there, or write to another disk (work_folder, or --out of "
            "`echopair apply`)"
        ) from error


def _files(recordings: "Sequence[Recording]") -> list[File]:
    """The files to decode; one with excerpts comes once, as it is read once for all of them."""
    files: list[File] = []
    with_excerpts: dict[Path, File] = {}
    for number, recording in enumerate(recordings):
        if recording.refusal:
            continue
        if recording.excerpt is None:
            files.append(File(str(recording.path), [number], []))
            continue
        if recording.path not in with_excerpts:
            with_excerpts[recording.path] = File(str(recording.path), [], [])
            files.append(with_excerpts[recording.path])
        with_excerpts[recording.path].recordings.append(number)
        with_excerpts[recording.path].excerpts.append(recording.excerpt)
    return files


def _decode_until_killed(
    start: Callable[[int], ProcessPoolExecutor],
    workers: int,
    tasks: Iterator[list[File]],
    unfinished: list[list[File]],
) -> Iterator[list[Outcome]]:
    """Yield the outcomes of each task; when a worker is killed, `unfinished` receives the tasks without outcomes."""
    pending: dict[Future[list[Outcome]], list[File]] = {}
    pool = start(workers)
    try:
        while not unfinished:
            # A bounded queue: the list of a million recordings is not copied into the pool at once.
            while len(pending) < 4 * workers and (task := next(tasks, None)) is not None:
                try:
                    pending[pool.submit(decode_task, task)] = task
                except BrokenProcessPool:
                    unfinished.append(task)
                    break
            if not pending:
                return
            finished, _ = wait(pending, return_when=FIRST_COMPLETED)
            is_killed = any(isinstance(future.exception(), BrokenProcessPool) for future in finished)
            if is_killed:
                finished, _ = wait(pending)  # each has its outcomes or the same exception
            for future in finished:
                if not isinstance(future.exception(), BrokenProcessPool):
                    del pending[future]
                    yield future.result()
            if is_killed:
                unfinished[:0] = pending.values()
    finally:
        pool.shutdown(cancel_futures=True)


def _decode_one_by_one(
    start: Callable[[int], ProcessPoolExecutor], corpus: str, files: list[File]
) -> Iterator[list[Outcome]]:
    """Decode files of which one or more kill their process, or are too slow; those are refused."""
    pool = _start_one(start, corpus)
    try:
        for file in files:
            started, limit_seconds = time.monotonic(), time_limit_seconds(file.path, LEAST_SECONDS)
            try:
                outcomes = pool.submit(decode_task, [file]).result()
            except BrokenProcessPool:
                is_slow = time.monotonic() - started >= limit_seconds
                reason = f"not decoded within {limit_seconds:.0f} s: convert it to WAV" if is_slow else KILLED
                outcomes = [Outcome(number, None, reason, "", 0) for number in file.recordings]
                pool.shutdown()
                pool = _start_one(start, corpus)
            yield outcomes
    finally:
        pool.shutdown()


def _start_one(start: Callable[[int], ProcessPoolExecutor], corpus: str) -> ProcessPoolExecutor:
    """A pool of one worker that has started; if it cannot, that is no fault of a file."""
    pool = start(1)
    try:
        pool.submit(decode_task, []).result()
    except BrokenProcessPool as error:
        raise UserError(
            f"corpus {corpus!r}: a worker process was killed before it decoded anything (out of memory, or the "
            "error above); free memory and start again"
        ) from error
    return pool


class _Worker(NamedTuple):
    sink: BinaryIO
    sample_rate_hz: int
    min_seconds: float
    least_limit_seconds: float


_worker: _Worker | None = None


def _open_worker_shard(
    parent: int, folder: str, sample_rate_hz: int, min_seconds: float, least_limit_seconds: float
) -> None:
    global _worker  # noqa: PLW0603 - the one state of a worker process
    end_with(parent)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported; decoding multiplies no matrices
    # glibc gives freed arrays back to the system, and new ones then cost page faults, a quarter of the time to decode a
    # short WAV file. Once a block of this size was freed, it keeps what is smaller (mallopt(3), M_MMAP_THRESHOLD).
    bytes(LARGEST_KEPT_BYTES)
    # The time as well: a process that replaces a killed one may have its number.
    shard = Path(folder, f"{SHARD_PREFIX}{os.getpid()}-{time.monotonic_ns()}")
    _worker = _Worker(shard.open("x+b", buffering=0), sample_rate_hz, min_seconds, least_limit_seconds)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


@contextmanager
def limited_time(path: str) -> Iterator[Callable[[], None]]:
    """End this worker process by an alarm if the decoding of a file takes longer than its limit.

    An exception would not do: it waits for the decoder to return.

    Yields:
        What starts the time again.
    """
    assert _worker is not None
    limit_seconds = time_limit_seconds(path, _worker.least_limit_seconds)

    def start() -> None:
        signal.setitimer(signal.ITIMER_REAL, limit_seconds)

    start()
    try:
        yield start
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def decode_task(task: list[File]) -> list[Outcome]:
    """Decode files in a worker process, into its shard."""
    # Imported before the time of the first file counts.
    from echopair.pipeline.decoding.decode import Refused, decode
    from echopair.pipeline.decoding.excerpts import sounds_of

    assert _worker is not None
    sink, rate_hz, min_seconds = _worker.sink, _worker.sample_rate_hz, _worker.min_seconds
    shard = Path(sink.name).name
    outcomes = []
    for file in task:
        with limited_time(file.path) as start_again:
            for index, sound in sounds_of(file.path, file.excerpts):
                number, offset = file.recordings[index], sink.seek(0, os.SEEK_END) // 2
                try:
                    if isinstance(sound, Refused):
                        raise sound
                    clip = decode(sound, rate_hz, sink, min_seconds=min_seconds)
                    outcomes.append(Outcome(number, clip, "", shard, offset))
                except Refused as refusal:
                    outcomes.append(Outcome(number, None, str(refusal), shard, offset))
                start_again()  # every excerpt has the limit of the file
    return outcomes
