"""Processes that run `echopair` or a function of a test, and can be killed.

They are forks of a process that has imported torch, MLflow and the like, which takes a new one some ten seconds.
"""

import atexit
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

CHARACTERS = 2000  # of each file, for messages
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.preloaded"])


@dataclass
class Started:
    """A process in a process group of its own, and the files that its output and its errors are written to."""

    process: ForkServerProcess
    output: Path
    errors: Path
    began: float = field(default_factory=time.monotonic)

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def status(self) -> int | None:
        """Exit status, negative for the signal that ended it; None while it runs."""
        return self.process.exitcode

    @property
    def ended(self) -> bool:
        return self.status is not None

    def ended_within(self, seconds: float) -> bool:
        """Wait for its end, at most for some seconds."""
        self.process.join(seconds)
        return self.ended

    def wait(self, seconds: float = 600) -> int:
        """Wait for its end; returns the exit status."""
        assert self.ended_within(seconds), f"runs after {seconds:g} s: {self.said}"
        assert self.status is not None
        return self.status

    def kill(self, number: signal.Signals = signal.SIGKILL, *, group: bool = False) -> None:
        """Send a signal to it, or to its whole process group, as a terminal does on Ctrl-C."""
        if not self.ended:
            (os.killpg if group else os.kill)(self.pid, number)

    @property
    def said(self) -> str:
        """The end of what it wrote."""
        return self.output.read_text()[-CHARACTERS:] + self.errors.read_text()[-CHARACTERS:]


def start(
    folder: Path,
    function: Callable[..., object],
    *arguments: Any,
    environment: Mapping[str, str] | None = None,
) -> Started:
    """Call a function of a module in a new process.

    Args:
        folder: gets two files with what the process writes.
        function: what it calls.
        arguments: of the function; they are pickled.
        environment: of the process, instead of that of this one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix="process-", suffix=".out", delete=False) as file:
        output = Path(file.name)
    errors = output.with_suffix(".err")
    errors.touch()
    environment = dict(os.environ if environment is None else environment)
    process = CONTEXT.Process(target=_call, args=(output, errors, environment, function, arguments))
    process.start()
    return Started(process, output, errors)


def start_echopair(
    folder: Path, *arguments: str | Path, environment: Mapping[str, str] | None = None
) -> Started:
    """Start `echopair ARGUMENTS` as the console script does."""
    return start(folder, run_echopair, *map(str, arguments), environment=environment)


def run_echopair(*arguments: str) -> None:
    """Run the command line in this process."""
    from echopair.tuning.cli import main

    sys.argv = ["echopair", *arguments]
    main()


def _call(
    output: Path,
    errors: Path,
    environment: Mapping[str, str],
    function: Callable[..., object],
    arguments: tuple[Any, ...],
) -> None:
    os.setpgid(0, 0)
    multiprocessing.set_start_method(None, force=True)  # the platform's own, as in any other process
    # Also where whoever started the tests ignores it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, file in ((1, output), (2, errors)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_APPEND), number)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # of this environment
    status = 1
    try:
        function(*arguments)
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        # In the order of an interpreter's end; multiprocessing would wait for joblib's workers before it stops them.
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
