"""Warnings about a corpus before training: leakage, contradictory labels, imbalance, unsuitable sound."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from echopair.pipeline.corpora.spelling import alike, in_words, spellings
from echopair.pipeline.corpus_report.statistics import Codes, Json
from echopair.pipeline.errors import counted

if TYPE_CHECKING:
    import pyarrow as pa

SHORT_SECONDS = 1.0
QUIET_LUFS = -50.0
SILENT_LUFS = -70.0  # the absolute gate of ITU-R BS.1770-4: nothing below it is measured
IMBALANCE_RATIO = 10.0
EXAMPLES = 5
CLIPS_PER_EXAMPLE = 3
CLIPS_SEARCHED = 200


def duplicate_warnings(manifest: "pa.Table", sounds: Codes, spreads: dict[str, Codes]) -> list[Json]:
    """Clips that hold the same sound, worst first: across folds or splits, then with different labels.

    Args:
        manifest: one row per clip.
        sounds: code of each clip's sound.
        spreads: codes of the sounds that occur in several "folds", several "splits", with several "labels".
    """
    copies = np.bincount(sounds, minlength=1)
    repeated = np.flatnonzero(copies > 1)
    if not len(repeated):
        return []
    warnings = []
    leaking = np.union1d(spreads["folds"], spreads["splits"])
    if len(leaking):
        warnings.append(
            _warning(
                "duplicates_leak",
                len(leaking),
                f"{counted(len(leaking), 'sound is', 'sounds are')} in more than one fold or split",
                "Copies of one recording are in the training and the test part of a split, so scores are too high. "
                "Keep one copy, or put all copies in one fold and split.",
                _examples(manifest, sounds, leaking, " = ", "fold", "split"),
                serious=True,
            )
        )
    if len(contradicted := spreads["labels"]):
        warnings.append(
            _warning(
                "duplicates_disagree",
                len(contradicted),
                f"{counted(len(contradicted), 'sound has', 'sounds have')} different labels",
                "Copies of one recording have different labels: look whether one of them is wrong.",
                _examples(manifest, sounds, contradicted, " = ", "labels"),
                serious=True,
            )
        )
    surplus = int(copies[repeated].sum()) - len(repeated)
    harmless = np.setdiff1d(repeated, np.union1d(leaking, contradicted))
    warnings.append(
        _warning(
            "duplicates",
            surplus,
            f"{counted(surplus, 'clip repeats', 'clips repeat')} the sound of another",
            f"{counted(len(repeated), 'sound occurs', 'sounds occur')} more than once: equal samples, or a copy that "
            "was re-encoded, resampled, trimmed, made louder or mixed with noise. "
            "Contrastive training treats copies as different sounds.",
            _examples(manifest, sounds, harmless, " = "),
        )
    )
    return warnings


def group_warnings(manifest: "pa.Table", groups: Codes, spreads: dict[str, Codes]) -> list[Json]:
    """Source recordings whose clips are in several folds or splits. Args as in `duplicate_warnings`."""
    leaking = np.union1d(spreads["folds"], spreads["splits"])
    if not len(leaking):
        return []
    return [
        _warning(
            "groups_leak",
            len(leaking),
            f"{counted(len(leaking), 'source recording is', 'source recordings are')} "
            "in more than one fold or split",
            "Clips cut from one recording share its place, microphone and noise, so scores are too high. "
            "Put all clips of a source in one fold and split.",
            _examples(manifest, groups, leaking, ", ", "fold", "split"),
            serious=True,
        )
    ]


def sound_warnings(
    manifest: "pa.Table",
    seconds: NDArray[np.float64],
    loudness_lufs: NDArray[np.float64],
    sample_rate_hz: int,
) -> list[Json]:
    """Clips that are very short, very quiet, or recorded at a lower rate than that of the store."""
    rates_hz = np.asarray(manifest["original_rate_hz"])
    silent = int((loudness_lufs <= SILENT_LUFS).sum())
    lowest = f" The lowest rate is {int(rates_hz.min()):,} Hz." if len(rates_hz) else ""
    checks = [
        (
            "low_original_rate",
            rates_hz < sample_rate_hz,
            f"from originals below {sample_rate_hz:,} Hz",
            f"They were upsampled, so their highest bands are empty, which the encoder can recognise.{lowest}",
        ),
        (
            "very_quiet",
            loudness_lufs < QUIET_LUFS,
            f"below {QUIET_LUFS:g} LUFS",
            f"{f'Practically silent: {silent:,}. ' if silent else ''}"
            "The encoder learns nothing from crops of silence.",
        ),
        (
            "shorter_than_1_s",
            seconds < SHORT_SECONDS,
            f"shorter than {SHORT_SECONDS:g} s",
            "Two crops of such a clip overlap almost entirely, or are padded at the end of the clip.",
        ),
    ]
    warnings = []
    for code, concerned, title_end, detail in checks:
        if len(clips := np.flatnonzero(concerned)):
            paths = manifest["path"].take(clips[:EXAMPLES]).to_pylist()
            title = f"{counted(len(clips), 'clip')} {title_end}"
            warnings.append(_warning(code, len(clips), title, detail, paths))
    return warnings


def class_warnings(classes: Sequence[Json]) -> list[Json]:
    """Classes far smaller than the largest; `classes` as in the report, the largest first."""
    if not classes:
        return []
    largest, smallest = classes[0]["clips"], classes[-1]["clips"]
    if largest < IMBALANCE_RATIO * smallest:
        return []
    rare = [row for row in classes if row["clips"] * IMBALANCE_RATIO <= largest]
    return [
        _warning(
            "class_imbalance",
            len(rare),
            f"The largest class has {largest / smallest:,.0f} times the clips of the smallest",
            f"{counted(len(rare), 'class has', 'classes have')} at most a tenth of the largest one's "
            f"{counted(largest, 'clip')}. Look at the accuracy of each class, not only at the mean.",
            [f"{row['label']}: {counted(row['clips'], 'clip')}" for row in rare[: -EXAMPLES - 1 : -1]],
        )
    ]


def spelling_warnings(names: Mapping[str, Sequence[str]]) -> list[Json]:
    """Classes, sources or folds whose names differ in capital letters, spaces or invisible marks alone.

    Args:
        names: distinct names by what they name, such as "class".
    """
    several = [(kind, one) for kind, found in names.items() for one in spellings(found, alike)]
    if not several:
        return []
    return [
        _warning(
            "spelling",
            len(several),
            f"{counted(len(several), 'name is', 'names are')} spelt in several ways",
            "They differ in capital letters or spaces alone, and count as different. Spell them alike if one is meant.",
            [f"{kind} {in_words([one])}" for kind, one in several[:EXAMPLES]],
            serious=True,
        )
    ]


def _warning(
    code: str, count: int, title: str, detail: str, examples: list[str], *, serious: bool = False
) -> Json:
    return {
        "code": code,
        "severity": "serious" if serious else "notice",
        "count": count,
        "title": title,
        "detail": detail,
        "examples": examples,
    }


def _examples(manifest: "pa.Table", keys: Codes, chosen: Codes, between: str, *notes: str) -> list[str]:
    """Some clips of the first chosen keys, one line per key: "a.wav (fold 1) = b.wav (fold 2)"."""
    columns = manifest.select(["path", *notes])
    lines = []
    for key in chosen[:EXAMPLES]:
        clips = np.flatnonzero(keys == key)
        rows = columns.take(clips[:CLIPS_SEARCHED]).to_pylist()
        noted = [(row["path"], ", ".join(filter(None, (_note(row, name) for name in notes)))) for row in rows]
        # One clip of each kind first, so that the line shows the difference.
        first_of_kind = {note: n for n, (_, note) in reversed(list(enumerate(noted)))}.values()
        others = (n for n in range(len(noted)) if n not in first_of_kind)
        shown = [*sorted(first_of_kind), *others][:CLIPS_PER_EXAMPLE]
        texts = [f"{path} ({note})" if note else path for path, note in (noted[n] for n in sorted(shown))]
        more = f" and {len(clips) - len(shown):,} more" if len(clips) > len(shown) else ""
        lines.append(between.join(texts) + more)
    return lines


def _note(row: dict[str, Any], name: str) -> str:
    value = row[name]
    return "+".join(value) if isinstance(value, list) else f"{name} {value}" if value else ""
