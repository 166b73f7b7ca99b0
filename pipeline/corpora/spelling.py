"""Values that are one thing in several spellings: numbers, Unicode forms, capital letters and spaces."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

SPELLINGS_SHOWN = 3


def same_value(text: str) -> str:
    """The spelling that stands for a value: 1 for 01, 1.0 and +1; composed Unicode; no spaces around it."""
    text = unicodedata.normalize("NFC", text).strip()
    whole = re.fullmatch(r"\+?(-?)0*([0-9]+)(?:\.0*)?", text)
    return f"{whole[1]}{whole[2]}" if whole else text


def alike(text: str) -> str:
    """What two names share that a person reads as one: no capital letters, odd spaces or invisible marks."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(c for c in text if unicodedata.category(c) != "Cf").split())


def spellings(values: Iterable[str], same: Callable[[str], str]) -> list[list[str]]:
    """The values that are spelt in several ways, the most frequent spelling of each first."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for value in values:
        found[same(value)][value] += 1
    return [[value for value, _ in one.most_common()] for one in found.values() if len(one) > 1]


def in_words(several: list[list[str]]) -> str:
    """Spellings as text: "'Dog' and 'dog'", the first few of them."""
    shown = [" and ".join(map(repr, one)) for one in several[:SPELLINGS_SHOWN]]
    hidden = len(several) - len(shown)
    return "; ".join(shown) + (f"; and {hidden} more" if hidden else "")
