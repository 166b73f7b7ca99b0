"""The picture of two parameters where both have finitely many values: a cell a setting, with its score."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from echopair.pipeline.corpus_report.warnings import counted
from echopair.pipeline.figure_style import INK, PAPER, SOFT, new_figure, save, styled
from echopair.tuning.report.drawing import (
    DIVERGED_RED,
    ScoreRange,
    score_bar,
    score_colours,
    score_range,
    titled,
)
from echopair.tuning.report.outcomes import best_first, finished, score_of, scores_of, training_done
from echopair.tuning.report.scale import Scale
from echopair.tuning.report.words import whole_percent
from echopair.tuning.results import percent_text
from echopair.tuning.trials import Status, Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELLS_WITH_NUMBERS = 12  # of a side; smaller cells have no room
DARK_FROM = 0.45  # of the range of scores
NO_SCORE = "#e4e1da"  # hatched: no colour of the scale
# What is said of a cell without a score, of several the first that is so.
REASONS = (Status.RUNNING, Status.WAITING, Status.STOPPED, Status.DIVERGED, Status.FAILED)

Cell = tuple[int, int]


@styled
def draw_cells(trials: Sequence[Trial], across: Scale, up: Scale, names: tuple[str, str], path: Path) -> None:
    """Draw the mean score of each setting of two parameters.

    Args:
        trials: all of them, at least one finished.
        across: of the first parameter, with finitely many values.
        up: of the second one, likewise.
        names: of both.
        path: PNG file to write.
    """
    from matplotlib.patches import Rectangle

    done = finished(trials)
    reach = score_range(scores_of(done))
    columns, rows = len(across.values), len(up.values)
    cells: dict[Cell, list[Trial]] = defaultdict(list)
    for trial in trials:
        cells[
            up.index(trial.values[up.parameter.key]), across.index(trial.values[across.parameter.key])
        ].append(trial)
    mean = np.full((rows, columns), np.nan)
    for at, inside in cells.items():
        if finished(inside):
            mean[at] = scores_of(finished(inside)).mean()
    figure = new_figure(min(9.0, max(3.2, 0.85 * columns)) + 0.9, min(7.0, max(1.7, 0.6 * rows)))
    axes = figure.subplots()
    image = axes.imshow(
        mean, origin="lower", aspect="auto", cmap=score_colours(), vmin=reach.low, vmax=reach.high, zorder=1
    )
    best = best_first(done)[0]
    for at, inside in cells.items():
        _draw_cell(axes, at, inside, float(mean[at]), reach, numbers=max(rows, columns) <= CELLS_WITH_NUMBERS)
        if best in inside:
            axes.add_patch(Rectangle((at[1] - 0.5, at[0] - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=2.2,
                                     zorder=5, clip_on=False))  # fmt: skip
    for axis, scale, name in ((axes.xaxis, across, names[0]), (axes.yaxis, up, names[1])):
        ticks = scale.ticks(CELLS_WITH_NUMBERS)
        axis.set_ticks([place * (len(scale.values) - 1) if len(scale.values) > 1 else 0 for place, _ in ticks],
                       [text for _, text in ticks])  # fmt: skip
        axis.set_ticks(np.arange(len(scale.values) + 1) - 0.5, minor=True)
        axis.set_label_text(name)
    axes.grid(which="minor", color=PAPER, linewidth=2)
    axes.tick_params(which="both", length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    score_bar(figure, image, reach, axes, pad=0.03, aspect=18)
    several = any(len(finished(inside)) > 1 for inside in cells.values())
    titled(axes, f"{'Mean score' if several else 'Score'} over {names[0]} and {names[1]}",
           f"framed: the best trial, number {best.number}, {percent_text(score_of(best))}")  # fmt: skip
    save(figure, path)


def _draw_cell(
    axes: "Axes", at: Cell, inside: Sequence[Trial], mean: float, reach: ScoreRange, *, numbers: bool
) -> None:
    from matplotlib.patches import Rectangle

    done = finished(inside)
    if done:
        text = f"{100 * mean:.1f}" + (f"\n{counted(len(done), 'trial')}" if len(done) > 1 else "")
        dark = (mean - reach.low) / (reach.high - reach.low) > DARK_FROM
        colour = PAPER if dark else INK
    else:
        stati = {trial.status for trial in inside}
        reason = next((status for status in REASONS if status in stati), Status.FAILED)
        text, colour = reason.value, DIVERGED_RED if reason is Status.DIVERGED else SOFT
        if reason is Status.STOPPED:
            text = f"stopped\nat {whole_percent(max(training_done(trial) for trial in inside))}"
        axes.add_patch(
            Rectangle((at[1] - 0.5, at[0] - 0.5), 1, 1, facecolor=PAPER, edgecolor=NO_SCORE, hatch="////", linewidth=0,
                      zorder=0)
        )  # fmt: skip
    if numbers:
        axes.text(at[1], at[0], text, ha="center", va="center", fontsize=8 if done else 7, color=colour, zorder=4,
                  linespacing=1.3)  # fmt: skip
