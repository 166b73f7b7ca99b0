"""The figures of a sweep: score by parameter, score over two parameters, importance, learning curves."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from echopair.pipeline.figure_style import ACCENT, DOTS_PER_INCH, INK, LINE, SOFT, STYLE, new_figure
from echopair.tuning.distributions import Choices, Grid
from echopair.tuning.report.outcomes import Outcomes
from echopair.tuning.report.paired_seeds import is_seed
from echopair.tuning.texts import cut, half_interval, short_keys, status_words, value_text
from echopair.tuning.trials import Status, Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

STATUS_COLOURS = {
    Status.FINISHED: ACCENT,
    Status.STOPPED: "#b9c0c4",
    Status.DIVERGED: "#b3352b",
    Status.FAILED: "#d99a3d",
    Status.RUNNING: "#7fa8c9",
    Status.WAITING: LINE,
}
FEWEST_FOR_AN_INTERVAL = 3  # trials
MOST_TICKS = 12  # a range of which at most so many values were tried is drawn value by value
VALUE_CHARACTERS = 14
UNITS = {"seconds": "(s)", "hz": "(Hz)", "db": "(dB)", "minutes": "(min)"}


@dataclass(frozen=True)
class ParameterAxis:
    """How the values of a key are drawn: one beside the other, or as numbers."""

    outcomes: Outcomes
    key: str

    @cached_property
    def values(self) -> list[Any] | None:
        """The values, where they are drawn one beside the other."""
        distribution = self.outcomes.space[self.key]
        if isinstance(distribution, Choices | Grid):
            return list(distribution.values)
        tried = {trial.current[self.key] for trial in self.outcomes.trials if self.key in trial.current}
        few = len(tried) <= MOST_TICKS and 2 * len(tried) <= len(self.outcomes.trials)  # as in a grid search
        return sorted(tried) if few else None

    @property
    def label(self) -> str:
        """Its words, with their unit in brackets."""
        keys = list(self.outcomes.space)
        words = short_keys(keys)[keys.index(self.key)]
        start, _, last = words.rpartition(" ")
        return f"{start} {UNITS[last]}" if start and last in UNITS else words

    def places(self, trials: Sequence[Trial]) -> NDArray[np.float64]:
        """(N,) where trials with a value of the key stand."""
        values = [trial.current[self.key] for trial in trials]
        return np.array([self.values.index(value) if self.values else value for value in values], np.float64)

    def set_up(self, axes: "Axes", which: str) -> None:
        """Label an axis and its ticks."""
        axis, distribution = axes.xaxis if which == "x" else axes.yaxis, self.outcomes.space[self.key]
        axis.set_label_text(self.label)
        if self.values:
            texts = [cut(value_text(value), VALUE_CHARACTERS) for value in self.values]
            axis.set_ticks(range(len(texts)), texts)
            if which == "x" and sum(len(text) + 2 for text in texts) > 34:
                axes.tick_params(axis="x", rotation=35)
            axes.set(**{f"{which}lim": (-0.5, len(texts) - 0.5)})
        elif not isinstance(distribution, Choices | Grid) and distribution.is_log:
            from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

            axes.set(**{f"{which}scale": "log"})
            axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
            axis.set_major_formatter(FuncFormatter(lambda value, _place: value_text(float(value))))
            axis.set_minor_locator(NullLocator())


def draw_figures(outcomes: Outcomes) -> dict[str, bytes]:
    """PNG files by the names in FIGURES, of the figures that the trials have something to show in."""
    import matplotlib

    drawn = {}
    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type] # the stub lists every key as a literal
        for name, (_, draw) in FIGURES.items():
            if figure := draw(outcomes):
                file = io.BytesIO()
                figure.savefig(file, dpi=DOTS_PER_INCH, format="png", bbox_inches="tight", pad_inches=0.12)
                drawn[name] = file.getvalue()
    return drawn


def _score_by_parameter(outcomes: Outcomes) -> "Figure | None":
    """A panel a parameter: finished trials, the mean at a value with its 95 % interval, the best trial with its own."""
    if not outcomes.finished or not outcomes.space:
        return None
    columns = 2 if len(outcomes.space) == 4 else min(3, len(outcomes.space))
    rows = -(-len(outcomes.space) // columns)
    figure = new_figure(max(3.2 * columns, 4.2), 2.8 * rows + 0.5)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, key in zip(grid.flat, outcomes.space, strict=False):
        axis = ParameterAxis(outcomes, key)
        shown = [(trial, score) for trial, score in outcomes.finished if key in trial.current]
        x = axis.places([trial for trial, _ in shown])
        scores = 100 * np.array([score for _, score in shown])
        if axis.values:
            _draw_means(axes, x, scores)
            x = x + [0.3 * (0.618 * trial.number % 1 - 0.5) for trial, _ in shown]
        axes.scatter(x, scores, s=22, c=ACCENT, alpha=0.7, linewidths=0, label="finished trial", zorder=3)
        if shown:
            width = 100 * half_interval(shown[0][1], outcomes.sources) if outcomes.sources else 0
            label = f"best, 95 % interval from {outcomes.sources} sources" if outcomes.sources else "best"
            axes.errorbar(x[:1], scores[:1], yerr=width or None, fmt="o", mfc="none", mec=INK, ms=8,
                          ecolor=SOFT, elinewidth=1, capsize=3, label=label, zorder=4)  # fmt: skip
        axis.set_up(axes, "x")
        axes.grid(axis="y", color=LINE, linewidth=0.5)
    for axes in list(grid.flat)[len(outcomes.space) :]:
        axes.remove()
    _draw_chance(list(grid.flat)[: len(outcomes.space)], outcomes)
    for line in grid:
        line[0].set_ylabel("score (%)")
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.2 / figure.get_figheight()))
    _draw_legend(figure)
    return figure


def _draw_means(axes: "Axes", x: NDArray[np.float64], scores: NDArray[np.float64]) -> None:
    """The mean at each value that several trials have, with the 95 % interval of that mean."""
    from scipy.stats import t

    groups = [(place, scores[x == place]) for place in np.unique(x)]
    groups = [(place, group) for place, group in groups if len(group) >= FEWEST_FOR_AN_INTERVAL]
    if groups:
        means = [group.mean() for _, group in groups]
        widths = [t.ppf(0.975, len(g) - 1) * g.std(ddof=1) / len(g) ** 0.5 for _, g in groups]
        axes.errorbar([place + 0.28 for place, _ in groups], means, yerr=widths, fmt="_", color=INK, ms=9,
                      capsize=2, elinewidth=1, label="mean of the trials, 95 % interval")  # fmt: skip


def _heat_map(outcomes: Outcomes) -> "Figure | None":
    """Scores over the two most important parameters, or the first two: cells of a grid, else a mark a trial."""
    by_importance = [*outcomes.importance, *outcomes.space]
    keys = [key for key in dict.fromkeys(by_importance) if not is_seed(key)][:2]
    finished = [(trial, score) for trial, score in outcomes.finished if set(keys) <= set(trial.current)]
    if len(keys) < 2 or len(finished) < 2:
        return None
    horizontal, vertical = (ParameterAxis(outcomes, key) for key in keys)
    scores = 100 * np.array([score for _, score in finished])
    x, y = (axis.places([trial for trial, _ in finished]) for axis in (horizontal, vertical))
    figure = new_figure(5.6, 4.0)
    axes = figure.subplots()
    for axis, which in ((horizontal, "x"), (vertical, "y")):
        axis.set_up(axes, which)
    if horizontal.values and vertical.values:
        sums, counts = np.zeros((2, len(vertical.values), len(horizontal.values)))
        np.add.at(sums, (y.astype(int), x.astype(int)), scores)
        np.add.at(counts, (y.astype(int), x.astype(int)), 1)
        means = np.ma.masked_invalid(
            np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
        )
        image: Any = axes.imshow(means, cmap=_score_colours(), origin="lower", aspect="auto")
        _write_cells(axes, means, outcomes, (horizontal, vertical))
        note = "mean score of the finished trials" if counts.max() > 1 else "score"
    else:
        image = axes.scatter(x, y, c=scores, cmap=_score_colours(), s=45, edgecolors=INK, linewidths=0.4)
        stopped = [t for t in outcomes.trials if t.status is Status.STOPPED and set(keys) <= set(t.current)]
        axes.scatter(horizontal.places(stopped), vertical.places(stopped), s=14, c=STATUS_COLOURS[Status.STOPPED],
                     marker="x", linewidths=1, zorder=0)  # fmt: skip
        note = "score of each trial" + ("; crosses were stopped early" if stopped else "")
    if outcomes.sources:
        width = 100 * half_interval(finished[0][1], outcomes.sources)
        note += f", ± {width:.0f} points (95 %, {outcomes.sources} sources)"
    axes.set_title(note, fontweight="normal", fontsize=9, color=SOFT)
    bar = figure.colorbar(image, ax=axes, label="score (%)")
    bar.outline.set_visible(False)
    return figure


def _write_cells(
    axes: "Axes", means: Any, outcomes: Outcomes, both: tuple[ParameterAxis, ParameterAxis]
) -> None:
    """Write each cell's score into it, or how its trials ended."""
    keys = {axis.key for axis in both}
    low, high = means.min(), means.max()
    for row, column in np.ndindex(means.shape):
        if not means.mask[row, column] if np.ma.is_masked(means) else True:
            dark = means[row, column] > (low + high) / 2
            axes.text(column, row, f"{means[row, column]:.1f}", ha="center", va="center", fontsize=8,
                      color="white" if dark else INK)  # fmt: skip
    for trial in outcomes.trials:
        if keys <= set(trial.current) and trial.status.ended and trial.status is not Status.FINISHED:
            column, row = (int(axis.places([trial])[0]) for axis in both)
            if means.mask[row, column]:
                axes.text(column, row, status_words(trial.status).replace(" ", "\n"), ha="center", va="center",
                          fontsize=7, color=SOFT)  # fmt: skip


