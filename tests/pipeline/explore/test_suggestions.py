"""Rows to label next: spread at first, then those that a probe is least sure of."""

from pathlib import Path

import numpy as np
import pytest

from echopair.pipeline.explore.suggestions import suggest
from echopair.pipeline.explore.table import ExploredTable
from echopair.pipeline.search.excerpt import Excerpt

APART = [Excerpt(str(row), 0, 1) for row in range(61)]


def between_two_classes() -> np.ndarray:
    """61 directions from one axis to another."""
    angle = np.linspace(0, np.pi / 2, 61)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def test_rows_between_two_classes_are_least_sure() -> None:
    labels = [("a",), *[()] * 59, ("b",)]
    found = suggest(between_two_classes(), labels, APART, 3)
    assert {one.row for one in found} == {29, 30, 31}
    assert found[0].row == 30
    assert found[0].probability == pytest.approx(0.5, abs=0.01)
    assert {one.label for one in found} <= {"a", "b"}


def test_rows_that_overlap_a_better_one_are_left_out() -> None:
    labels = [("a",), *[()] * 59, ("b",)]
    overlapping = [Excerpt("night.wav", row, row + 1.5) for row in range(61)]
    rows = {one.row for one in suggest(between_two_classes(), labels, overlapping, 2)}
    assert rows in ({30, 28}, {30, 32})


def test_rows_near_to_a_probability_of_one_half_are_least_sure_with_several_labels() -> None:
    labels = [("a",), ("a", "b"), *[()] * 57, ("b",), ("b",)]
    found = suggest(between_two_classes(), labels, APART, 1)
    assert found[0].probability >= 0.5


@pytest.mark.parametrize("known", [0, 1])
def test_rows_are_spread_until_two_classes_are_known(table: ExploredTable, known: int) -> None:
    labels: list[tuple[str, ...]] = [("hum",)] * known + [()] * (len(table) - known)
    found = suggest(table.directions, labels, table.excerpts, 6)
    kinds = {Path(table.excerpts[one.row].path).name.split("_")[0] for one in found}
    assert kinds == {"hum", "hiss", "beeps"}
    assert all(not one.label for one in found)


def test_nothing_is_suggested_where_all_rows_have_labels() -> None:
    assert suggest(between_two_classes(), [("a",)] * 61, APART, 3) == []
