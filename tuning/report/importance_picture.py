"""A picture of which parameters the differences between scores rest on."""

from collections.abc import Sequence
from pathlib import Path

from echopair.pipeline.figure_style import ACCENT, INK, new_figure, save, shortened, styled
from echopair.tuning.report.drawing import titled
from echopair.tuning.report.importance import REPEATS, Importance, importance
from echopair.tuning.report.parameters import Parameter, labels
from echopair.tuning.report.words import whole_percent
from echopair.tuning.trials import Trial

UNTRUSTED = "#c9cdd0"


def importance_picture(trials: Sequence[Trial], parameters: Sequence[Parameter], path: Path) -> bool:
    """Draw the importance of parameters as bars, the highest on top, with the spread over repeats.

    Args:
        trials: of which the finished ones count.
        parameters: those swept.
        path: PNG file to write.

    Returns:
        False, and nothing is written, where it cannot be told: see `why_no_importance`.
    """
    found = importance(trials, parameters)
    if found is None:
        return False
    _draw(found, labels(parameters), path)
    return True


@styled
def _draw(found: Importance, names: dict[str, str], path: Path) -> None:
    figure = new_figure(6.4, 1.0 + 0.4 * len(found.shares))
    axes = figure.subplots()
    for place, share in enumerate(found.shares):
        mean, low, high = (100 * max(0.0, value) for value in (share.mean, share.low, share.high))
        axes.barh(place, mean, height=0.62, color=ACCENT if found.trusted else UNTRUSTED)
        axes.plot([low, high], [place, place], color=INK, linewidth=1.1, marker="|", markersize=5)
        axes.annotate(
            f"{mean:.0f} %", (high, place), (6, 0), textcoords="offset points", va="center", fontsize=8
        )
    axes.set_yticks(
        range(len(found.shares)), [shortened(names[share.key], 28) for share in found.shares], color=INK
    )
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    longest = max([100.0, *(100 * share.high for share in found.shares)])
    axes.set_xlim(0, longest + 15)  # room for the figures beside a full bar
    axes.set_xticks(range(0, 101, 20))
    axes.spines["bottom"].set_bounds(0, 100)
    axes.set_xlabel("share of the predicted differences that rests on it (%)", loc="left")
    predicts = f"predicts {whole_percent(max(0.0, found.explained))} of the differences between {found.trials} scores"
    if found.trusted:
        title, end = "Which parameters matter", f"Lines: the least and the most of {REPEATS} forests."
    else:
        title, end = "Which parameters matter cannot be told", "Do not trust these bars."
    titled(axes, title, f"A random forest {predicts} that it had not seen.\n{end}")
    save(figure, path)
