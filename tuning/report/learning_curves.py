"""A picture of how trials learned: their readings in the course of the training."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from echopair.pipeline.figure_style import ACCENT, INK, LINE, SOFT, new_figure, save, styled
from echopair.tuning.report.drawing import (
    DIVERGED_RED,
    STATUS_COLOURS,
    STOPPED_GREY,
    faintness,
    halo,
    percent_axis,
    titled,
)
from echopair.tuning.report.outcomes import best_first
from echopair.tuning.trials import Status, Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# From the back to the front: how lines are called, their colour, and the mark at their end.
LINES = (
    ((Status.STOPPED,), "stopped early", STOPPED_GREY, "o"),
    ((Status.RUNNING, Status.WAITING), "not over yet", STATUS_COLOURS[Status.RUNNING], ">"),
    ((Status.FAILED,), "failed", STATUS_COLOURS[Status.FAILED], "s"),
    ((Status.FINISHED,), "finished", ACCENT, ""),
    ((Status.DIVERGED,), "diverged", DIVERGED_RED, "x"),
)


def learning_curves_picture(trials: Sequence[Trial], path: Path) -> bool:
    """Draw the readings of all trials: finished ones as lines, the others ending in a mark, the best set off.

    Args:
        trials: all of them, in any state.
        path: PNG file to write.

    Returns:
        False, and nothing is written, if there is no reading.
    """
    read = [trial for trial in trials if trial.readings]
    if not read:
        return False
    _draw(read, path)
    return True


@styled
def _draw(trials: Sequence[Trial], path: Path) -> None:
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(6.8, 4.0)
    axes = figure.subplots()
    lengths = {trial.steps for trial in trials}
    in_shares = len(lengths) > 1 and min(lengths) > 0
    best = next(iter(best_first(trials)), None)
    for stati, word, colour, marker in LINES:
        chosen = [trial for trial in trials if trial.status in stati]
        for place, trial in enumerate(chosen):
            label = f"{word} ({len(chosen)})" if not place else None
            if label:
                axes.plot([], [], color=colour, linewidth=1.1, marker=marker, markersize=4, label=label)
            if trial is not best:
                _draw_line(axes, trial, in_shares, colour, marker, faintness(len(trials)))
    if best is not None:
        x, y = _line(best, in_shares)
        axes.plot(x, y, color=INK, linewidth=2.4, marker="o" if len(x) == 1 else None, markersize=5, zorder=5,
                  path_effects=halo(), label=f"trial {best.number} (best score)")  # fmt: skip
    axes.set_xlim(0, 101 if in_shares else max(1, *lengths, *(t.readings[-1].step for t in trials)) * 1.01)
    axes.set_xlabel("share of the training (%)" if in_shares else "step")
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
    percent_axis(axes)
    axes.grid(axis="y", color=LINE, linewidth=0.5)
    axes.set_ylabel("reading (%)")
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.15), ncols=4, frameon=False, fontsize=8, labelcolor=SOFT,
                handlelength=1.8, columnspacing=1.4, borderaxespad=0)  # fmt: skip
    titled(
        axes,
        "How trials learned",
        "readings of the nearest-neighbour probe on validation clips, not to be compared with scores",
    )
    save(figure, path)


def _line(trial: Trial, in_shares: bool) -> tuple[list[float], list[float]]:
    across = 100 / trial.steps if in_shares else 1.0
    return [across * reading.step for reading in trial.readings], [
        reading.score for reading in trial.readings
    ]


def _draw_line(axes: "Axes", trial: Trial, in_shares: bool, colour: str, marker: str, opacity: float) -> None:
    x, y = _line(trial, in_shares)
    axes.plot(x, y, color=colour, linewidth=1.1, alpha=opacity, zorder=2)
    ended = marker or ("o" if len(x) == 1 else "")
    axes.plot(x[-1:], y[-1:], color=colour, marker=ended, markersize=2.2 + 2.5 * opacity, alpha=min(1.0, 2 * opacity),
              linestyle="", zorder=3)  # fmt: skip
