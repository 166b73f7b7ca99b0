"""A picture of each parameter by itself: scores over its values, their mean, and the plateau around the best."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from echopair.pipeline.figure_style import ACCENT, INK, LINE, SOFT, new_figure, save, styled
from echopair.tuning.report.drawing import (
    DIVERGED_RED,
    STOPPED_GREY,
    ScoreRange,
    jitter,
    percent_ticks,
    score_range,
    value_axis,
)
from echopair.tuning.report.outcomes import (
    best_first,
    finished,
    score_of,
    scores_of,
    with_status,
    with_values,
)
from echopair.tuning.report.parameter_findings import stretch
from echopair.tuning.report.parameters import Parameter, labels
from echopair.tuning.report.plateau import Plateau, plateau
from echopair.tuning.report.scale import Scale
from echopair.tuning.report.smoothing import local_mean
from echopair.tuning.report.words import joined
from echopair.tuning.results import percent_text, value_text
from echopair.tuning.trials import Status, Trial

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

COLUMNS = 3
FEWEST_FOR_A_MEAN = 8
STRIP_WIDTH = 0.5  # of the way from one value to the next
TRIALS_OF_A_WHOLE_STRIP = 40  # fewer hide each other less, and lie nearer to their value
BAND_OF_A_VALUE = 0.12  # to either side, of the way to the next: what lies between values was not tried
VALUES_WITH_MEANS = 12  # of more, the mean near a value says more than that at it
NUMBERS_NAMED, WORDS_NAMED = 7, 24
LETTERS_OF_TICKS = 36  # of a panel
LETTERS_OF_A_NOTE = 46
NEAR = " within 1 point"
KEYS_A_LINE = (2, 4, 6)  # by columns of panels


def score_by_parameter_picture(trials: Sequence[Trial], parameters: Sequence[Parameter], path: Path) -> bool:
    """Draw a panel a parameter: finished trials, the mean near each value, the plateau shaded and in words.

    Args:
        trials: all of them; where stopped and diverged ones lay is marked below the scores.
        parameters: those swept, in the order of the panels.
        path: PNG file to write.

    Returns:
        False, and nothing is written, without parameters or a finished trial.
    """
    shown = [parameter for parameter in parameters if finished(with_values(trials, [parameter]))]
    if not shown:
        return False
    _draw(trials, shown, path)
    return True


@styled
def _draw(trials: Sequence[Trial], parameters: Sequence[Parameter], path: Path) -> None:
    names = labels(parameters)
    columns = min(COLUMNS, len(parameters))
    if len(parameters) == 4:
        columns = 2
    rows = -(-len(parameters) // columns)
    figure = new_figure(3.5 * columns + 0.4, 2.95 * rows + 0.55)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    reach = score_range(scores_of(finished(trials)))
    for axes, parameter in zip(grid.flat, parameters, strict=False):
        _draw_panel(axes, with_values(trials, [parameter]), parameter, names[parameter.key], reach)
    for axes in list(grid.flat)[len(parameters) :]:
        axes.remove()
    for line in grid:
        line[0].set_ylabel("score (%)")
    keys = _keys(trials, means=len(finished(trials)) >= FEWEST_FOR_A_MEAN)
    keys_a_line = KEYS_A_LINE[columns - 1]
    key_inches = 0.19 * -(-len(keys) // keys_a_line) + 0.04
    figure.tight_layout(w_pad=1.6, h_pad=1.6, rect=(0, 0, 1, 1 - key_inches / figure.get_figheight()))
    figure.legend(
        handles=keys, loc="upper left", bbox_to_anchor=(0.0, 1.0), ncols=keys_a_line, frameon=False, fontsize=8,
        labelcolor=SOFT, handletextpad=0.4, columnspacing=1.3, handlelength=1.4, borderaxespad=0.1,
    )  # fmt: skip
    save(figure, path)


def _keys(trials: Sequence[Trial], *, means: bool) -> "list[Artist]":
    """What the marks are, on top of all panels."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    keys: list[Artist] = [
        Line2D(
            [], [], color=ACCENT, marker="o", linestyle="", markersize=5, alpha=0.7, label="finished trial"
        ),
        Line2D([], [], color=INK, marker="o", fillstyle="none", linestyle="", markersize=7, label="best"),
        Patch(color=ACCENT, alpha=0.13, linewidth=0, label="plateau: within 1 point of the best"),
    ]
    if means:
        keys.insert(2, Line2D([], [], color=INK, linewidth=1.4, label="mean nearby"))
    for status, word, colour, marker in (
        (Status.STOPPED, "stopped early", STOPPED_GREY, "|"),
        (Status.DIVERGED, "diverged", DIVERGED_RED, "x"),
    ):
        if with_status(trials, status):
            keys.append(
                Line2D(
                    [], [], color=colour, marker=marker, linestyle="", markersize=5, label=f"{word}, no score"
                )
            )
    return keys


