"""How pictures look: colours, letters, resolution."""

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, SOFT, LINE, ACCENT, PAPER = "#1f2428", "#646c73", "#d9d5cc", "#1b7f79", "#ffffff"
STYLE = {
    "font.family": "sans-serif",
    "text.parse_math": False,  # names of recordings may hold a $
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": 9,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "text.color": INK,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
}
DOTS_PER_INCH = 150

Arguments = ParamSpec("Arguments")


def styled(draw: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Draw in our style, and leave that of the caller's own plots alone."""

    @functools.wraps(draw)
    def in_style(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        import matplotlib

        with matplotlib.rc_context(STYLE):  # type: ignore[arg-type] # the stub lists every key as a literal
            draw(*args, **kwargs)

    return in_style


def new_figure(width_inches: float, height_inches: float) -> "Figure":
    """An empty figure, made without pyplot, which would keep it and is not safe in threads."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inches, height_inches))
    FigureCanvasAgg(figure)
    return figure


def save(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG, cut to what is drawn."""
    with warnings.catch_warnings():
        # Such a character is drawn as a box; the tables beside the figures have it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(path, dpi=DOTS_PER_INCH, format="png", bbox_inches="tight", pad_inches=0.12)


def shortened(name: str, characters: int) -> str:
    """The end of a long name, which tells recordings of one folder apart."""
    return name if len(name) <= characters else "…" + name[1 - characters :]
