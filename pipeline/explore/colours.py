"""Colours of the map that people who see few colours tell apart, for a light and a dark page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from echopair.lazy import np

RAMP_COLOURS = 48
# petroff10 has two greys, which are taken last: they resemble that of rows without a value.
GREYS_LAST = (0, 1, 2, 4, 5, 6, 7, 9, 3, 8)


def map_colours() -> dict[str, dict[str, list[str]]]:
    """Hexadecimal colours by use and theme, `light` and `dark`.

    `categories`: of categories, most frequent first. `ramp`: of one hue, from the lowest value to the
    highest, which stands out from the background. `day`: around the clock from midnight, when it is darkest.

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


def _hexadecimal(colours: Iterable[Any]) -> list[str]:
    from matplotlib.colors import to_hex

    return [to_hex(one) for one in colours]
