"""A picture of whole settings: each trial a line over the values it had, ending at its score."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from echopair.pipeline.figure_style import INK, LINE, SOFT, new_figure, save, styled
from echopair.tuning.report.drawing import (
    LETTERS_OF_A_VALUE,
    STOPPED_GREY,
    ScoreRange,
    faintness,
    halo,
    jitter,
    percent_ticks,
    score_colours,
    score_range,
    spread_apart,
    titled,
)
from echopair.tuning.report.outcomes import (
    best_first,
    finished,
    score_of,
    scores_of,
    with_status,
    with_values,
)
from echopair.tuning.report.parameters import Parameter, labels
from echopair.tuning.report.scale import Scale
from echopair.tuning.results import cut, percent_text
from echopair.tuning.trials import Status, Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EMPHASISED = 3
PALEST_COLOUR = 0.25  # of the colours of scores; a paler line is not seen on white
POINTS_OF_A_BEND = 24
TICKS_OF_AN_AXIS = 9
STRIP_WIDTH = 0.35  # of the way from one of finitely many values to the next


def parallel_coordinates_picture(
    trials: Sequence[Trial], parameters: Sequence[Parameter], path: Path
) -> bool:
    """Draw every trial as a line through its values to its score, the best three set off.

    Args:
        trials: all of them; those stopped early are grey and end before the score.
        parameters: those swept, from left to right.
        path: PNG file to write.

    Returns:
        False, and nothing is written, without parameters or a finished trial.
    """
    whole = with_values(trials, parameters)
    if not parameters or not finished(whole):
        return False
    _draw(whole, parameters, path)
    return True


@styled
def _draw(trials: Sequence[Trial], parameters: Sequence[Parameter], path: Path) -> None:
    from matplotlib.collections import LineCollection

    names = labels(parameters)
    ranked = best_first(trials)
    stopped = with_status(trials, Status.STOPPED)
    scales = [Scale(parameter, trials) for parameter in parameters]
    reach = score_range(scores_of(ranked))
    last = len(parameters)
    figure = new_figure(max(5.2, 1.55 * last + 1.6), 4.2)
    axes = figure.subplots()
    if stopped:
        grey = LineCollection(
            _bent(_places(stopped, scales)), colors=STOPPED_GREY, linewidths=0.8,
            alpha=0.6 * faintness(len(trials)), zorder=1,
        )  # fmt: skip
        axes.add_collection(grey)
    heights = (reach.inside(scores_of(ranked)) - reach.low) / (reach.high - reach.low)
    lines = _bent(np.column_stack([_places(ranked, scales), heights]))
    colours = score_colours()(PALEST_COLOUR + (1 - PALEST_COLOUR) * heights)
    palest = faintness(len(ranked), few=0.7, many=0.12)
    colours[:, 3] = palest + (faintness(len(ranked), few=0.95, many=0.45) - palest) * heights**3
    emphasised = max(1, min(EMPHASISED, len(ranked) // 3))
    top, others = (list(reversed(part)) for part in (range(emphasised), range(emphasised, len(ranked))))
    axes.add_collection(  # the best last, on top of the others
        LineCollection([lines[n] for n in others], colors=colours[others], linewidths=1.2, zorder=2)
    )
    colours[:, 3] = 1.0
    axes.add_collection(
        LineCollection(
            [lines[n] for n in top], colors=colours[top], linewidths=2.6, zorder=3, path_effects=halo()
        )
    )
    for place, (scale, parameter) in enumerate(zip(scales, parameters, strict=True)):
        ticks = [(at, cut(text, LETTERS_OF_A_VALUE)) for at, text in scale.ticks(TICKS_OF_AN_AXIS)]
        _draw_axis(axes, place, names[parameter.key], ticks)
    _draw_axis(axes, last, "score (%)", _score_ticks(reach))
    _label_best(axes, last, [ranked[n] for n in reversed(top)], [heights[n] for n in reversed(top)])
    axes.set_xlim(-0.25, last + 0.1)
    axes.set_ylim(-0.04, 1.04)
    axes.set_axis_off()
    titled(axes, "Settings and their scores", _note(ranked, stopped), lift_points=16)
    save(figure, path)


def _note(ranked: Sequence[Trial], stopped: Sequence[Trial]) -> str:
    told = f"a line for each of {len(ranked)} finished trials, dark where the score is high"
    if len(ranked) == 1:
        told = "the only finished trial"
    return told + (f"; grey: {len(stopped)} stopped early" if stopped else "")


def _places(trials: Sequence[Trial], scales: Sequence[Scale]) -> NDArray[np.float64]:
    """(N, P) heights of trials on the axes of parameters, 0 to 1; many trials of one value a little apart."""
    columns = []
    for scale in scales:
        pitch = STRIP_WIDTH / max(1, len(scale.values) - 1) if scale.finite else 0.0
        shift = jitter(trials) * pitch * min(1.0, len(trials) / 40)
        columns.append(np.clip(scale.positions(trials) + shift, 0, 1))
    return np.column_stack(columns)


def _bent(places: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Lines through (N, A) heights on A axes that cross each axis level, so that the eye can follow them."""
    if places.shape[1] == 1:
        return [np.array([[0.0, height], [0.25, height]]) for height in places[:, 0]]
    way = np.linspace(0, 1, POINTS_OF_A_BEND)
    ease = way * way * (3 - 2 * way)
    heights = places[:, :-1, None] + (places[:, 1:] - places[:, :-1])[..., None] * ease  # (N, A - 1, points)
    across = np.arange(places.shape[1] - 1)[:, None] + way
    return [np.column_stack([across.ravel(), line.ravel()]) for line in heights]


def _draw_axis(axes: "Axes", place: int, name: str, ticks: Sequence[tuple[float, str]]) -> None:
    axes.plot([place, place], [0, 1], color=SOFT, linewidth=1, zorder=4)
    for at, text in ticks:
        axes.plot([place - 0.025, place], [at, at], color=SOFT, linewidth=1, zorder=4)
        axes.annotate(
            text, (place, at), (-5, 0), textcoords="offset points", ha="right", va="center", fontsize=7.5,
            color=SOFT, zorder=5, path_effects=halo(),
        )  # fmt: skip
    axes.annotate(
        name, (place, 1), (0, 9), textcoords="offset points", ha="center", va="bottom", fontsize=8.5,
        fontweight="bold", color=INK, annotation_clip=False,
    )  # fmt: skip


def _score_ticks(reach: ScoreRange) -> list[tuple[float, str]]:
    ticks = reach.ticks()
    texts = percent_ticks(ticks)
    places = (ticks - reach.low) / (reach.high - reach.low)
    return list(zip(places.tolist(), texts, strict=True))


def _label_best(axes: "Axes", place: int, best: Sequence[Trial], heights: Sequence[float]) -> None:
    for trial, height, at in zip(best, heights, spread_apart(heights, 0.055), strict=True):
        axes.annotate(
            f"trial {trial.number}: {percent_text(score_of(trial))}", (place, height), (place + 0.14, at),
            textcoords="data", va="center", fontsize=8, fontweight="bold" if trial is best[0] else "normal",
            arrowprops={"arrowstyle": "-", "color": LINE, "linewidth": 0.8, "relpos": (0, 0.5), "shrinkA": 1},
            annotation_clip=False,
        )  # fmt: skip
