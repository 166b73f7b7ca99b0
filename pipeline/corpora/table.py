"""A corpus that tables list: a row for each recording, or for each event in one."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, get_args

from rich.markup import escape

from echopair.pipeline.corpora.folder import existing_folder
from echopair.pipeline.corpora.recording import Recording, Split
from echopair.pipeline.corpora.spelling import alike, in_words, same_value, spellings
from echopair.pipeline.corpora.table_config import TableConfig, TableCorpusConfig
from echopair.pipeline.corpora.table_paths import Found, PathFinder
from echopair.pipeline.corpora.table_rows import Row, clean, read_rows
from echopair.pipeline.corpora.table_values import (
    AUDACITY_FREQUENCIES,
    MISSING_VALUES,
    RAVEN_BEGIN,
    RAVEN_OFFSET,
    SPREADSHEET_ERRORS,
    excerpt_of,
    one_label,
    several_labels,
    split_of,
)
from echopair.pipeline.errors import UserError, listed
from echopair.pipeline.pages import printable
from echopair.pipeline.progress import console

NAMED_IN_MESSAGES = 3


class _Listed(NamedTuple):
    """A recording, or an excerpt of one, as a row lists it."""

    recording: Recording
    found: Found
    where: str  # the file and line of the row
    may_have_several_labels: bool


def find_table_recordings(corpus: str, config: TableCorpusConfig) -> list[Recording]:
    """List the recordings of the first layout whose tables all exist, in the order of their rows.

    Rows with begin and end are excerpts; those of one recording have one source unless `group` names another. What
    was guessed, or taken as equal though spelt in several ways, is said on standard error.

    Raises:
        UserError: a table or column is missing, a table is empty, a row is not clear, or it has no file, one out of
            the root, or that of another row.
    """
    key = f"corpora.{corpus}"
    root = existing_folder(corpus, config.root)
    for layout in config.layouts():
        files = [_table_files(root, table.table) for table in layout]
        if all(files):
            break
    else:
        wanted = " or ".join(" and ".join(table.table for table in layout) for layout in config.layouts())
        raise UserError(f"{key}.root={root} has no {wanted}; name another root or set {key}.table")
    notes: list[str] = []
    finder = PathFinder(root)
    listed = [
        one
        for table, found in zip(layout, files, strict=True)
        for one in _read_tables(key, found, table, finder, notes)
    ]
    _check_files(key, root, config, [one.found for one in listed])
    _check_columns_are_filled(key, layout, [one.recording for one in listed], notes)
    recordings = _one_spelling(_once(key, listed, notes), notes)
    for note in notes:
        console.print(f"  [yellow]{key}[/]: {escape(printable(note, 1000))}")
    return recordings


def _table_files(root: Path, table: str) -> list[tuple[Path, str]]:
    """The files of a table that exist, and what * stands for in the name of each."""
    if "*" not in table:
        return [(root / table, "")] if (root / table).is_file() else []
    before, after = str(root / table).split("*")
    files, visited = [], set()
    for folder, subfolders, names in os.walk(before.rpartition("/")[0], followlinks=True):
        if (real := os.path.realpath(folder)) in visited:
            subfolders.clear()
            continue
        visited.add(real)
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for file in (f"{folder}/{name}" for name in names if not name.startswith(".")):
            if file.startswith(before) and file.endswith(after) and len(file) > len(before) + len(after):
                files.append((Path(file), file[len(before) : len(file) - len(after)]))
    return sorted(files)


def _read_tables(
    key: str, files: Sequence[tuple[Path, str]], table: TableConfig, finder: PathFinder, notes: list[str]
) -> list[_Listed]:
    listed: list[_Listed] = []
    values: dict[str, set[str]] = {column: set() for column in (*table.where, *table.where_not)}
    wanted, unwanted = _by_column(table.where), _by_column(table.where_not)
    optional = [RAVEN_OFFSET] if table.begin == RAVEN_BEGIN else []
    for file, table_name in files:
        rows, delimiter, note = read_rows(file, table, key, table.used_columns, optional)
        notes += [note] if note and note not in notes else []
        for row in rows:
            for column, seen in values.items():
                seen.add(row.cells[column])
            is_chosen = all(same_value(row.cells[column]) in chosen for column, chosen in wanted.items())
            is_chosen &= all(
                same_value(row.cells[column]) not in left_out for column, left_out in unwanted.items()
            )
            if is_chosen and not (table.begin and row.cells[table.begin] == AUDACITY_FREQUENCIES):
                listed.append(_listing(key, file, row, table, table_name, delimiter, finder))
    if not listed:
        held = "".join(
            f"; column {column!r} holds {', '.join(map(repr, sorted(seen)[:NAMED_IN_MESSAGES])) or 'nothing'}"
            for column, seen in values.items()
        )
        conditions = [
            f" {name} {one}" for name, one in (("with", table.where), ("without", table.where_not)) if one
        ]
        where = "".join(conditions) + held
        raise UserError(f"{key}.table: {files[0][0]} has no rows{where}; add rows or name another table")
    return listed


def _by_column(values: Mapping[str, str | Sequence[str]]) -> dict[str, set[str]]:
    return {
        column: {same_value(value) for value in ([chosen] if isinstance(chosen, str) else chosen)}
        for column, chosen in values.items()
    }


def _listing(
    key: str, file: Path, row: Row, table: TableConfig, table_name: str, delimiter: str, finder: PathFinder
) -> _Listed:
    place = f"{file}, line {row.line}"

    def value(column: str | None) -> str:
        return clean(row.cells[column]) if column is not None else ""

    for column in table.used_columns:
        if row.cells[column] in SPREADSHEET_ERRORS:
            raise UserError(
                f"{key}.table: {place}: column {column!r} holds {row.cells[column]}; correct the formula"
            )
        if column in table.file_columns and not row.cells[column]:
            raise UserError(f"{key}.table: {place}: column {column!r} is empty; name the recording")
        if column == table.split and not value(column) and table.all_split is None:
            raise UserError(
                f"{key}.split: {place}: column {column!r} is empty; write {', '.join(get_args(Split))}, or set "
                f"{key}.all_split to the split of rows that name none"
            )
    found = finder.find(table.path_of(row.cells, table_name))
    asked = "labels" if table.labels is not None else "label"
    try:
        labels = (
            several_labels(value(table.labels), table.label_separator)
            if table.labels is not None
            else one_label(value(table.label))
        )
        asked = "split"
        split = split_of(value(table.split)) if value(table.split) else table.all_split
        recording = Recording(
            found.path, found.name, labels, value(table.fold) or None, split, value(table.group) or None
        )
        if table.begin is not None and (end := table.end or table.duration) is not None:
            asked = "begin"
            lasts = table.duration is not None
            excerpt = excerpt_of(row.cells, table.begin, end, delimiter, ends_after=lasts)
            recording = replace(
                recording,
                name=f"{found.name} ({excerpt[0]:.12g} to {excerpt[1]:.12g} s)",
                group=recording.group or found.name,
                excerpt=excerpt,
            )
    except ValueError as error:
        raise UserError(f"{key}.{asked}: {place}: {error}") from error
    return _Listed(recording, found, place, table.labels is not None)


def _check_files(key: str, root: Path, config: TableCorpusConfig, files: Sequence[Found]) -> None:
    outside = list(dict.fromkeys(one.name for one in files if one.is_outside))
    if outside and not config.allow_outside_root:
        raise UserError(
            f"{key}.root={root}: {len(outside)} of {len(files)} rows name files out of this folder, {listed(outside)}; "
            f"correct them, set the root to a folder that holds all files, or set {key}.allow_outside_root=true"
        )
    missing = list(dict.fromkeys(one.name for one in files if not one.exists))
    if missing and not config.allow_missing_files:
        raise UserError(
            f"{key}.root={root}: {len(missing)} of {len(files)} rows have no file, {listed(missing)}; "
            f"correct the paths or set {key}.allow_missing_files=true to count them as refused"
        )


def _check_columns_are_filled(
    key: str, layout: Sequence[TableConfig], recordings: Sequence[Recording], notes: list[str]
) -> None:
    for name, effect in (("fold", ""), ("group", "; each of them counts as a source of its own")):
        column = next((column for table in layout if (column := getattr(table, name)) is not None), None)
        empty = sum(getattr(one, name) is None for one in recordings)
        if column is not None and empty == len(recordings):
            raise UserError(
                f"{key}.{name}: column {column!r} is empty in every row; fill it in, or leave out {key}.{name}"
            )
        if column is not None and empty and effect and all(one.excerpt is None for one in recordings):
            notes.append(f"column {column!r} is empty in {empty} of {len(recordings)} rows{effect}")


def _once(key: str, listed: Sequence[_Listed], notes: list[str]) -> list[Recording]:
    """Each recording, or excerpt of one, once; rows that name several labels of one excerpt are joined."""
    first: dict[object, tuple[Recording, str]] = {}
    repeated = 0
    for recording, found, where, may_have_several_labels in listed:
        place = (found.identity, recording.excerpt)
        if place not in first:
            first[place] = (recording, where)
            continue
        known, known_where = first[place]
        if recording.excerpt is None:
            also = f" as {known.name}" if known.name != recording.name else ""
            raise UserError(
                f"{key}: {recording.name} is in two rows of its table, {where}, and{also} {known_where}; remove one"
            )
        if recording.labels != known.labels and not may_have_several_labels:
            both = " and ".join(", ".join(one.labels) or "no label" for one in (known, recording))
            raise UserError(
                f"{key}.label: {recording.name} has two labels, {both}: {known_where}, and {where}; correct one, "
                "or name the column by labels=, not by label=, if an event may have several"
            )
        repeated += recording.labels == known.labels
        joined = tuple(sorted({*known.labels, *recording.labels}))
        if replace(recording, labels=joined, name=known.name, path=known.path) != replace(
            known, labels=joined
        ):
            raise UserError(
                f"{key}: {recording.name} has two folds, splits or groups, {known_where}, and {where}"
            )
        first[place] = (replace(known, labels=joined), known_where)
    if repeated:
        notes.append(f"{repeated} rows repeat an event, and count once")
    return [recording for recording, _ in first.values()]


def _one_spelling(recordings: list[Recording], notes: list[str]) -> list[Recording]:
    """Recordings in which equal folds, groups and labels are spelt alike."""

    def chosen(kind: str, values: list[str]) -> dict[str, str]:
        several = spellings(values, same_value)
        if several:
            notes.append(f"{kind} {in_words(several)} are equal: the first spelling is taken for all")
        changed = {value: one[0] for one in several for value in one}
        rest = sorted({changed.get(value, value) for value in values})
        if likely := spellings(rest, alike):
            notes.append(
                f"{kind} {in_words(likely)} differ in capital letters or spaces alone, and count as different"
            )
        if missing := [value for value in rest if value.lower() in MISSING_VALUES]:
            notes.append(
                f"{kind} {', '.join(map(repr, missing))}: counts as a value; empty the cells that have none"
            )
        return changed

    folds = chosen("folds", [one.fold for one in recordings if one.fold is not None])
    groups = chosen("groups", [one.group for one in recordings if one.group is not None])
    labels = chosen("labels", [label for one in recordings for label in one.labels])
    if not folds and not groups and not labels:
        return recordings
    return [
        replace(
            one,
            fold=folds.get(one.fold or "", one.fold),
            group=groups.get(one.group or "", one.group),
            labels=tuple(dict.fromkeys(labels.get(label, label) for label in one.labels)),
        )
        for one in recordings
    ]
