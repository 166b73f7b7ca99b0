import signal
import threading
from collections.abc import Iterator

import pytest

from echopair.pipeline.tracking.interruption import HELD_SIGNALS, defer_interruption


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """As on a terminal: what a shell starts in the background ignores Ctrl-C from the start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interruption_comes_when_the_body_is_done() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), defer_interruption():
        signal.raise_signal(signal.SIGINT)
        done.append("rest of the body")
    assert done == ["rest of the body"]


def test_handlers_are_as_they_were_whatever_the_body_does() -> None:
    before = [signal.getsignal(number) for number in HELD_SIGNALS]
    with pytest.raises(ValueError, match="of the body"), defer_interruption():
        raise ValueError("of the body")
    with defer_interruption(), defer_interruption():
        pass
    assert [signal.getsignal(number) for number in HELD_SIGNALS] == before


def test_within_another_it_waits_for_the_outer_body() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), defer_interruption():
        with defer_interruption():
            signal.raise_signal(signal.SIGINT)
        done.append("outer")
    assert done == ["outer"]


def test_another_thread_is_left_alone() -> None:
    done = []

    def work() -> None:
        with defer_interruption():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
