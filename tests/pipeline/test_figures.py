import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from echopair.pipeline import figure_style
from echopair.pipeline import figures as drawing
from echopair.pipeline.figures import (
    accuracy_bars_figure,
    confusion_matrix_figure,
    positive_pairs_figure,
    training_curves_figure,
)

TEAL = np.array([0x1B, 0x7F, 0x79]) / 255
BAND_CENTRES_HZ = list(np.geomspace(60, 7800, 64))


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures as they were saved."""
    saved: list[Figure] = []
    original: Callable[[Figure, Path], None] = figure_style.save

    def keeping(figure: Figure, path: Path) -> None:
        saved.append(figure)
        original(figure, path)

    monkeypatch.setattr(drawing, "save", keeping)
    return saved


def height_of(path: Path) -> int:
    assert path.read_bytes().startswith(b"\x89PNG")
    return int(imread(path).shape[0])


def rows(number: int) -> list[dict[str, float]]:
    return [
        {"step": 10 * n, "loss": 6.0 - n / number, "loss_chance_level": 6.24, "retrieval_top1": n / number}
        for n in range(1, number + 1)
    ]


@pytest.mark.parametrize("classes", [2, 20, 50, 200])
def test_names_of_classes_do_not_touch(tmp_path: Path, figures: list[Figure], classes: int) -> None:
    names = [f"a species with a long name {n}" for n in range(classes)]
    matrix = np.eye(classes, dtype=int) * 20
    matrix[0, 1] = 7
    confusion_matrix_figure(matrix, names, tmp_path / "confusion.png", "title")
    [figure] = figures
    axes = figure.axes[0]
    labels = axes.get_yticklabels()
    assert len(labels) == classes
    line_points = 72 * axes.get_window_extent().height / figure.dpi / classes
    assert 5 <= float(labels[0].get_fontsize()) < line_points
    assert height_of(tmp_path / "confusion.png") < 4000
    assert (tmp_path / "confusion.png").stat().st_size < 1_500_000


def test_few_classes_show_numbers_and_many_list_confusions(tmp_path: Path, figures: list[Figure]) -> None:
    for classes in (10, 30):
        matrix = np.eye(classes, dtype=int) * 20
        matrix[3, 5] = 7
        names = [f"class {n}" for n in range(classes)]
        confusion_matrix_figure(matrix, names, tmp_path / "confusion.png", "title")
    few, many = figures
    assert [text.get_text() for text in few.axes[0].texts] == ["20"] * 4 + ["7"] + ["20"] * 6
    assert not list(many.axes[0].texts)
    assert many.texts[0].get_text().splitlines()[-1].split() == ["7", "class", "3", "→", "class", "5"]


def test_class_without_clips_and_wrong_shape(tmp_path: Path) -> None:
    confusion_matrix_figure(np.zeros((3, 3), dtype=int), ["a", "b", "c"], tmp_path / "empty.png", "none")
    assert height_of(tmp_path / "empty.png") > 100
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        confusion_matrix_figure(np.zeros((2, 3), dtype=int), ["a", "b"], tmp_path / "wrong.png", "none")


def test_pairs_have_a_row_each_with_true_axes(tmp_path: Path, figures: list[Figure]) -> None:
    generator = np.random.default_rng(0)
    views = generator.normal(size=(3, 2, 64, 96)).astype(np.float32)
    views[1, 1, 10:13, 40:44] = 9.0
    positive_pairs_figure(views, ["a.wav", "b.wav", "x" * 80], tmp_path / "pairs.png", 0.01, BAND_CENTRES_HZ)
    [figure] = figures
    *panels, _bar = figure.axes
    assert len(panels) == 6
    assert [panel.get_title(loc="left") for panel in panels[::2]] == ["a.wav", "b.wav", "…" + "x" * 59]
    drawn: Any = panels[3].collections[0]
    np.testing.assert_array_equal(np.asarray(drawn.get_array()).reshape(64, 96), views[1, 1])
    ticks = dict(
        zip((label.get_text() for label in panels[0].get_yticklabels()), panels[0].get_yticks(), strict=True)
    )
    assert ticks["1k"] == pytest.approx(np.interp(1000, BAND_CENTRES_HZ, np.arange(64)))
    assert panels[4].get_xlim()[1] == pytest.approx(0.96, abs=0.011)


def test_a_pair_of_silence_and_many_pairs(tmp_path: Path, figures: list[Figure]) -> None:
    silence = np.full((1, 2, 64, 96), -3.0)
    positive_pairs_figure(silence, ["silence.wav"], tmp_path / "silence.png", 0.01, BAND_CENTRES_HZ)
    many = np.zeros((14, 2, 64, 96))
    positive_pairs_figure(many, ["a.wav"] * 14, tmp_path / "many.png", 0.01, BAND_CENTRES_HZ)
    assert len(figures[1].axes) == 2 * 12 + 1


def test_curves_of_what_was_measured(tmp_path: Path, figures: list[Figure]) -> None:
    training_curves_figure(rows(300), tmp_path / "curves.png")
    training_curves_figure([{"step": 1, "loss": 5.0}], tmp_path / "one.png")
    many, one = figures
    assert [axes.get_title(loc="left") for axes in many.axes] == [
        "Loss",
        "Positive is the nearest neighbour",
    ]
    raw, smooth, chance = many.axes[0].lines
    assert len(np.asarray(raw.get_ydata())) == len(np.asarray(smooth.get_ydata())) == 300
    assert set(np.asarray(chance.get_ydata())) == {6.24}
    assert np.asarray(many.axes[1].lines[0].get_ydata())[-1] == 100.0  # per cent
    assert one.axes[0].lines[0].get_marker() == "o"
    with pytest.raises(ValueError, match="no training metrics"):
        training_curves_figure([], tmp_path / "none.png")


def test_smooth_curve_ignores_a_single_outlier(tmp_path: Path, figures: list[Figure]) -> None:
    spiky = rows(100)
    spiky[50]["loss"] = 1000.0
    training_curves_figure(spiky, tmp_path / "curves.png")
    assert np.max(np.asarray(figures[0].axes[0].lines[1].get_ydata())) < 7


def test_bars_are_as_long_as_their_accuracies(tmp_path: Path, figures: list[Figure]) -> None:
    path = tmp_path / "bars.png"
    accuracy_bars_figure(
        ["chance", "mel_statistics", "pretrained"],
        [0.1, 0.79, 0.9],
        [None, (0.75, 0.83), (0.86, 0.93)],
        path,
        title="esc10",
    )
    axes = figures[0].axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([10, 79, 90])  # type: ignore[attr-defined]
    assert [text.get_text() for text in axes.texts] == [
        "10.0 %",
        "79.0 %  (75.0 to 83.0)",
        "90.0 %  (86.0 to 93.0)",
    ]
    # Teal is the pretrained bar alone.
    teal = np.abs(imread(path)[..., :3] - TEAL).max(2) < 0.02
    assert teal.any()
    left, right = axes.transData.transform([[0, 0], [90, 0]])[:, 0] * 150 / figures[0].dpi
    assert teal.sum(1).max() == pytest.approx(right - left, abs=3)


def test_style_of_the_caller_is_left_alone(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    training_curves_figure(rows(5), tmp_path / "curves.png")
    assert dict(mpl.rcParams) == before


def test_names_with_dollars_are_names(tmp_path: Path) -> None:
    views = np.random.default_rng(0).normal(size=(1, 3, 64, 96)).astype(np.float32)
    centres = [60 + 120 * band for band in range(64)]
    positive_pairs_figure(views, ["site$1_$2_x.wav"], tmp_path / "pairs.png", 0.01, centres)
    assert height_of(tmp_path / "pairs.png") > 100


def test_a_character_that_no_font_has_is_no_warning(tmp_path: Path) -> None:
    views = np.random.default_rng(0).normal(size=(1, 3, 64, 96)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        centres = [60 + 120 * band for band in range(64)]
        positive_pairs_figure(views, ["鸟.wav"], tmp_path / "pairs.png", 0.01, centres)
    assert height_of(tmp_path / "pairs.png") > 100
