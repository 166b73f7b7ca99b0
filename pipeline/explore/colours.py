"""Colours of the map that people who see few colours tell apart, for a light and a dark page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from echopair.lazy import np

RAMP_COLOURS = 48
CATEGORY_COLOURS = 10
# petroff10 has two greys, which are taken last: they resemble that of rows without a value.
GREYS_LAST = (0, 1, 2, 4, 5, 6, 7, 9, 3, 8)


def map_colours() -> dict[str, dict[str, list[str]]]:
    """Hexadecimal colours by use and theme, `light` and `dark`.

    `categories`: of categories, those of labels in the order of `coloured_classes`. `ramp`: of one hue, from the lowest
    value to the highest, which stands out from the background. `day`: around the clock from midnight, when it is
    darkest.

    Source: Petroff, Accessible Color Sequences for Data Visualization, 2021.
    """
    from matplotlib import color_sequences, colormaps

    categories = _hexadecimal(color_sequences["petroff10"][n] for n in GREYS_LAST)
    day = colormaps["twilight_shifted"](np.linspace(0, 1, RAMP_COLOURS))[:, :3]
    return {
        "categories": {"light": categories, "dark": categories},
        "ramp": {
            "light": _hexadecimal(colormaps["Blues"](np.linspace(0.25, 1, RAMP_COLOURS))),
            "dark": _hexadecimal(colormaps["Blues"](np.linspace(0.95, 0.15, RAMP_COLOURS))),
        },
        "day": {"light": _hexadecimal(0.85 * day), "dark": _hexadecimal(0.25 + 0.75 * day)},
    }


def coloured_classes(own: Iterable[str], given: Iterable[str]) -> list[str]:
    """Classes in the order in which they get colours, so that each keeps its colour whatever is labelled.

    The ten most frequent of the table's own labels come first, in alphabetical order, then its others, then new ones.

    Args:
        own: label of each row that the table came with, "" for none.
        given: labels that a person gave, the oldest first.
    """
    counts = Counter(one for one in own if one)
    frequent = sorted(counts, key=lambda name: (-counts[name], name))
    ordered = sorted(frequent[:CATEGORY_COLOURS]) + sorted(frequent[CATEGORY_COLOURS:])
    return list(dict.fromkeys([*ordered, *given]))


def _hexadecimal(colours: Iterable[Any]) -> list[str]:
    from matplotlib.colors import to_hex

    return [to_hex(one) for one in colours]
