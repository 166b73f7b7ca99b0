"""Delays Ctrl-C during a request to a database."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

HELD_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def defer_interruption() -> Iterator[None]:
    """Delay SIGINT and SIGTERM until the body ends; a second one is not delayed.

    An exception in the middle of a transaction leaves the database locked for the request that ends the run. The
    body must be short. Only the main thread can be interrupted: in any other this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    handlers = {number: signal.getsignal(number) for number in HELD_SIGNALS}

    def hold(number: int, _frame: FrameType | None) -> None:
        if held:  # whoever asks twice does not want to wait
            raise KeyboardInterrupt
        held.append(number)

    try:
        for number in handlers:
            signal.signal(number, hold)
        yield
    finally:
        for number, handler in handlers.items():
            # None: a handler of another library, which Python cannot put back; there is none here.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if held:
            signal.raise_signal(held[0])
