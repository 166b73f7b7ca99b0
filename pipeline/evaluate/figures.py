"""Pictures of suites: metrics with their intervals, and curves of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from echopair.pipeline.evaluate.task import Metric
from echopair.pipeline.figure_style import ACCENT, INK, LINE, SOFT, new_figure, save, shortened, styled

# Told apart by people who see no red or green, after Okabe and Ito; those of the evaluated encoders come first.
COLOURS = (ACCENT, "#d55e00", "#0072b2", "#cc79a7", "#e69f00", "#56b4e9")
BASELINE_COLOURS = {"mel statistics": "#8a8f94", "untrained": "#b9a26a"}
MARKERS = "osD^vP"
PANELS_IN_A_ROW = 4


@styled
def interval_figure(metrics: Mapping[str, Metric], chance: float | None, heading: str, file: Path) -> None:
    """Draw a metric of each encoder with its 95 % interval.

    Args:
        metrics: by the name of the encoder.
        chance: a line, where it is known.
        heading: what the metric is.
        file: PNG to write.
    """
    figure = new_figure(6.0, 0.55 + 0.34 * max(1, len(metrics)))
    axes = figure.add_axes((0, 0, 1, 1))
    for row, (name, metric) in enumerate(metrics.items()):
        colour = colour_of(name, list(metrics))
        if metric.interval is not None:
            low, high = metric.interval
            axes.plot([low * 100, high * 100], [row, row], color=colour, linewidth=2, alpha=0.5)
        axes.plot(metric.value * 100, row, "o", color=colour, markersize=7)
        axes.annotate(
            f"{metric.value:.1%}", (metric.value * 100, row), (0, 7), textcoords="offset points", ha="center"
        )
    if chance is not None:
        axes.axvline(chance * 100, color=LINE, linewidth=1.2, zorder=0)
        axes.annotate(
            "chance", (chance * 100, -0.6), (3, 0), textcoords="offset points", color=SOFT, fontsize=8
        )
    axes.set_yticks(range(len(metrics)), [shortened(name, 30) for name in metrics])
    axes.set_ylim(len(metrics) - 0.4, -0.9)
    axes.set_xlabel(f"{heading} (%)")
    save(figure, file)


@styled
def curve_figure(
    curves: Mapping[str, Sequence[Metric]],
    ticks: Sequence[str],
    axis: str,
    heading: str,
    file: Path,
    chance: float | None = None,
) -> None:
    """Draw curves of a metric, one for each encoder, with a band for the 95 % interval.

    Args:
        curves: by the name of the encoder, a metric for each tick.
        ticks: what stands below each point.
        axis: what the ticks are.
        heading: what the metric is.
        file: PNG to write.
        chance: a line, where it is known.
    """
    figure = new_figure(6.0, 3.4)
    axes = figure.add_axes((0, 0, 1, 1))
    places = range(len(ticks))
    for number, (name, metrics) in enumerate(curves.items()):
        colour = colour_of(name, list(curves))
        values = [metric.value * 100 for metric in metrics]
        marker = MARKERS[number % len(MARKERS)]
        axes.plot(places, values, color=colour, marker=marker, markersize=5, label=shortened(name, 30))
        intervals = [metric.interval for metric in metrics]
        if all(one is not None for one in intervals):
            low, high = zip(*(one for one in intervals if one is not None), strict=True)
            axes.fill_between(
                places,
                [100 * one for one in low],
                [100 * one for one in high],
                color=colour,
                alpha=0.12,
                lw=0,
            )
    if chance is not None:
        axes.axhline(chance * 100, color=LINE, linewidth=1.2, zorder=0, label="chance")
    axes.set_xticks(places, list(ticks))
    axes.set_xlabel(axis)
    axes.set_ylabel(f"{heading} (%)")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5), labelcolor=INK)
    save(figure, file)


@styled
def learning_curve_figure(
    curves: Mapping[str, Sequence[tuple[Sequence[float], int]]],
    tested: Mapping[str, Metric],
    heading: str,
    chance: float,
    file: Path,
) -> None:
    """Draw a score after each epoch of several trainings, and beside it that of the test clips, with its interval.

    Args:
        curves: by the name of the encoder, for each training the scores and the epoch that was chosen, from 1.
        tested: by the name of the encoder.
        heading: what the score is.
        chance: a line.
        file: PNG to write.
    """
    figure = new_figure(6.4, 3.2)
    axes, beside = figure.subplots(1, 2, sharey=True, width_ratios=(4, 1))
    figure.subplots_adjust(left=0, right=1, bottom=0, top=1, wspace=0.06)
    for number, (name, trainings) in enumerate(curves.items()):
        colour, marker = colour_of(name, list(curves)), MARKERS[number % len(MARKERS)]
        for scores, epoch in trainings:
            axes.plot(range(1, len(scores) + 1), [100 * one for one in scores], color=colour, alpha=0.7)
            axes.plot(epoch, 100 * scores[epoch - 1], marker, color=colour, markersize=7)
        metric = tested[name]
        if metric.interval is not None:
            beside.plot(
                [number, number], [100 * one for one in metric.interval], color=colour, lw=2, alpha=0.5
            )
        beside.plot(number, 100 * metric.value, marker, color=colour, markersize=7, label=shortened(name, 30))
    for one in (axes, beside):
        one.axhline(chance * 100, color=LINE, linewidth=1.2, zorder=0)
    axes.annotate("chance", (1, chance * 100), (0, 3), textcoords="offset points", color=SOFT, fontsize=8)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"{heading} (%)")
    axes.set_title("validation clips, chosen epoch marked")
    beside.set_title("test clips")
    beside.set_xticks([])
    beside.set_xlim(-0.6, len(curves) - 0.4)
    beside.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5), labelcolor=INK)
    save(figure, file)


@styled
def roc_figure(curves: Mapping[str, Sequence[float]], file: Path) -> None:
    """Draw ROC curves, one for each encoder, with the line of chance and that of equal errors.

    Args:
        curves: by the name of the encoder, true rates at evenly spaced false rates from 0 to 1.
        file: PNG to write.
    """
    figure = new_figure(4.0, 4.0)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.plot([0, 100], [0, 100], color=LINE, linewidth=1.2, label="chance")
    axes.plot([0, 100], [100, 0], color=LINE, linewidth=1.2, linestyle=":", label="equal errors")
    for name, values in curves.items():
        places = [100 * place / (len(values) - 1) for place in range(len(values))]
        shares = [100 * value for value in values]
        axes.plot(places, shares, color=colour_of(name, list(curves)), label=shortened(name, 30))
    axes.set_xlabel("pairs of different classes above the threshold (%)")
    axes.set_ylabel("pairs of one class above the threshold (%)")
    axes.set_aspect("equal")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5), labelcolor=INK)
    save(figure, file)


@styled
def curve_grid_figure(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    ticks: Mapping[str, Sequence[str]],
    axes_of: Mapping[str, str],
    heading: str,
    file: Path,
    chance: float,
) -> None:
    """Draw a small panel of curves for each of many conditions, all of one scale.

    Args:
        panels: by title, the curve of each encoder, in shares.
        ticks: by title, what stands below each point.
        axes_of: by title, what the ticks are.
        heading: what the shares are.
        file: PNG to write.
        chance: a line in each.
    """
    rows = -(-len(panels) // PANELS_IN_A_ROW)
    figure = new_figure(2.6 * PANELS_IN_A_ROW, 2.1 * rows)
    grid = figure.subplots(rows, PANELS_IN_A_ROW, sharey=True, squeeze=False)
    highest = max(value for curves in panels.values() for values in curves.values() for value in values)
    figure.subplots_adjust(wspace=0.12, hspace=0.75)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for axes, (title, curves) in zip(grid.flat, panels.items(), strict=False):
        for number, (name, values) in enumerate(curves.items()):
            axes.plot(
                range(len(values)),
                [100 * value for value in values],
                color=colour_of(name, list(curves)),
                marker=MARKERS[number % len(MARKERS)],
                markersize=4,
                label=shortened(name, 30),
            )
        axes.set_title(title)
        axes.set_xticks(range(len(ticks[title])), list(ticks[title]))
        axes.set_xlabel(axes_of[title], fontsize=8)
        axes.axhline(chance * 100, color=LINE, linewidth=1.2, zorder=0, label="chance")
        axes.set_ylim(0, 100 * highest + 4)
    for axes in grid[:, 0]:
        axes.set_ylabel(f"{heading} (%)")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 0.93), ncols=4)
    save(figure, file)


def colour_of(name: str, names: Sequence[str]) -> str:
    """The colour of an encoder among others."""
    if name in BASELINE_COLOURS:
        return BASELINE_COLOURS[name]
    return COLOURS[[one for one in names if one not in BASELINE_COLOURS].index(name) % len(COLOURS)]
