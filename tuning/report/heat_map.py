"""A picture of two parameters: where trials lay, what they scored, and an estimate between them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from echopair.pipeline.corpus_report.statistics import nice_step
from echopair.pipeline.corpus_report.warnings import counted
from echopair.pipeline.figure_style import ACCENT, INK, PAPER, SOFT, new_figure, save, styled
from echopair.tuning.report.drawing import (
    DIVERGED_RED,
    STOPPED_GREY,
    ScoreRange,
    mark_best,
    percent_ticks,
    score_bar,
    score_colours,
    score_range,
    titled,
    value_axis,
)
from echopair.tuning.report.heat_map_cells import draw_cells
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
from echopair.tuning.report.smoothing import Surface, surface
from echopair.tuning.results import percent_text, status_words
from echopair.tuning.trials import Status, Trial

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

PREFERRED = ("objective.temperature", "augment.strength")
FEWEST_FOR_A_SURFACE = 6
MARGIN = 0.04
TICKS = 8


def heat_map_picture(trials: Sequence[Trial], parameters: Sequence[Parameter], path: Path) -> bool:
    """Draw scores over two parameters: cells where both have finitely many values, else marks on an estimate.

    Args:
        trials: all of them, in any state.
        parameters: those swept; temperature and strength are drawn if both are, else the first two of numbers.
        path: PNG file to write.

    Returns:
        False, and nothing is written, with fewer than two parameters of numbers or no finished trial.
    """
    chosen = axes_of(trials, parameters)
    placed = with_values(trials, chosen or ())
    if chosen is None or not finished(placed):
        return False
    names = labels(parameters)
    across, up = (Scale(parameter, placed) for parameter in chosen)
    draw = draw_cells if across.finite and up.finite else _draw_marks
    draw(placed, across, up, (names[chosen[0].key], names[chosen[1].key]), path)
    return True


def axes_of(trials: Sequence[Trial], parameters: Sequence[Parameter]) -> tuple[Parameter, Parameter] | None:
    """The two parameters of the picture, the one across first; None if no two have numbers that differ."""
    numeric = [p for p in parameters if not p.is_seed and Scale(p, trials).numeric and _varies(p, trials)]
    preferred = [p for key in PREFERRED for p in numeric if p.key == key]
    chosen = preferred if len(preferred) == 2 else numeric[:2]
    return (chosen[0], chosen[1]) if len(chosen) == 2 else None


def _varies(parameter: Parameter, trials: Sequence[Trial]) -> bool:
    return len({trial.values[parameter.key] for trial in with_values(trials, [parameter])}) > 1


@styled
def _draw_marks(
    trials: Sequence[Trial], across: Scale, up: Scale, names: tuple[str, str], path: Path
) -> None:
    done = finished(trials)
    scores = scores_of(done)
    reach = score_range(scores)
    x, y = across.positions(done), up.positions(done)
    figure = new_figure(7.0, 5.2)
    axes = figure.subplots()
    estimate = surface(np.column_stack([x, y]), scores) if len(done) >= FEWEST_FOR_A_SURFACE else None
    shows_more_than_noise = estimate is not None and float(np.ptp(estimate.mean)) > estimate.noise
    if estimate is not None and shows_more_than_noise:
        _draw_surface(axes, estimate, reach)
    size = float(np.interp(np.log(len(trials)), np.log([16, 400]), [85, 16]))
    edge = float(np.interp(np.log(len(trials)), np.log([16, 400]), [0.9, 0.4]))
    for status, colour, marker in ((Status.STOPPED, STOPPED_GREY, "+"), (Status.DIVERGED, DIVERGED_RED, "x")):
        others = with_status(trials, status)
        axes.scatter(
            across.positions(others), up.positions(others), s=0.6 * size, c=colour, marker=marker,
            linewidths=1.3 * edge, zorder=3,
        )  # fmt: skip
    order = np.argsort(scores, kind="stable")  # good ones are not hidden
    image = axes.scatter(
        x[order], y[order], s=size, c=scores[order], cmap=score_colours(), vmin=reach.low, vmax=reach.high,
        edgecolors=PAPER if shows_more_than_noise else INK, linewidths=edge, zorder=4,
    )  # fmt: skip
    best = best_first(done)[0]
    mark_best(
        axes, across.position(best.values[across.parameter.key]), up.position(best.values[up.parameter.key]),
        f"trial {best.number}: {percent_text(score_of(best))}", size=size + 120, right_end=0.7,
    )  # fmt: skip
    value_axis(axes, "x", across, TICKS)
    value_axis(axes, "y", up, TICKS)
    axes.set_xlim(*_limits(across, trials))
    axes.set_ylim(*_limits(up, trials))
    axes.set_xlabel(names[0] + across.log_note)
    axes.set_ylabel(names[1] + up.log_note)
    score_bar(figure, image, reach, axes, pad=0.025, aspect=28)
    axes.legend(
        handles=_keys(trials), loc="upper left", bbox_to_anchor=(0, -0.11), frameon=False, fontsize=8, ncols=3,
        borderaxespad=0, handletextpad=0.2, columnspacing=1.2, labelcolor=SOFT,
    )  # fmt: skip
    titled(
        axes,
        f"Score over {names[0]} and {names[1]}",
        _note(estimate, done, shows_trend=shows_more_than_noise),
    )
    save(figure, path)


def _note(estimate: Surface | None, done: Sequence[Trial], *, shows_trend: bool) -> str:
    if estimate is None:
        few = counted(len(done), "finished trial") if len(done) < FEWEST_FOR_A_SURFACE else "equal scores"
        return f"nothing is estimated between the trials: there {'is' if len(done) == 1 else 'are'} {few}"
    scatter = f"{100 * estimate.noise:.1f} points"
    if not shows_trend:
        return f"no trend over the two that goes beyond the scatter of single trials, {scatter}"
    return f"shading: estimated mean, pale far from finished trials; single ones scatter by {scatter}"


def _keys(trials: Sequence[Trial]) -> "list[Artist]":
    from matplotlib.lines import Line2D

    keys: list[Artist] = []
    for status, colour, marker in (
        (Status.FINISHED, ACCENT, "o"),
        (Status.STOPPED, STOPPED_GREY, "+"),
        (Status.DIVERGED, DIVERGED_RED, "x"),
    ):
        if number := len(with_status(trials, status)):
            text = f"{status_words(status)} ({number})"
            keys.append(Line2D([], [], color=colour, marker=marker, linestyle="", markersize=6, label=text))
    return keys


def _limits(scale: Scale, trials: Sequence[Trial]) -> tuple[float, float]:
    places = scale.positions(trials)
    return min(0.0, float(places.min())) - MARGIN, max(1.0, float(places.max())) + MARGIN


def _draw_surface(axes: "Axes", estimate: Surface, reach: ScoreRange) -> None:
    from matplotlib.colors import Normalize

    colours = score_colours()(Normalize(reach.low, reach.high, clip=True)(estimate.mean))
    opacity = 0.8 * estimate.known[..., None]
    image = opacity * colours[..., :3] + (1 - opacity)
    axes.imshow(image, origin="lower", extent=(0, 1, 0, 1), aspect="auto", interpolation="bilinear", zorder=0)
    # No line says more than was reached.
    low, high = max(float(estimate.mean.min()), reach.low), min(float(estimate.mean.max()), reach.high)
    if high <= low:
        return
    step = nice_step(high - low, 6)
    levels = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    axis = np.linspace(0, 1, len(estimate.mean))
    lines = axes.contour(axis, axis, estimate.mean, levels, colors=INK, linewidths=0.6, alpha=0.45, zorder=1)
    texts = dict(zip(levels, (f"{text} %" for text in percent_ticks(levels)), strict=True))
    axes.clabel(lines, fmt=texts, fontsize=7, inline_spacing=3)
