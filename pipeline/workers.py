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
from typing import TYPE_CHECKING, NamedTuple, Self
from uuid import uuid4

from echopair.pipeline.cores import available_cores, end_with
from echopair.pipeline.decoding.time_limit import LEAST_SECONDS, size_bytes, time_limit_seconds
from echopair.pipeline.errors import UserError

if TYPE_CHECKING:
    from echopair.pipeline.corpora.recording import Recording
    from echopair.pipeline.decoding.decode import Clip

RECORDINGS_PER_TASK = 8
BYTES_PER_TASK = 32 << 20
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


class Workers:
    """Worker processes that decode, as a context manager: they are kept from one call of `decode` to the next.

    Args:
        processes: how many; one a core for None. They start as there is work for them.
        sample_rate_hz: rate of the clips.
        min_seconds: a shorter recording is refused.
    """

    def __init__(self, processes: int | None, sample_rate_hz: int, min_seconds: float) -> None:
        self._processes = processes or available_cores()
        self._start = partial(
            ProcessPoolExecutor,
            # A fork of a process with torch's threads can deadlock.
            mp_context=get_context("spawn"),
            initializer=_start_worker,
            initargs=(os.getpid(), sample_rate_hz, min_seconds, LEAST_SECONDS),
        )
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._end_pool()

    def decode(self, corpus: str, recordings: "Sequence[Recording]", folder: Path) -> Iterator[Outcome]:
        """Decode recordings, in any order, into a shard of each worker process.

        Args:
            corpus: its name, for messages.
            recordings: what the corpus lists, at least one.
            folder: existing folder to write the shards to.

        Yields:
            An outcome for each recording.

        Raises:
            UserError: the disk is full, or worker processes cannot be started.
        """
        tasks = tasks_of(files_of(recordings), RECORDINGS_PER_TASK, BYTES_PER_TASK)
        try:
            for number, recording in enumerate(recordings):
                if recording.refusal:
                    yield Outcome(number, None, recording.refusal, "", 0)
            while True:
                unfinished: list[list[File]] = []
                for outcomes in self._decode_until_killed(folder, tasks, unfinished):
                    yield from outcomes
                if not unfinished:
                    return
                # A pool hands tasks out in their order: one for each worker, and one more waits in its queue.
                suspects = unfinished[: self._processes + 1]
                tasks = chain(unfinished[self._processes + 1 :], tasks)
                for outcomes in self._decode_one_by_one(
                    corpus, folder, [file for task in suspects for file in task]
                ):
                    yield from outcomes
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise UserError(
                f"{folder}: the disk is full; free space there, or write to another disk (work_folder, or --out of "
                "`echopair apply`)"
            ) from error

    def _decode_until_killed(
        self, folder: Path, tasks: Iterator[list[File]], unfinished: list[list[File]]
    ) -> Iterator[list[Outcome]]:
        """Yield the outcomes of each task; when a worker is killed, `unfinished` receives the tasks without one."""
        pending: dict[Future[list[Outcome]], list[File]] = {}
        self._pool = pool = self._pool or self._start(self._processes)
        try:
            while not unfinished:
                # A bounded queue: the list of a million recordings is not copied into the pool at once.
                while len(pending) < 4 * self._processes and (task := next(tasks, None)) is not None:
                    try:
                        pending[pool.submit(decode_task, task, folder)] = task
                    except BrokenProcessPool:
                        unfinished.append(task)
                        break
                if not pending:
                    break
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
            if pending or unfinished:  # killed, or not to be gone on with
                self._end_pool()

    def _end_pool(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _decode_one_by_one(self, corpus: str, folder: Path, files: list[File]) -> Iterator[list[Outcome]]:
        """Decode files of which one or more kill their process, or are too slow; those are refused."""
        pool = self._start_one(corpus, folder)
        try:
            for file in files:
                started, limit_seconds = time.monotonic(), time_limit_seconds(file.path, LEAST_SECONDS)
                try:
                    outcomes = pool.submit(decode_task, [file], folder).result()
                except BrokenProcessPool:
                    is_slow = time.monotonic() - started >= limit_seconds
                    reason = (
                        f"not decoded within {limit_seconds:.0f} s: convert it to WAV" if is_slow else KILLED
                    )
                    outcomes = [Outcome(number, None, reason, "", 0) for number in file.recordings]
                    pool.shutdown()
                    pool = self._start_one(corpus, folder)
                yield outcomes
        finally:
            pool.shutdown()

    def _start_one(self, corpus: str, folder: Path) -> ProcessPoolExecutor:
        """A pool of one worker that has started; if it cannot, that is no fault of a file."""
        pool = self._start(1)
        try:
            pool.submit(decode_task, [], folder).result()
        except BrokenProcessPool as error:
            raise UserError(
                f"corpus {corpus!r}: a worker process was killed before it decoded anything (out of memory, or the "
                "error above); free memory and start again"
            ) from error
        return pool


def files_of(recordings: "Sequence[Recording]") -> list[File]:
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


def tasks_of(files: list[File], most_files: int, most_bytes: int) -> Iterator[list[File]]:
    """Some files each, at least one: few of long recordings, so that every worker has one."""
    task: list[File] = []
    size = 0
    for file in files:
        bytes_of_one = size_bytes(file.path)
        if task and (len(task) == most_files or size + bytes_of_one > most_bytes):
            yield task
            task, size = [], 0
        task.append(file)
        size += bytes_of_one
    if task:
        yield task


class _Worker(NamedTuple):
    shard: str
    sample_rate_hz: int
    min_seconds: float
    least_limit_seconds: float


_worker: _Worker | None = None


def _start_worker(parent: int, sample_rate_hz: int, min_seconds: float, least_limit_seconds: float) -> None:
    global _worker  # noqa: PLW0603 - the one state of a worker process
    end_with(parent)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported; decoding multiplies no matrices
    # glibc gives freed arrays back to the system, and new ones then cost page faults, a quarter of the time to decode a
    # short WAV file. Once a block of this size was freed, it keeps what is smaller (mallopt(3), M_MMAP_THRESHOLD).
    bytes(LARGEST_KEPT_BYTES)
    # Not its number: one that replaces a killed one may have the same, and so may one on another machine.
    shard = f"{SHARD_PREFIX}{uuid4().hex}"
    _worker = _Worker(shard, sample_rate_hz, min_seconds, least_limit_seconds)
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


def decode_task(task: list[File], folder: Path) -> list[Outcome]:
    """Decode files in a worker process, into its shard in a folder."""
    # Imported before the time of the first file counts.
    from echopair.pipeline.decoding.decode import Refused, decode
    from echopair.pipeline.decoding.excerpts import sounds_of

    assert _worker is not None
    rate_hz, min_seconds, shard = _worker.sample_rate_hz, _worker.min_seconds, _worker.shard
    outcomes = []
    with (folder / shard).open("a+b", buffering=0) as sink:
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
