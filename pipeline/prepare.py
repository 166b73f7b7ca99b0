"""Stage 1: recordings -> clips in the store, and a report of what was refused."""

import errno
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from pydantic import BaseModel, Field

from echopair.pipeline.cores import available_cores, end_with
from echopair.pipeline.corpora.recording import Recording, ffmpeg_version, name_as_text
from echopair.pipeline.duplicates import find_duplicates
from echopair.pipeline.errors import UserError
from echopair.pipeline.progress import progress_bar
from echopair.pipeline.stages import StageOutput, fingerprint

if TYPE_CHECKING:
    from echopair.pipeline.config import RunConfig
    from echopair.pipeline.decoding.decode import Clip

PREPARE_VERSION = 4
PREPARE_LIBRARIES = ("soundfile", "soxr", "scipy")
RECORDINGS_PER_TASK = 8
REFUSALS_NAMED_IN_ERROR = 3


class PrepareConfig(BaseModel, frozen=True, extra="forbid"):
    """How recordings become clips."""

    max_refused_share: float = Field(
        0.1, ge=0, le=1, description="more refused recordings than this are an error"
    )
    min_seconds: float = Field(0.05, gt=0, allow_inf_nan=False, description="a shorter recording is refused")
    workers: int | None = Field(None, ge=1, description="processes; by default one a core")


class Outcome(NamedTuple):
    """What became of one recording: a clip at a place in a shard, or the reason it was refused."""

    recording: int
    clip: "Clip | None"
    reason: str
    worker_shard: str
    offset: int


def clips_output(config: "RunConfig", corpus: str, recordings: Sequence[Recording]) -> StageOutput:
    """Where the clips of a corpus are kept, and what decides them."""
    rate = config.log_mel.sample_rate_hz
    listed = [
        [one.name, list(one.labels), one.fold, one.split, one.group, *_size_and_time(one.path), one.excerpt]
        for one in recordings
    ]
    return StageOutput(
        f"prepare {corpus}",
        config.work_folder.absolute() / "clips" / corpus,
        [rate, config.prepare.min_seconds, listed, ffmpeg_version(recordings)],
        PREPARE_VERSION,
        PREPARE_LIBRARIES,
    )


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (-1, 0)  # refused by name when it is decoded
    return (status.st_size, status.st_mtime_ns)


