"""Figures of a run, as PNG files: the pairs, the training, the probe."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from echopair.models.methods.method import CHANCE_LEVEL
from echopair.pipeline.figure_style import (
    ACCENT,
    INK,
    LINE,
    PAPER,
    SOFT,
    new_figure,
    save,
    shortened,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A matrix of more classes has cells too small for numbers; its largest confusions are listed beside it.
CLASSES_WITH_NUMBERS = 20
CONFUSIONS_LISTED = 15
PAIRS_PER_FIGURE = 12
TICKS_HZ = (125, 250, 500, 1000, 2000, 4000, 8000, 16000)

# Of a row of metrics: title, unit and key. A figure of a method that is not listed is named by its key.
CURVES = (
    ("Loss", "nats", "loss"),
    ("Positive is the nearest neighbour", "% of views", "retrieval_top1"),
    ("Effective rank of embeddings", "dimensions", "effective_rank"),
    ("Alignment of positives", "squared distance (0: equal)", "alignment"),
    ("Uniformity of projections", "log potential (0: collapsed)", "uniformity"),
    ("Spread of embeddings", "0: collapsed, 1: sphere", "embedding_spread"),
)
NOT_FIGURES = {"step", "learning_rate", "pairs_per_second", "data_wait_share"}  # of a row


@styled
def confusion_matrix_figure(
    matrix: NDArray[np.integer[Any]], class_names: Sequence[str], path: Path, title: str
) -> None:
    """Draw a confusion matrix: true classes down, predicted ones across, shaded by share of the true class.

    Args:
        matrix: (K, K) numbers of clips, rows are true classes.
        class_names: K of them.
        path: PNG file to write.
        title: above it.
    """
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    classes = len(class_names)
    if np.shape(matrix) != (classes, classes):
        raise ValueError(f"matrix has shape {np.shape(matrix)} for {classes} class names")
    counts = np.asarray(matrix)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    numbers = classes <= CLASSES_WITH_NUMBERS
    names = [shortened(name, 24) for name in class_names]
    cell_inches = 0.42 if numbers else max(0.085, 0.2 - 0.001 * classes)
    label_points = 8.0 if numbers else max(5.0, 45 * cell_inches)
    side = max(2.4, classes * cell_inches)
    large = max(1.0, side / 9)  # a large picture is looked at scaled down: its letters grow with it
    figure = new_figure(side, side)
    axes = figure.add_axes((0, 0, 1, 1))
    colours = LinearSegmentedColormap.from_list("share", [PAPER, "#9fd0cb", ACCENT, "#0b3d3a"])
    # Among many classes a single confusion is faint: the root of the share shows it.
    image = axes.imshow(share, cmap=colours, norm=PowerNorm(1.0 if numbers else 0.5, vmin=0, vmax=1))
    axes.set_xticks(range(classes), names, rotation=90, fontsize=label_points)
    axes.set_yticks(range(classes), names, fontsize=label_points)
    axes.tick_params(length=0, pad=2)
    axes.set_xlabel("predicted", fontsize=9 * large)
    axes.set_ylabel("true", fontsize=9 * large)
    axes.set_title(title, pad=8 * large, fontsize=10 * large)
    lines = np.arange(0, classes + 1, 1 if classes <= 100 else 10) - 0.5
    axes.set_xticks(lines, minor=True)
    axes.set_yticks(lines, minor=True)
    axes.grid(which="minor", color=LINE, linewidth=0.4)
    axes.tick_params(which="minor", length=0)
    if numbers:
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = PAPER if share[row, column] > 0.45 else INK
            axes.text(
                column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=8
            )
    bar_height = min(1.0, 3.5 * large / side)
    bar_axes = figure.add_axes((1 + 0.15 / side, 1 - bar_height, 0.12 * large / side, bar_height))
    bar = figure.colorbar(image, cax=bar_axes, ticks=[0, 0.5, 1] if numbers else [0, 0.05, 0.2, 0.5, 1])
    bar.ax.set_yticklabels([f"{tick:.0%}" for tick in bar.get_ticks()], fontsize=8 * large)
    bar.set_label("share of the true class", fontsize=8 * large)
    bar.outline.set_visible(False)
    if not numbers:
        x, y = 1 + 0.15 / side, 1 - bar_height - 0.5 * large / side
        figure.text(x, y, _confusions(counts, names), va="top", fontsize=8 * large, linespacing=1.6)
    save(figure, path)


def _confusions(counts: NDArray[np.integer[Any]], names: Sequence[str]) -> str:
    mistakes = counts.copy()
    np.fill_diagonal(mistakes, 0)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:CONFUSIONS_LISTED]
    pairs = [np.unravel_index(place, mistakes.shape) for place in order]
    lines = [f"{mistakes[pair]:>3}  {names[pair[0]]} → {names[pair[1]]}" for pair in pairs if mistakes[pair]]
    return "Most frequent confusions\n(clips, true → predicted)\n" + ("\n".join(lines) or "none")


@styled
def positive_pairs_figure(
    views: NDArray[np.floating[Any]],
    names: Sequence[str],
    path: Path,
    hop_seconds: float,
    band_centres_hz: Sequence[float],
) -> None:
    """Draw positive pairs, one a row, their views side by side on the same colours.

    Args:
        views: (P, V, F, T) log-mels in dB; of more than 12 pairs the first are drawn.
        names: P recordings that the pairs come from.
        path: PNG file to write.
        hop_seconds: time between frames.
        band_centres_hz: F frequencies.
    """
    import librosa.display
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    shown = np.asarray(views)[:PAIRS_PER_FIGURE]
    pairs, sides, bands, frames = shown.shape
    lowest, highest = np.percentile(shown, [1, 99.8])
    ticks_hz = [hz for hz in TICKS_HZ if band_centres_hz[0] <= hz <= band_centres_hz[-1]]
    ticks = np.interp(ticks_hz, band_centres_hz, np.arange(bands))
    # Low bands stand close together: only those ticks whose labels do not touch.
    roomy = [n for n in range(len(ticks)) if n == 0 or ticks[n] - ticks[n - 1] > 0.07 * bands]
    height = 0.95 + 1.55 * pairs
    figure = new_figure(max(8.0, 2.8 * sides), height)
    grid = figure.subplots(pairs, sides, sharex=True, sharey=True, squeeze=False)
    figure.subplots_adjust(
        left=0.085, right=0.9, top=1 - 0.62 / height, bottom=0.45 / height, hspace=0.3, wspace=0.06
    )
    for row, name, pair in zip(grid, list(names)[:pairs], shown, strict=True):
        for axes, view in zip(row, pair, strict=True):
            image = librosa.display.specshow(
                view,
                x_coords=np.arange(frames) * hop_seconds,
                y_coords=np.arange(bands),
                ax=axes,
                cmap="magma",
                vmin=lowest,
                vmax=max(highest, lowest + 10),  # silence is one colour, not amplified noise
            )
            axes.set_yticks(ticks[roomy], [_hertz(ticks_hz[n]) for n in roomy])
            axes.xaxis.set_major_locator(MaxNLocator(6))
            axes.xaxis.set_major_formatter(ScalarFormatter())
            axes.tick_params(left=axes is row[0], bottom=row is grid[-1])
            axes.set_ylabel("")
            axes.set_xlabel("")
        row[0].set_title(shortened(name, 60), fontsize=8.5, fontweight="normal", pad=3)
        row[0].set_ylabel("Hz")
    for axes in grid[-1]:
        axes.set_xlabel("time (s)")
    figure.suptitle(
        "Positives: the views of a row belong together", x=0.085, y=1 - 0.12 / height, ha="left", va="top",
        fontsize=10, fontweight="bold",
    )  # fmt: skip
    bottom, top = grid[-1][0].get_position().y0, grid[0][0].get_position().y1
    bar = figure.colorbar(image, cax=figure.add_axes((0.915, bottom, 0.014, top - bottom)))
    bar.set_label("level (dB)")
    bar.outline.set_visible(False)
    save(figure, path)


@styled
def training_curves_figure(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw how a training went: the loss beside its chance level, and what tells learning from collapse.

    Args:
        rows: of `metrics.jsonl`, each with `step`; curves whose key is in no row are left out.
        path: PNG file to write.
    """
    from matplotlib.ticker import MaxNLocator

    keys = {key for row in rows for key in row}
    named = {key for _, _, key in CURVES} | NOT_FIGURES
    others = sorted(key for key in keys - named if not key.endswith(CHANCE_LEVEL))
    found = [curve for curve in CURVES if curve[2] in keys]
    found += [(key.replace("_", " ").capitalize(), "", key) for key in others]
    if not found:
        raise ValueError("there are no training metrics to draw")
    columns = min(3, len(found))
    lines = -(-len(found) // columns)
    figure = new_figure(3.4 * columns, 2.3 * lines + 0.2)
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes, (title, unit, key) in zip(grid.flat, found, strict=False):
        scale = 100.0 if unit.startswith("%") else 1.0
        steps, values = _column(rows, key)
        _curve(axes, steps, scale * values)
        axes.set_title(title)
        axes.set_ylabel(unit)
        axes.set_xlabel("step")
        axes.grid(axis="y", color=LINE, linewidth=0.5)
        axes.margins(x=0.02, y=0.1)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if any(key + CHANCE_LEVEL in row for row in rows):
            level_steps, level = _column(rows, key + CHANCE_LEVEL)
            level *= scale
            axes.plot(level_steps, level, color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
            below = level[-1] > sum(axes.get_ylim()) / 2  # near the lower end the label would cross the axis
            axes.annotate(
                "chance", (level_steps[-1], level[-1]), (0, -3 if below else 3), textcoords="offset points",
                ha="right", va="top" if below else "bottom", color=SOFT, fontsize=8,
            )  # fmt: skip
    for axes in list(grid.flat)[len(found) :]:
        axes.remove()
    figure.tight_layout(w_pad=2.0, h_pad=1.5)
    save(figure, path)


def _column(rows: Sequence[Mapping[str, float]], key: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    pairs = [(row["step"], row[key]) for row in rows if row.get(key) is not None]
    steps, values = np.array(pairs, dtype=np.float64).T
    return steps, values


def _curve(axes: "Axes", steps: NDArray[np.float64], values: NDArray[np.float64]) -> None:
    """One batch is noisy: many points are drawn faintly under the median of their neighbours."""
    if len(values) < 40:
        axes.plot(steps, values, color=ACCENT, linewidth=1.6, marker="o" if len(values) == 1 else None)
        return
    half = max(2, len(values) // 50)
    padded = np.pad(values, half, mode="reflect")
    smooth = np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1)
    axes.plot(steps, values, color=ACCENT, linewidth=0.6, alpha=0.35)
    axes.plot(steps, smooth, color=ACCENT, linewidth=1.8)


@styled
def accuracy_bars_figure(
    names: Sequence[str],
    accuracies: Sequence[float],
    intervals: Sequence[tuple[float, float] | Sequence[float] | None],
    path: Path,
    *,
    title: str = "Linear probe",
    unit: str = "accuracy",
) -> None:
    """Draw accuracies as bars with their 95 % intervals, from top to bottom as they are given.

    Args:
        names: of the features; the one called `pretrained` is set off by its colour.
        accuracies: 0 to 1.
        intervals: lower and upper end of each, or None where there is none, such as for chance.
        path: PNG file to write.
        title: above it.
        unit: what the accuracies are, under the axis.
    """
    figure = new_figure(6.4, 1.15 + 0.46 * len(names))
    axes = figure.subplots()
    for place, (name, value, interval) in enumerate(zip(names, accuracies, intervals, strict=True)):
        axes.barh(place, 100 * value, height=0.62, color=ACCENT if name == "pretrained" else "#b9c0c4")
        text, end = f"{100 * value:.1f} %", 100 * value
        if interval is not None:
            low, high = (100 * float(bound) for bound in interval)
            end = max(end, high)
            text += f"  ({low:.1f} to {high:.1f})"
            axes.errorbar(
                100 * value, place, xerr=[[max(0, 100 * value - low)], [max(0, high - 100 * value)]],
                color=INK, capsize=3, linewidth=1.1,
            )  # fmt: skip
        axes.text(end + 1.5, place, text, va="center", fontsize=8)
    if "chance" in names:
        chance = 100 * accuracies[list(names).index("chance")]
        axes.axvline(chance, color=SOFT, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    axes.set_yticks(range(len(names)), [shortened(name.replace("_", " "), 28) for name in names], color=INK)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, 135)  # room for the figures beside a full bar
    axes.set_xticks(range(0, 101, 20))
    axes.spines["bottom"].set_bounds(0, 100)
    axes.set_xlabel(f"{unit} (%), with 95 % interval", loc="left")
    axes.set_title(title)
    figure.tight_layout()
    save(figure, path)


def _hertz(hz: int) -> str:
    return f"{hz // 1000}k" if hz >= 1000 else str(hz)
