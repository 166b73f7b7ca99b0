"""The one kind of error that is shown to a person without a traceback, and what a mistyped word was meant to be."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something a person can fix: the message names the file or key, its value and the remedy.

    The command line prints it in a line or two and exits with status 2.
    """


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The nearest known word as the end of a message: "; did you mean 'x'?", or nothing if none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
