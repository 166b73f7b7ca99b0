"""Ctrl-C while a request is on its way to a database."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

HELD_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruption_later() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back until the body is done; the last one that came is then delivered.

    An exception in the middle of a transaction leaves the database locked for the request that ends the run. The
    body must be short. Only the main thread can be interrupted: in any other this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    handlers = {number: signal.getsignal(number) for number in HELD_SIGNALS}
    for number in handlers:
        signal.signal(number, lambda number, frame: held.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            # None: a handler of another library, which Python cannot put back; there is none here.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if held:
            signal.raise_signal(held[-1][0])
