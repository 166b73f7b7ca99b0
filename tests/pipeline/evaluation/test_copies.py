from pathlib import Path

import numpy as np
import pytest

from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluation.copies import check_copies
from echopair.pipeline.evaluation.folds import find_test_splits, make_folds
from echopair.pipeline.evaluation.probe import ProbeConfig, probe, probe_table
from tests.pipeline.evaluation.test_probe import LabelledStore, features

LABELS = [("ab"[n % 2],) for n in range(40)]
FOLDS = [str(1 + n // 20) for n in range(40)]


def with_copies(column: str, *copies: tuple[int, int]) -> dict[str, list[str | None]]:
    values: list[str | None] = [str(n) for n in range(40)]
    for one, other in copies:
        values[other] = values[one]
    return {column: values}


def test_test_clips_with_copies_are_counted_beside_the_score(tmp_path: Path) -> None:
    # 3 and 4 are in one fold: no harm is done.
    store = LabelledStore(LABELS, fold=FOLDS, **with_copies("sound", (0, 30), (3, 4)))
    notes = check_copies("c", store, find_test_splits("c", store, ProbeConfig(), 0), allow_equal=False)
    assert [note.partition(",")[0] for note in notes] == [
        "corpus 'c': 2 test clips have a copy among the training clips (clip 0 = clip 30)"
    ]
    summary = probe("c", store, {"pretrained": features(LABELS, 1)}, ProbeConfig(C=(0.1,)), 0, tmp_path)  # type: ignore[arg-type]
    assert summary["test_clips_with_copies"] == 2
    assert probe_table(summary).title.endswith("2 with a copy among the training clips")


def test_equal_samples_on_both_sides_of_a_test_are_refused_unless_allowed() -> None:
    store = LabelledStore(
        LABELS, fold=FOLDS, **with_copies("samples_sha256", (0, 30)), **with_copies("sound", (0, 30))
    )
    splits = find_test_splits("c", store, ProbeConfig(), 0)
    with pytest.raises(UserError, match=r"clip 0 = clip 30.*probe\.allow_copies=true"):
        check_copies("c", store, splits, allow_equal=False)
    assert len(check_copies("c", store, splits, allow_equal=True)) == 1


def test_folds_of_our_own_keep_copies_together() -> None:
    pairs = [(n, n + 20) for n in range(20)]
    store = LabelledStore(LABELS, group=[f"s{n}" for n in range(40)], **with_copies("sound", *pairs))
    for fold in make_folds("c", store, ProbeConfig(), 0)[1]:
        for part in (fold.test, *(chosen_on for _, chosen_on in fold.validation)):
            assert {(clip + 20) % 40 for clip in part.tolist()} == set(part.tolist())
    assert len(np.concatenate([fold.test for fold in make_folds("c", store, ProbeConfig(), 0)[1]])) == 40
