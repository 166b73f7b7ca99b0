"""Stand-ins for the task of a worker process, that kill it or never end, as a fault of the decoder would."""

import os
import signal
import time
from pathlib import Path

from echopair.pipeline.workers import File, Outcome, decode_task, limited_time

DEADLY = "deadly.wav"
ENDLESS = "endless.wav"


def decode_or_die(task: list[File], folder: Path) -> list[Outcome]:
    """Decode a task up to the file of one name, which kills the process."""
    outcomes = []
    for file in task:
        if file.path.endswith(DEADLY):
            die()
        outcomes += decode_task([file], folder)
    return outcomes


def die(*_task: object) -> list[Outcome]:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def decode_or_hang(task: list[File], folder: Path) -> list[Outcome]:
    """Decode a task up to the file of one name, with which the process is busy for ever."""
    outcomes = []
    for file in task:
        if file.path.endswith(ENDLESS):
            with limited_time(file.path):
                time.sleep(100)
        outcomes += decode_task([file], folder)
    return outcomes
