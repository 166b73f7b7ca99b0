"""Test clips that are learned from too: copies of one recording in both parts of a split."""

from collections.abc import Mapping, Sequence

from echopair.pipeline.errors import UserError, counted, listed
from echopair.pipeline.evaluation.folds import Fold, TestSplit
from echopair.pipeline.evaluation.labels import Annotations, clip_names


def check_copies(
    corpus: str, clips: Annotations, splits: Sequence[TestSplit], *, allow_equal: bool
) -> list[str]:
    """Say how many test clips are learned from too, as copies.

    Args:
        corpus: its name, for messages.
        clips: annotations.
        splits: what is tested on in turn.
        allow_equal: `probe.allow_copies`.

    Returns:
        At most one sentence.

    Raises:
        UserError: some have equal samples, and that is not allowed.
    """
    names = clip_names(clips)

    def pairs(copies: Mapping[int, int]) -> str:
        both = dict.fromkeys((min(pair), max(pair)) for pair in copies.items())
        return listed([f"{names[one]} = {names[other]}" for one, other in both])

    if (equal := copies_in_training(clips, splits, "samples_sha256")) and not allow_equal:
        raise UserError(
            f"corpus {corpus!r}: {counted(len(equal), 'test clip has', 'test clips have')} equal samples among the "
            f"training clips ({pairs(equal)}), so the score would be too high; remove one of each pair, put both in "
            "one fold and split, or set probe.allow_copies=true"
        )
    if copies := copies_in_training(clips, splits, "sound"):
        return [
            f"corpus {corpus!r}: {counted(len(copies), 'test clip has', 'test clips have')} a copy among the training "
            f"clips ({pairs(copies)}), which raises the score; remove one of each pair, or put both in one fold and "
            "split"
        ]
    return []


def copies_in_training(clips: Annotations, splits: Sequence[TestSplit | Fold], column: str) -> dict[int, int]:
    """Test clips that are learned from too.

    Args:
        clips: annotations.
        splits: what is tested on in turn; all other clips are learned from.
        column: `samples_sha256` for clips of equal samples, `sound` for any copies.

    Returns:
        For each such test clip one of the training clips that are copies of it.
    """
    values = clips.column(column)
    copies: dict[int, int] = {}
    for split in splits:
        tested = set(split.test.tolist())
        learned = {
            value: clip for clip, value in enumerate(values) if value is not None and clip not in tested
        }
        copies |= {clip: learned[values[clip]] for clip in split.test.tolist() if values[clip] in learned}
    return copies
