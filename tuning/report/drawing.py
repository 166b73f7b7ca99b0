"""What the pictures of a sweep have in common: colours of scores and of outcomes, axes, labels of trials."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from echopair.pipeline.corpus_report.statistics import nice_step
from echopair.pipeline.figure_style import ACCENT, INK, LINE, PAPER, SOFT
from echopair.tuning.report.scale import Scale
from echopair.tuning.results import cut
from echopair.tuning.trials import Status, Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

STOPPED_GREY, DIVERGED_RED = "#9aa1a6", "#b3352b"
STATUS_COLOURS = {
    Status.FINISHED: ACCENT,
    Status.STOPPED: "#b9c0c4",
    Status.DIVERGED: DIVERGED_RED,
    Status.FAILED: "#d99a3d",
    Status.RUNNING: "#7fa8c9",
    Status.WAITING: LINE,
}
# A score further below the median than so many times the way from the median to the best is drawn at the low end, if
# no more than a tenth of all are: a bad trial must not press all others together.
REACH_BELOW_MEDIAN = 3.0
CUT_SHARE = 0.1
NARROWEST_RANGE = 0.02
LETTERS_OF_A_VALUE = 16
GOLDEN_SECTION = 0.6180339887  # its multiples, taken modulo 1, lie evenly, however many there are


@dataclass(frozen=True)
class ScoreRange:
    """What an axis or a colour bar of scores reaches over.

    Args:
        low: its lower end, 0 to 1.
        high: its upper end, the best score.
        cut: whether scores below `low` are drawn at it.
    """

    low: float
    high: float
    cut: bool

    def inside(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores as they are drawn."""
        return np.maximum(scores, self.low)

    def ticks(self, at_most: int = 5) -> NDArray[np.float64]:
        """Round scores inside."""
        step = nice_step(self.high - self.low, at_most)
        first, last = np.ceil(self.low / step - 1e-9), np.floor(self.high / step + 1e-9)
        return np.asarray(np.arange(first, last + 1) * step)


def score_range(scores: NDArray[np.float64]) -> ScoreRange:
    """The range in which scores can be told apart: all of them, but for a few far below the others."""
    best, median, lowest = float(scores.max()), float(np.median(scores)), float(scores.min())
    far_below = median - max(REACH_BELOW_MEDIAN * (best - median), NARROWEST_RANGE)
    low = max(lowest, min(far_below, float(np.quantile(scores, CUT_SHARE))))
    if lowest >= low - 0.2 * (best - low):  # so near that it fits without pressing
        low = lowest
    return ScoreRange(min(low, best - NARROWEST_RANGE), best, cut=lowest < low)


def score_colours() -> "Colormap":
    """From pale, for the lowest score, over our accent to nearly black for the best."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("score", ["#ece7d8", "#a9d3c6", "#4fa79d", ACCENT, "#0b3d3a"])


def percent_ticks(scores: Iterable[float]) -> list[str]:
    """Scores as numbers of an axis in per cent."""
    return [f"{100 * score:.4g}" for score in scores]


def percent_axis(axes: "Axes") -> None:
    """Write the scores at a vertical axis in per cent."""
    from matplotlib.ticker import FuncFormatter

    axes.yaxis.set_major_formatter(FuncFormatter(lambda score, _place: f"{100 * score:.4g}"))


def score_bar(figure: Any, image: Any, reach: ScoreRange, axes: Any, **place: Any) -> None:
    """A colour bar of scores in per cent beside axes."""
    bar = figure.colorbar(
        image, ax=axes, extend="min" if reach.cut else "neither", ticks=reach.ticks(), **place
    )
    bar.ax.set_yticklabels(percent_ticks(reach.ticks()))
    bar.set_label("score (%)")
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)


def value_axis(axes: "Axes", which: Literal["x", "y"], scale: Scale, ticks_at_most: int) -> None:
    """Write the values of a parameter at an axis that is drawn from 0 to 1."""
    ticks = scale.ticks(ticks_at_most)
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks([place for place, _ in ticks], [cut(text, LETTERS_OF_A_VALUE) for _, text in ticks])
    axis.set_tick_params(length=3, color=LINE)


def titled(axes: "Axes", title: str, note: str, lift_points: float = 0.0) -> None:
    """A title over axes, and below it in soft letters what one needs to know to read them."""
    axes.set_title(title, pad=8 + 12.5 * (1 + note.count("\n")) + lift_points)
    axes.annotate(
        note, (0, 1), (0, 6 + lift_points), xycoords="axes fraction", textcoords="offset points", va="bottom",
        color=SOFT, fontsize=8, linespacing=1.35, annotation_clip=False,
    )  # fmt: skip


def halo() -> list[Any]:
    """Makes letters readable on whatever lies below them."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2.5, foreground=PAPER)]


def mark_best(axes: "Axes", x: float, y: float, text: str, *, size: float, right_end: float) -> None:
    """Ring a mark and write beside it, on the side where there is room."""
    axes.scatter([x], [y], s=size, facecolors="none", edgecolors=INK, linewidths=1.5, zorder=6, clip_on=False)
    left = x > right_end
    axes.annotate(
        text, (x, y), (-9 if left else 9, 0), textcoords="offset points", ha="right" if left else "left",
        va="center", fontsize=8, fontweight="bold", zorder=7, path_effects=halo(),
    )  # fmt: skip


def spread_apart(places: Sequence[float], gap: float) -> list[float]:
    """Places of labels, at least one, moved so that neighbours are `gap` or more apart, in the order given."""
    order = sorted(range(len(places)), key=lambda n: places[n])
    moved = list(places)
    for before, after in pairwise(order):
        moved[after] = max(moved[after], moved[before] + gap)
    # All were pushed upwards: as much back that they stay around where they belong, and none rises over the highest.
    excess = sum(moved[n] - places[n] for n in order) / len(order)
    highest = max(moved) - max(places)
    return [place - max(excess, highest) for place in moved]


def jitter(trials: Iterable[Trial]) -> NDArray[np.float64]:
    """(N,) shifts from -0.5 to 0.5 for marks that would hide each other; the same for a trial in every picture."""
    return np.array([GOLDEN_SECTION * (trial.number + 1) % 1 - 0.5 for trial in trials], np.float64)


def faintness(number: int, few: float = 0.9, many: float = 0.2) -> float:
    """Opacity of a line among so many: `few` up to 10 of them, falling to `many` at 200."""
    return float(np.interp(np.log(max(number, 1)), np.log([10, 200]), [few, many]))