def _importance(outcomes: Outcomes) -> "Figure | None":
    """A bar a parameter: the share of the scores' variance that it explains."""
    shares = outcomes.importance
    if not shares:
        return None
    figure = new_figure(5.6, 0.9 + 0.32 * len(shares))
    axes = figure.subplots()
    labels = [ParameterAxis(outcomes, key).label for key in shares]
    bars = axes.barh(labels[::-1], [100 * share for share in shares.values()][::-1], color=ACCENT, height=0.6)
    axes.bar_label(bars, fmt="%.0f %%", padding=3, fontsize=8)
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"share of the scores' variance explained (%), fANOVA of {len(outcomes.finished)} trials")
    return figure


def _learning_curves(outcomes: Outcomes) -> "Figure | None":
    """The intermediate scores of each trial over the share of its training."""
    shown = [trial for trial in outcomes.trials if trial.intermediate_scores and trial.steps]
    if not shown:
        return None
    figure = new_figure(5.6, 3.8)
    axes = figure.subplots()
    best = outcomes.finished[0][0] if outcomes.finished else None
    labelled = set()
    for trial in sorted(shown, key=lambda trial: (trial is best, trial.status is Status.FINISHED)):
        label = "best" if trial is best else status_words(trial.status)
        scores = trial.intermediate_scores
        axes.plot([100 * one.step / trial.steps for one in scores],
                  [100 * one.score for one in scores], marker="." if len(scores) < 12 else "",
                  color=INK if trial is best else STATUS_COLOURS[trial.status],
                  linewidth=2 if trial is best else 1, alpha=1 if trial is best or len(shown) < 40 else 0.5,
                  label=None if label in labelled else label)  # fmt: skip
        labelled.add(label)
    _draw_chance([axes], outcomes)
    axes.set_xlabel("share of the training (%)")
    axes.set_ylabel("k-NN score of validation clips (%)")
    axes.grid(axis="y", color=LINE, linewidth=0.5)
    figure.tight_layout(rect=(0, 0, 1, 0.96))
    _draw_legend(figure)
    return figure


