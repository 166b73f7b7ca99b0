"""Stage 1: recordings -> clips in the store, and a report of what was refused."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from echopair.pipeline.corpora.recording import Recording, Refusal, ffmpeg_version, name_as_text
from echopair.pipeline.duplicates import find_duplicates
from echopair.pipeline.errors import UserError
from echopair.pipeline.progress import progress_bar
from echopair.pipeline.stages import StageOutput, digest_values
from echopair.pipeline.workers import SHARD_PREFIX, Outcome, Workers

if TYPE_CHECKING:
    import pyarrow as pa

    from echopair.pipeline.config import RunConfig
    from echopair.pipeline.ray_workers import RayWorkers

PREPARE_VERSION = 6
PREPARE_LIBRARIES = ("soundfile", "soxr", "scipy")
REFUSALS_NAMED_IN_ERROR = 3
CLEARLY_HIGHER = 1.1
ANNOTATIONS = ("labels", "fold", "split", "group")


class PrepareConfig(BaseModel, frozen=True, extra="forbid"):
    """How recordings become clips."""

    max_refused_share: float = Field(
        0.1, ge=0, le=1, description="largest share of a corpus's recordings that may be refused"
    )
    min_seconds: float = Field(0.05, gt=0, allow_inf_nan=False, description="a shorter recording is refused")
    workers: int | None = Field(None, ge=1, description="processes; by default one a core")
    on_ray: bool = Field(
        False,
        description="decode on all nodes of the cluster `ray.address`, which see work_folder and recordings",
    )


def clips_output(config: "RunConfig", corpus: str, recordings: Sequence[Recording]) -> StageOutput:
    """Where the clips of a corpus are kept, and what decides them."""
    rate = config.log_mel.sample_rate_hz
    listed = [
        [one.name, list(one.labels), one.fold, one.split, one.group, *size_and_time(one.path), one.excerpt]
        for one in recordings
    ]
    return StageOutput(
        f"prepare {corpus}",
        config.work_folder.absolute() / "clips" / corpus,
        [rate, config.prepare.min_seconds, listed, ffmpeg_version(recordings)],
        PREPARE_VERSION,
        PREPARE_LIBRARIES,
    )


def size_and_time(path: Path) -> tuple[int, int]:
    """Bytes and time of change in nanoseconds, by which a recording is known; -1 and 0 if it is gone."""
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
    cluster: "RayWorkers | None" = None,
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
        cluster: decodes in place of this machine.

    Returns:
        Figures for the stage's marker: `digest` of the samples, `annotations_digest` of labels, folds, splits,
        groups and copies, `clips`, `refused`, `seconds_of_audio`.

    Raises:
        UserError: more refused than `max_refused_share` (after the report was written), or a full disk.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from echopair.pipeline.corpus_report import write_report
    from echopair.pipeline.store import MANIFEST_FILE, ClipStore

    outcomes = []
    with (
        progress_bar(f"prepare {corpus}", len(recordings), "recordings") as advance,
        nullcontext(cluster)
        if cluster
        else Workers(config.workers, sample_rate_hz, config.min_seconds) as workers,
    ):
        for outcome in workers.decode(corpus, recordings, folder):
            outcomes.append(outcome)
            advance()
    manifest, refused = write_store(recordings, outcomes, folder)
    if any(manifest["labels"].to_pylist()):  # a copy does harm where one is tested and another learned from
        sounds = find_duplicates(corpus, ClipStore(folder, sample_rate_hz))
        column = manifest["samples_sha256"].take(pa.array(sounds))
        manifest = manifest.set_column(manifest.schema.get_field_index("sound"), "sound", column)
        pq.write_table(manifest, folder / MANIFEST_FILE)
    write_report(folder, corpus, manifest, refused, sample_rate_hz=sample_rate_hz, passed_over=passed_over)

    refused_share = len(refused) / len(recordings)
    if refused_share > config.max_refused_share or not len(manifest):
        named = "; ".join(f"{r.path}: {r.reason}" for r in refused[:REFUSALS_NAMED_IN_ERROR])
        raise UserError(
            f"corpus {corpus!r}: {len(refused)} of {len(recordings)} recordings refused ({named}"
            f"{'; ...' if len(refused) > REFUSALS_NAMED_IN_ERROR else ''}), "
            f"more than prepare.max_refused_share={config.max_refused_share:g}; "
            f"repair them or raise the share. All are listed in {folder / 'report.json'}; "
            f"{folder / 'report.html'} is for reading"
        )
    annotations = zip(*(manifest[name].to_pylist() for name in ANNOTATIONS), strict=True)
    return {
        "digest": hashlib.sha256("".join(manifest["samples_sha256"].to_pylist()).encode()).hexdigest(),
        "annotations_digest": digest_values([list(annotations), manifest["sound"].to_pylist()]),
        "clips": len(manifest),
        "refused": len(refused),
        "seconds_of_audio": round(sum(manifest["seconds"].to_pylist()), 2),
    }


def write_store(
    recordings: Sequence[Recording], outcomes: Iterable[Outcome], folder: Path
) -> tuple["pa.Table", list[Refusal]]:
    """Name the shards that `Workers.decode` wrote to a folder, and write the manifest beside them.

    Args:
        recordings: that were decoded.
        outcomes: of all of them, in any order.
        folder: of the shards.

    Returns:
        The manifest, in the order of the recordings, and what was refused.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from echopair.pipeline.store import MANIFEST_FILE, manifest_schema, shard_file

    ordered = sorted(outcomes)
    shards = {name: number for number, name in enumerate(sorted({o.worker_shard for o in ordered if o.clip}))}
    for name, number in shards.items():
        (folder / name).rename(folder / shard_file(number))
    for leftover in folder.glob(f"{SHARD_PREFIX}*"):  # of a worker that took no clip
        leftover.unlink()
    rows = []
    refused = []
    for outcome in ordered:
        recording = recordings[outcome.recording]
        name = name_as_text(recording.name)
        if outcome.clip is None:
            refused.append(Refusal(name, outcome.reason))
            continue
        rows.append(
            {
                "path": name,
                "labels": list(recording.labels),
                "fold": recording.fold,
                "split": recording.split,
                "group": recording.group,
                **asdict(outcome.clip),
                "sound": outcome.clip.samples_sha256,
                "shard": shards[outcome.worker_shard],
                "offset": outcome.offset,
            }
        )
    manifest = pa.Table.from_pylist(rows, schema=manifest_schema())
    pq.write_table(manifest, folder / MANIFEST_FILE)
    return manifest, refused


def sound_above(rates_hz: Sequence[int], max_hz: float) -> str:
    """A sentence about the recordings that go clearly higher than the mel range, "" if there is none.

    Args:
        rates_hz: sample rate of each recording.
        max_hz: upper edge of the highest mel band.
    """
    above = [rate for rate in rates_hz if rate / 2 > CLEARLY_HIGHER * max_hz]
    if not above:
        return ""
    return (
        f"{len(above)} of {len(rates_hz)} clips come from recordings that go up to {max(above) / 2000:.3g} kHz; the "
        f"encoder hears up to {max_hz / 1000:.3g} kHz. One with a higher log_mel.sample_rate_hz hears more; see the "
        "recipes for birds and bats"
    )
