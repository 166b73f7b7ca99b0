"""`echopair apply`: recordings + encoder -> a Parquet table with the embedding of each window."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from echopair.pipeline.config import compose
from echopair.pipeline.corpora import Recording, find_recordings
from echopair.pipeline.corpora.folder import list_folder
from echopair.pipeline.corpora.recording import ffmpeg_version, name_as_text
from echopair.pipeline.embed import EMBED_VERSION, EmbedConfig, load_encoder
from echopair.pipeline.embedding_table import TableInfo, read_info, table_rows
from echopair.pipeline.encoder_source import encoder_folder
from echopair.pipeline.errors import UserError
from echopair.pipeline.layers import CONFIG_EXTENSIONS
from echopair.pipeline.prepare import PREPARE_VERSION, PrepareConfig, size_and_time
from echopair.pipeline.progress import console, progress_bar
from echopair.pipeline.ray_apply import make_parts
from echopair.pipeline.ray_cluster import RayConfig
from echopair.pipeline.remote_recordings import is_uri, list_remote
from echopair.pipeline.stages import locked
from echopair.pipeline.table_parts import PLAN_FILE, Parts, Windows, refusals_file
from echopair.pipeline.workers import Workers

if TYPE_CHECKING:
    from echopair.models.audio_encoder import AudioEncoder

APPLY_VERSION = 2
TABLE_EXTENSION = ".parquet"
# A group of recordings is decoded, embedded and written as one part: what a killed process loses at most.
GROUP_RECORDINGS = 1024
GROUP_BYTES = 256 << 20


@dataclass(frozen=True)
class Applied:
    """What `apply` wrote.

    Args:
        file: the table.
        rows: of it.
        refused: number of recordings that could not be embedded.
        refusals: a CSV file with the reason of each; None if there are none.
        seconds_of_audio: that were embedded by this call.
    """

    file: Path
    rows: int
    refused: int
    refusals: Path | None
    seconds_of_audio: float


def apply(
    encoder_source: str | Path,
    sources: Sequence[str | Path],
    out: Path,
    *,
    window_seconds: float | None = None,
    hop_seconds: float | None = None,
    whole: bool = False,
    config: EmbedConfig | None = None,
    ray: RayConfig | None = None,
) -> Applied:
    """Embed windows of recordings, or whole ones, into a Parquet table.

    Recordings are decoded and checked as `prepare` does it, and each row is what `AudioEncoder.embed` gives for that
    part. Memory does not grow with the recordings. A killed process is continued by the next call: what was done is
    in a folder beside the table, `out` with `.partial` behind it.

    Args:
        encoder_source: the encoder, see `encoder_folder`.
        sources: recordings, folders of them, URIs and configs (see `list_recordings`).
        out: the table, which must not exist, or be of the same encoder, recordings and windows.
        window_seconds: length of a window, by default a crop of the encoder.
        hop_seconds: time between the starts of two windows, by default half of a window.
        whole: a row for each recording.
        config: device, precision and batch size.
        ray: a cluster whose nodes embed, each with the precision that suits it; they see `out` and the recordings.

    Raises:
        UserError: no encoder, no recording, none that can be embedded, a window shorter than a crop, a table of
            something else in the way, a full disk, or a cluster that cannot be joined.
    """
    config = config or EmbedConfig()
    if out.suffix != TABLE_EXTENSION:
        raise UserError(
            f"--out={out}: the table is in Parquet format; name it {out.with_suffix(TABLE_EXTENSION)}"
        )
    with encoder_folder(encoder_source) as folder:
        encoder = load_encoder(folder, config).folded()
        windows = _windows(encoder, window_seconds, hop_seconds, whole)
        recordings = list_recordings(sources)
        info = _info(encoder, folder, encoder_source, windows, recordings, config)
        if _is_done(out, info):
            return _applied(out, 0.0)
        parts = Parts(
            out.absolute().with_name(out.name + ".partial"),
            info,
            {"group_recordings": GROUP_RECORDINGS, "group_bytes": GROUP_BYTES},
            encoder.embedding_dim,
            annotated=any(one.labels or one.fold for one in recordings),
        )
        parts.folder.mkdir(parents=True, exist_ok=True)
        with locked(parts.folder / PLAN_FILE, f"apply {out}"):
            if _is_done(out, info):  # another process was faster
                return _applied(out, 0.0)
            parts.check_plan()
            with progress_bar("apply", len(recordings), "recordings") as advance:
                groups = []
                for number, group in enumerate(_groups(recordings)):
                    if parts.is_done(number):
                        advance(len(group))
                    else:
                        groups.append((number, group))
                seconds = 0.0
                if ray is None:
                    seconds += _make_here(parts, groups, encoder, windows, config, advance)
                else:
                    for count, seconds_of_part in make_parts(ray, parts, groups, folder, windows, config):
                        seconds += seconds_of_part
                        advance(count)
            parts.merge(out)
    return _applied(out, seconds)


def _make_here(
    parts: Parts,
    groups: Iterable[tuple[int, list[Recording]]],
    encoder: AudioEncoder,
    windows: Windows,
    config: EmbedConfig,
    advance: Callable[[float], None],
) -> float:
    """Make parts on this machine; returns seconds of sound."""
    rate = encoder.config.log_mel.sample_rate_hz
    with Workers(None, rate, PrepareConfig().min_seconds) as workers:
        return sum(
            parts.make(number, group, workers, encoder, windows, config, advance) for number, group in groups
        )


def list_recordings(sources: Sequence[str | Path]) -> list[Recording]:
    """What is to be embedded, each recording or excerpt once; `path` is spelled as the sources are.

    Args:
        sources: recordings, folders of them, URIs of either (see `list_remote`), and YAML files of `echopair run`, of
            which all corpora are taken: with labels and folds, and events as excerpts.

    Raises:
        UserError: a source that does not exist, a folder without audio, or a config with an error.
    """
    found: dict[tuple[str, tuple[float, float] | None], Recording] = {}
    for source in sources:
        for one in _recordings_of(source):
            place = one.place if one.remote else os.path.realpath(one.path)
            found.setdefault((place, one.excerpt), one)
    return list(found.values())


def _recordings_of(given: str | Path) -> Iterator[Recording]:
    source = Path(given)
    if is_uri(given):
        yield from list_remote(str(given))
    elif source.is_dir():
        for one in list_folder(source.absolute(), "apply", str(source)):
            yield Recording(source / one.name, str(source / one.name))
    elif not source.exists():
        raise UserError(f"{source}: there is no such file or folder; name recordings or folders of them")
    elif source.suffix in CONFIG_EXTENSIONS:
        config = compose(str(source))
        for corpus, listed in config.corpora.items():
            for one in find_recordings(corpus, listed, config.work_folder.absolute()):
                yield replace(one, name=str(one.path.parent / PurePath(one.name).name))
    else:
        yield Recording(source, str(source))


def _windows(
    encoder: AudioEncoder, window_seconds: float | None, hop_seconds: float | None, whole: bool
) -> Windows:
    rate, crop_seconds = encoder.config.log_mel.sample_rate_hz, encoder.config.crop_seconds
    if whole:
        if window_seconds is not None or hop_seconds is not None:
            raise UserError("--whole gives a row for each recording; leave out --window and --hop")
        return Windows(None, 0)
    length = crop_seconds if window_seconds is None else window_seconds
    if not crop_seconds <= length < float("inf"):
        raise UserError(
            f"--window={length:g}: the encoder takes crops of {crop_seconds:g} s; give a window of that or more, or "
            "--whole for a row for each recording"
        )
    hop = length / 2 if hop_seconds is None else hop_seconds
    if not 1 / rate <= hop < float("inf"):
        raise UserError(f"--hop={hop:g}: give the seconds between the starts of two windows, above 0")
    return Windows(round(length * rate), round(hop * rate))


def _info(
    encoder: AudioEncoder,
    folder: Path,
    source: str | Path,
    windows: Windows,
    recordings: Sequence[Recording],
    config: EmbedConfig,
) -> TableInfo:
    listed = [
        [name_as_text(one.name), list(one.labels), one.fold, *_size_and_time(one)] for one in recordings
    ]
    versions = [APPLY_VERSION, PREPARE_VERSION, EMBED_VERSION]
    rate = encoder.config.log_mel.sample_rate_hz
    return TableInfo.of(
        folder,
        source,
        windows.length and windows.length / rate,
        windows.length and windows.hop / rate,
        [versions, listed, ffmpeg_version(recordings), config.precision],
    )


def _size_and_time(recording: Recording) -> tuple[int, int]:
    remote = recording.remote
    return size_and_time(recording.path) if remote is None else (remote.size, remote.time_ns)


def _groups(recordings: Sequence[Recording]) -> Iterator[list[Recording]]:
    group: list[Recording] = []
    size = 0
    for one in recordings:
        same_file = bool(group) and one.path == group[-1].path  # decoded once for all excerpts
        bytes_of_one = 0 if same_file else _size_and_time(one)[0]
        if group and (len(group) == GROUP_RECORDINGS or size + bytes_of_one > GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(one)
        size += bytes_of_one
    if group:
        yield group


def _is_done(out: Path, info: TableInfo) -> bool:
    """Whether the table is there; raises UserError if something else is."""
    if not out.exists():
        return False
    if out.is_dir():
        raise UserError(f"{out} is a folder; name a file by --out")
    there = read_info(out)
    if there.key != info.key:
        if there.encoder_sha256 != info.encoder_sha256:
            of = "another encoder"
        elif (there.window_seconds, there.hop_seconds) != (info.window_seconds, info.hop_seconds):
            of = "other windows"
        else:
            of = "other recordings, or recordings that have changed"
        raise UserError(f"{out} exists, and is of {of}; delete it, or name another file by --out")
    console.print(f"apply: {out} was done before", style="dim", markup=False)
    return True


def _applied(file: Path, seconds: float) -> Applied:
    refusals = refusals_file(file)
    refused = 0
    if refusals.is_file():
        with refusals.open(encoding="utf-8", newline="") as lines:
            refused = sum(1 for _ in csv.reader(lines)) - 1
    return Applied(file, table_rows(file), refused, refusals if refused else None, seconds)