def _draw_panel(
    axes: "Axes", trials: Sequence[Trial], parameter: Parameter, name: str, reach: ScoreRange
) -> None:
    done = finished(trials)
    scale = Scale(parameter, trials)
    flat = plateau(trials, parameter)
    as_strips = scale.finite and (not scale.numeric or parameter.is_seed)
    pitch = 1 / max(1, len(scale.values) - 1) if scale.finite else 0.0
    scores = scores_of(done)
    strip = STRIP_WIDTH * pitch * min(1.0, len(trials) / TRIALS_OF_A_WHOLE_STRIP)
    x = scale.positions(done) + jitter(done) * strip
    drawn = reach.inside(scores)
    below = scores < reach.low
    size = float(np.interp(np.log(len(done)), np.log([16, 400]), [30, 9]))
    opacity = float(np.interp(np.log(len(done)), np.log([16, 400]), [0.85, 0.55]))
    axes.scatter(
        x[~below], drawn[~below], s=size, c=ACCENT, alpha=opacity, linewidths=0, zorder=3, clip_on=False
    )
    axes.scatter(x[below], drawn[below], s=size, c=ACCENT, alpha=opacity, marker="v", linewidths=0, zorder=3)
    best = best_first(done)[0]
    at = next(n for n, trial in enumerate(done) if trial is best)
    axes.scatter(
        x[at],
        drawn[at],
        s=size + 60,
        facecolors="none",
        edgecolors=INK,
        linewidths=1.4,
        zorder=5,
        clip_on=False,
    )
    if scale.finite and len(scale.values) <= VALUES_WITH_MEANS:
        if len(done) >= FEWEST_FOR_A_MEAN:
            _draw_means(axes, scale, done, pitch, joined_up=not as_strips)
    elif len(set(x)) >= FEWEST_FOR_A_MEAN and not parameter.is_seed:
        places = np.linspace(x.min(), x.max(), 100)
        mean = local_mean(x, scores, places)
        axes.plot(places, np.where(mean < reach.low, np.nan, mean), color=INK, linewidth=1.4, zorder=4)
    if flat is not None and len(done) > 1:
        _shade(axes, scale, flat, pitch)
    height = reach.high - reach.low
    for status, colour, marker in ((Status.STOPPED, STOPPED_GREY, "|"), (Status.DIVERGED, DIVERGED_RED, "x")):
        others = with_status(trials, status)
        places = scale.positions(others) + jitter(others) * strip
        axes.scatter(
            places, np.full(len(others), reach.low - 0.12 * height), s=22, c=colour, marker=marker, linewidths=1.0,
            alpha=0.9 if len(others) < 100 else 0.45,
        )  # fmt: skip
    axes.set_ylim(reach.low - 0.17 * height, reach.high + 0.05 * height)
    axes.set_yticks(reach.ticks(), percent_ticks(reach.ticks()))
    axes.tick_params(axis="y", length=0, labelleft=True)
    axes.grid(axis="y", color=LINE, linewidth=0.5, zorder=0)
    axes.set_axisbelow(True)
    margin = 0.6 * pitch if scale.finite and pitch < 1 else 0.35 if scale.finite else 0.04
    places = scale.positions(trials)
    axes.set_xlim(min(0.0, *places) - margin, max(1.0, *places) + margin)
    _name_values(axes, scale)
    axes.set_title(name + scale.log_note, pad=19)
    axes.annotate(
        _in_words(scale, done, flat), (0, 1), (0, 6), xycoords="axes fraction", textcoords="offset points",
        va="bottom", color=SOFT, fontsize=8, annotation_clip=False,
    )  # fmt: skip


def _name_values(axes: "Axes", scale: Scale) -> None:
    value_axis(axes, "x", scale, NUMBERS_NAMED if scale.numeric else WORDS_NAMED)
    words = [] if scale.numeric else axes.get_xticklabels()
    if sum(len(word.get_text()) + 2 for word in words) > LETTERS_OF_TICKS:
        for word in words:
            word.set(rotation=28 if len(words) < 8 else 60, ha="right", rotation_mode="anchor")


def _draw_means(axes: "Axes", scale: Scale, done: Sequence[Trial], pitch: float, *, joined_up: bool) -> None:
    places = scale.positions(done)
    scores = scores_of(done)
    tried = np.unique(places)
    means = np.array([scores[places == place].mean() for place in tried])
    if joined_up and len(tried) > 1 and len(done) > len(tried):
        axes.plot(tried, means, color=INK, linewidth=1.4, zorder=4)
    elif len(done) > len(tried):
        half = 0.5 * STRIP_WIDTH * pitch
        axes.hlines(means, tried - half, tried + half, color=INK, linewidth=1.8, zorder=4)


def _shade(axes: "Axes", scale: Scale, flat: Plateau, pitch: float) -> None:
    places = [scale.position(value) for value in flat.values]
    if scale.numeric:
        half = BAND_OF_A_VALUE * pitch if scale.finite else 0.006  # a plateau of one value is seen as well
        axes.axvspan(places[0] - half, places[-1] + half, color=ACCENT, alpha=0.13, linewidth=0, zorder=0)
        return
    for place in places:
        axes.axvspan(
            place - 0.45 * pitch, place + 0.45 * pitch, color=ACCENT, alpha=0.13, linewidth=0, zorder=0
        )


def _in_words(scale: Scale, done: Sequence[Trial], flat: Plateau | None) -> str:
    if flat is None:
        return "chance, not a choice"
    if len(done) == 1:
        return f"{value_text(flat.best_value)}: {percent_text(score_of(done[0]))}, the only finished trial"
    if len(flat.values) == 1:
        return f"only {value_text(flat.best_value)}{NEAR}"
    if not flat.numeric:
        listed = joined([value_text(value) for value in flat.values])
        if len(flat.values) == len(scale.values):
            listed = f"all {len(flat.values)} values"
        elif len(listed) + len(NEAR) > LETTERS_OF_A_NOTE:
            listed = f"{len(flat.values)} of {len(scale.values)} values"
        return listed + NEAR
    return f"{stretch(flat)}{NEAR} ({flat.trials} of {flat.trials_there} trials)"
