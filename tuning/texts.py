"""Values, scores, durations and outcomes of trials as texts."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from echopair.tuning.trials import Status, Trial

ERROR_CHARACTERS = 160
VALUE_CHARACTERS = 24
ITEMS_SHOWN = 2  # of a list or mapping that is a value
SIGNIFICANT_DIGITS = 3
Z_95 = 1.96


def short_keys(keys: Sequence[str]) -> list[str]:
    """Dotted keys as words: their last part, and as many parts before it as tell them apart.

    `name` chooses an alternative and says nothing itself, so `encoder.name` is called "encoder".
    """
    parts = [key.removesuffix(".name").split(".") for key in keys]
    taken = [1] * len(keys)
    while True:
        short = [" ".join(part[-count:]).replace("_", " ") for part, count in zip(parts, taken, strict=True)]
        counted = Counter(short)
        longer = [
            count + (counted[words] > 1 and count < len(part))
            for words, part, count in zip(short, parts, taken, strict=True)
        ]
        if longer == taken:
            return short
        taken = longer


def value_text(value: Any) -> str:
    """A swept value in a few characters: 3 significant digits, the first items of a list or mapping."""
    match value:
        case None:
            text = "none"
        case bool():
            text = str(value).lower()
        case float():
            text = f"{float(f'{value:.{SIGNIFICANT_DIGITS}g}'):g}"  # 7800 rather than 7.8e+03
        case Mapping():
            # {name: gain, max_gain_db: 3} is gain (max_gain_db 3).
            items = [f"{key} {value_text(item)}" for key, item in value.items() if key != "name"]
            text = f"{value.get('name', '')} ({_first_items(items)})" if items else str(value.get("name", ""))
        case list() | tuple():
            text = _first_items([value_text(item) for item in value])
        case _:
            text = str(value)
    return cut(" ".join(text.split()), VALUE_CHARACTERS)


def half_interval(score: float, sources: int) -> float:
    """Half the width of the 95 % interval of a share of so many independent clips (Agresti and Coull, 1998).

    Args:
        score: 0 to 1.
        sources: of the clips; clips of one source are alike, and count as one.
    """
    total = sources + Z_95**2
    share = (score * sources + Z_95**2 / 2) / total
    return Z_95 * math.sqrt(share * (1 - share) / total)


def score_text(score: float | None, sources: int | None = None) -> str:
    """A score in percent, with its 95 % interval where the number of sources is known: "64.1 ± 4.8 %"."""
    if score is None or not sources:
        return percent_text(score)
    return f"{100 * score:.1f} ± {100 * half_interval(score, sources):.1f} %"


def percent_text(share: float | None, digits: int = 1) -> str:
    """A share from 0 to 1 in percent; empty for None."""
    return "" if share is None else f"{100 * share:.{digits}f} %"


def duration_text(seconds: float) -> str:
    """A duration: 32 s, 1:12 min, 2:05 h."""
    whole_minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(whole_minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d} h"
    return f"{minutes}:{rest:02d} min" if minutes else f"{rest} s"


def error_line(message: str) -> str:
    """An error in one line, without colours; of a traceback, the line that says what went wrong."""
    lines = [line for line in Text.from_ansi(message).plain.splitlines() if line.strip()]
    if any(line.lstrip().startswith('File "') for line in lines):
        lines = lines[-1:]
    return cut(" ".join(" ".join(lines).split()), ERROR_CHARACTERS) or "no reason was given"


def status_words(status: Status) -> str:
    """A status in words."""
    return "stopped early" if status is Status.STOPPED else status.value


def final_score(trial: Trial) -> float | None:
    """The score of a trial that finished; that of a diverged one only means "worse than any"."""
    return trial.score if trial.status is Status.FINISHED else None


def last_intermediate(trial: Trial) -> float | None:
    """The last intermediate score; None before the first."""
    return trial.intermediate_scores[-1].score if trial.intermediate_scores else None


def done_share(trial: Trial) -> float:
    """Share of its whole training that a trial did, 0 to 1; a repetition after a crash is not counted."""
    if trial.status is Status.FINISHED:
        return 1.0
    return min(1.0, trial.step / trial.steps) if trial.steps else 0.0


def cut(text: str, width: int) -> str:
    """The text, or as much of it as fits a width and an ellipsis."""
    return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"


def _first_items(items: Sequence[str]) -> str:
    more = len(items) - ITEMS_SHOWN
    return ", ".join(items[:ITEMS_SHOWN]) + (f" +{more}" if more > 0 else "")
