"""What the figures of a sweep have in common: axes of parameters, colours of scores, the line of chance, legends."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from echopair.pipeline.figure_style import ACCENT, SOFT
from echopair.tuning.distributions import Choices, Grid
from echopair.tuning.report.outcomes import Outcomes
from echopair.tuning.texts import cut, short_keys, value_text
from echopair.tuning.trials import Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

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


def score_colours() -> "Colormap":
    """From pale, for the lowest score, over our accent to nearly black for the best."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("score", ["#ece7d8", "#a9d3c6", "#4fa79d", ACCENT, "#0b3d3a"])


def draw_chance(panels: Sequence["Axes"], outcomes: Outcomes) -> None:
    """A line at the score of guessing, unless that is far below all scores."""
    low, high = panels[0].get_ylim()
    if outcomes.chance is not None and 100 * outcomes.chance > low - (high - low) / 2:
        for axes in panels:
            axes.axhline(100 * outcomes.chance, color=SOFT, linewidth=1, linestyle=":", label="chance")


def draw_legend(figure: "Figure") -> None:
    """Explain the marks of all axes above the figure, each once."""
    marks = [one for axes in figure.axes for one in zip(*axes.get_legend_handles_labels(), strict=True)]
    by_label = {label: handle for handle, label in marks}
    figure.legend(by_label.values(), by_label.keys(), loc="upper left", ncols=5, frameon=False, fontsize=8,
                  labelcolor=SOFT, handletextpad=0.4, columnspacing=1.3, borderaxespad=0.1)  # fmt: skip