def _score_colours() -> "Colormap":
    """From pale, for the lowest score, over our accent to nearly black for the best."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("score", ["#ece7d8", "#a9d3c6", "#4fa79d", ACCENT, "#0b3d3a"])


def _draw_chance(panels: Sequence["Axes"], outcomes: Outcomes) -> None:
    """A line at the score of guessing, unless that is far below all scores."""
    low, high = panels[0].get_ylim()
    if outcomes.chance is not None and 100 * outcomes.chance > low - (high - low) / 2:
        for axes in panels:
            axes.axhline(100 * outcomes.chance, color=SOFT, linewidth=1, linestyle=":", label="chance")


def _draw_legend(figure: "Figure") -> None:
    """Explain the marks of all axes above the figure, each once."""
    marks = [one for axes in figure.axes for one in zip(*axes.get_legend_handles_labels(), strict=True)]
    by_label = {label: handle for handle, label in marks}
    figure.legend(by_label.values(), by_label.keys(), loc="upper left", ncols=5, frameon=False, fontsize=8,
                  labelcolor=SOFT, handletextpad=0.4, columnspacing=1.3, borderaxespad=0.1)  # fmt: skip


# By the name of the file, without `.png`: what it shows, for those who do not see it, and what draws it.
FIGURES: dict[str, tuple[str, Callable[[Outcomes], "Figure | None"]]] = {
    "score_by_parameter": ("Score over the values of each parameter", _score_by_parameter),
    "heat_map": ("Score over two parameters", _heat_map),
    "importance": ("Importance of the parameters", _importance),
    "learning_curves": ("Intermediate scores in the course of the training", _learning_curves),
}