def prepare(
    corpus: str,
    recordings: Sequence[Recording],
    config: PrepareConfig,
    sample_rate_hz: int,
    folder: Path,
    *,
    passed_over: Mapping[str, int] | None = None,
) -> dict[str, object]:
    """Decode, mix down and resample recordings on all cores into a clip store.

    Each worker appends to a shard of its own, so no audio crosses a process border and memory does not grow
    with the corpus. Where a clip lies therefore differs between two runs; the manifest's order, the samples
    and the digest do not.

    Args:
        corpus: its name, for messages and the report.
        recordings: what the corpus lists, at least one.
        config: workers and limits.
        sample_rate_hz: rate of the clips.
        folder: existing folder to write shards, manifest and report to.
        passed_over: number of files that are no recordings by their extension, for the report.

    Returns:
        Figures for the stage's marker: `digest` of the samples, `annotations_digest` of labels, folds, splits,
        groups and copies, `clips`, `refused`, `original_rates` (clips by the rate of their recording in Hz),
        `seconds_of_audio`.

    Raises:
        UserError: more refused than `max_refused_share` (after the report was written), or a full disk.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from echopair.pipeline.corpus_report import Refusal, write_report
    from echopair.pipeline.store import MANIFEST_FILE, ClipStore, manifest_schema, shard_file

    outcomes = sorted(_decode_all(corpus, recordings, config, sample_rate_hz, folder))
    shards = {
        name: number for number, name in enumerate(sorted({o.worker_shard for o in outcomes if o.clip}))
    }
    for name, number in shards.items():
        (folder / name).rename(folder / shard_file(number))
    for leftover in folder.glob("worker-*"):  # of a worker that took no clip
        leftover.unlink()

    rows = []
    refused = []
    content = hashlib.sha256()
    annotations = []
    for outcome in outcomes:
        recording = recordings[outcome.recording]
        name = name_as_text(recording.name)
        if outcome.clip is None:
            refused.append(Refusal(name, outcome.reason))
            continue
        clip = outcome.clip
        content.update(clip.samples_sha256.encode())
        annotations.append([recording.labels, recording.fold, recording.split, recording.group])
        rows.append(
            {
                "path": name,
                "labels": list(recording.labels),
                "fold": recording.fold,
                "split": recording.split,
                "group": recording.group,
                **asdict(clip),
                "sound": clip.samples_sha256,
                "shard": shards[outcome.worker_shard],
                "offset": outcome.offset,
            }
        )
    manifest = pa.Table.from_pylist(rows, schema=manifest_schema())
    pq.write_table(manifest, folder / MANIFEST_FILE)
    if any(row["labels"] for row in rows):  # a copy does harm where one is tested and another learned from
        sounds = find_duplicates(corpus, ClipStore(folder, sample_rate_hz))
        column = manifest["samples_sha256"].take(pa.array(sounds))
        manifest = manifest.set_column(manifest.schema.get_field_index("sound"), "sound", column)
        pq.write_table(manifest, folder / MANIFEST_FILE)
    write_report(folder, corpus, manifest, refused, sample_rate_hz=sample_rate_hz, passed_over=passed_over)

    refused_share = len(refused) / len(recordings)
    if refused_share > config.max_refused_share or not rows:
        named = "; ".join(f"{r.path}: {r.reason}" for r in refused[:REFUSALS_NAMED_IN_ERROR])
        raise UserError(
            f"corpus {corpus!r}: {len(refused)} of {len(recordings)} recordings refused ({named}"
            f"{'; ...' if len(refused) > REFUSALS_NAMED_IN_ERROR else ''}), "
            f"more than prepare.max_refused_share={config.max_refused_share:g}; "
            f"repair them or raise the share. All are listed in {folder / 'report.json'}; "
            f"{folder / 'report.html'} is for reading"
        )
    return {
        "digest": content.hexdigest(),
        "annotations_digest": fingerprint([annotations, manifest["sound"].to_pylist()]),
        "clips": len(rows),
        "refused": len(refused),
        "original_rates": {
            str(rate): n
            for rate, n in sorted(Counter(o.clip.original_rate_hz for o in outcomes if o.clip).items())
        },
        "seconds_of_audio": round(sum(row["seconds"] for row in rows), 2),
    }


class _File(NamedTuple):
    """A file that is decoded whole, or of which several recordings are excerpts."""

    path: str
    recordings: list[int]
    excerpts: list[tuple[float, float]]  # none: the whole file


def _files(recordings: Sequence[Recording]) -> list[_File]:
    """The files to decode; one with excerpts comes once, as it is read once for all of them."""
    files: list[_File] = []
    with_excerpts: dict[Path, _File] = {}
    for number, recording in enumerate(recordings):
        if recording.refusal:
            continue
        if recording.excerpt is None:
            files.append(_File(str(recording.path), [number], []))
            continue
        if recording.path not in with_excerpts:
            with_excerpts[recording.path] = _File(str(recording.path), [], [])
            files.append(with_excerpts[recording.path])
        with_excerpts[recording.path].recordings.append(number)
        with_excerpts[recording.path].excerpts.append(recording.excerpt)
    return files


def _decode_all(
    corpus: str, recordings: Sequence[Recording], config: PrepareConfig, sample_rate_hz: int, folder: Path
) -> Iterator[Outcome]:
    files = _files(recordings)
    workers = min(config.workers or available_cores(), max(1, len(files) // RECORDINGS_PER_TASK))
    tasks = iter(
        files[first : first + RECORDINGS_PER_TASK] for first in range(0, len(files), RECORDINGS_PER_TASK)
    )
    pool = ProcessPoolExecutor(
        workers,
        # A fork of a process with torch's threads can deadlock.
        mp_context=get_context("spawn"),
        initializer=_open_worker_shard,
        initargs=(os.getpid(), str(folder), sample_rate_hz, config.min_seconds),
    )
    with pool, progress_bar(f"prepare {corpus}", len(recordings), "recordings") as advance:
        for number, recording in enumerate(recordings):
            if recording.refusal:
                advance(1)
                yield Outcome(number, None, recording.refusal, "", 0)
        pending: dict[Future[list[Outcome]], list[_File]] = {}
        try:
            while True:
                # A bounded queue: the list of a million recordings is not copied into the pool at once.
                while len(pending) < 4 * workers and (task := next(tasks, None)) is not None:
                    pending[pool.submit(_decode_task, task)] = task
                if not pending:
                    return
                finished, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in finished:
                    outcomes = future.result()
                    del pending[future]
                    advance(len(outcomes))
                    yield from outcomes
        except BrokenProcessPool as error:
            suspects = ", ".join(path for task in list(pending.values())[: 2 * workers] for path, *_ in task)
            raise UserError(
                f"corpus {corpus!r}: a worker process was killed (out of memory, or a file that crashes the "
                f"decoder) while reading one of: {suspects}; remove the file, or set prepare.workers=1"
            ) from error
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise UserError(
                f"{folder}: the disk is full; free space there or set work_folder to another disk"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


class _Worker(NamedTuple):
    sink: BinaryIO
    sample_rate_hz: int
    min_seconds: float


_worker: _Worker | None = None


def _open_worker_shard(parent: int, folder: str, sample_rate_hz: int, min_seconds: float) -> None:
    global _worker  # noqa: PLW0603 - the one state of a worker process
    end_with(parent)
    sink = Path(folder, f"worker-{os.getpid()}").open("w+b", buffering=0)  # noqa: SIM115 - open as long as the process
    _worker = _Worker(sink, sample_rate_hz, min_seconds)


def _decode_task(task: list[_File]) -> list[Outcome]:
    from echopair.pipeline.decoding.decode import Refused, decode
    from echopair.pipeline.decoding.excerpts import sounds_of

    assert _worker is not None
    sink = _worker.sink
    outcomes = []
    sounds = (
        (file.recordings[index], sound)
        for file in task
        for index, sound in sounds_of(file.path, file.excerpts)
    )
    for number, sound in sounds:
        offset = sink.seek(0, os.SEEK_END) // 2
        shard = Path(sink.name).name
        try:
            if isinstance(sound, Refused):
                raise sound
            clip = decode(sound, _worker.sample_rate_hz, sink, min_seconds=_worker.min_seconds)
            outcomes.append(Outcome(number, clip, "", shard, offset))
        except Refused as refusal:
            outcomes.append(Outcome(number, None, str(refusal), shard, offset))
    return outcomes
