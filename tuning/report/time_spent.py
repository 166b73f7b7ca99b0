"""A picture of what a sweep cost: how much of the training was done, and the time of each trial."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from echopair.pipeline.corpus_report.warnings import counted
from echopair.pipeline.figure_style import INK, LINE, PAPER, SOFT, new_figure, save, styled
from echopair.tuning.report.drawing import STATUS_COLOURS, halo, titled
from echopair.tuning.report.outcomes import training_done, training_spent, with_status
from echopair.tuning.report.words import whole_percent
from echopair.tuning.results import duration_text, status_words
from echopair.tuning.trials import Status, Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ORDER = (Status.FINISHED, Status.STOPPED, Status.DIVERGED, Status.FAILED, Status.RUNNING, Status.WAITING)
UNITS = ((7200, 3600, "hours"), (180, 60, "minutes"), (0, 1, "seconds"))


def time_spent_picture(trials: Sequence[Trial], path: Path) -> bool:
    """Draw the share of the full training that was done, and the wall time of each trial, by how they ended.

    Args:
        trials: all of them, in any state.
        path: PNG file to write.

    Returns:
        False, and nothing is written, if no trial worked yet.
    """
    worked = [trial for trial in sorted(trials, key=lambda trial: trial.number) if trial.seconds > 0]
    if not worked:
        return False
    _draw(worked, trials, path)
    return True


@styled
def _draw(worked: Sequence[Trial], trials: Sequence[Trial], path: Path) -> None:
    figure = new_figure(7.0, 4.0)
    top, bottom = figure.subplots(2, 1, height_ratios=(1, 4.5))
    figure.subplots_adjust(hspace=0.75)
    _draw_share(top, trials)
    _draw_times(bottom, worked)
    save(figure, path)


def _draw_share(axes: "Axes", trials: Sequence[Trial]) -> None:
    """One bar: all ended trials' full training, filled as far as it was done."""
    ended = [trial for trial in trials if trial.status.ended]
    spent = training_spent(trials)
    left = 0.0
    for status in ORDER:
        done = sum(training_done(trial) for trial in with_status(ended, status))
        share = 100 * done / max(1, len(ended))
        axes.barh(0, share, left=left, height=1, color=STATUS_COLOURS[status])
        if share >= 8:
            dark = status in (Status.FINISHED, Status.DIVERGED)
            axes.text(left + share / 2, 0, f"{share:.0f} %", ha="center", va="center", fontsize=8,
                      color=PAPER if dark else INK)  # fmt: skip
        left += share
    axes.barh(0, 100 - left, left=left, height=1, facecolor="none", edgecolor=LINE, hatch="////", linewidth=0)
    if left <= 80:
        axes.text(50 + left / 2, 0, "not trained", ha="center", va="center", fontsize=8, color=SOFT,
                  path_effects=halo())  # fmt: skip
    axes.set_xlim(0, 100)
    axes.set_ylim(-0.5, 0.5)
    axes.set_yticks([])
    axes.spines[["left"]].set_visible(False)
    axes.set_xticks(range(0, 101, 20), [f"{tick} %" for tick in range(0, 101, 20)])
    if spent is None:
        titled(axes, "No trial has ended yet", "what share of the full training was spent is not known")
        return
    stopped = len(with_status(ended, Status.STOPPED))
    note = f"all of {counted(len(ended), 'trial')} trained to the end would be 100 %"
    title = f"{whole_percent(spent)} of the full training was spent"
    titled(axes, title, note + (f"; {stopped} stopped early" if stopped else ""))


def _draw_times(axes: "Axes", worked: Sequence[Trial]) -> None:
    """A bar a trial, in the order of proposal."""
    from matplotlib.ticker import MaxNLocator

    longest, total = max(trial.seconds for trial in worked), sum(trial.seconds for trial in worked)
    unit_seconds, unit = next((size, name) for least, size, name in UNITS if longest >= least)
    for status in ORDER:
        chosen = with_status(worked, status)
        if chosen:
            took = sum(trial.seconds for trial in chosen)
            axes.bar(
                [trial.number for trial in chosen], [trial.seconds / unit_seconds for trial in chosen],
                width=0.8 if len(worked) <= 100 else 1.0, color=STATUS_COLOURS[status],
                label=f"{status_words(status)}: {counted(len(chosen), 'trial')}, {duration_text(took)}",
            )  # fmt: skip
    numbers = np.array([trial.number for trial in worked])
    axes.set_xlim(numbers.min() - 0.7, numbers.max() + 0.7)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=LINE, linewidth=0.5)
    axes.tick_params(axis="x", length=0)
    axes.set_xlabel("trial")
    axes.set_ylabel(unit)
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.2), ncols=2, frameon=False, fontsize=8, labelcolor=SOFT,
                handlelength=1.0, columnspacing=1.6, borderaxespad=0)  # fmt: skip
    titled(axes, f"{duration_text(total)} of work", "wall time of each trial, all its attempts together")
