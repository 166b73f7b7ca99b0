import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from echopair.tuning.progress import SweepProgress
from echopair.tuning.trials import IntermediateScore, Status, Trial

ROOT = Path(__file__).parents[2]
KEYS = (
    "objective.temperature",
    "pretrain.learning_rate",
    "augment.strength",
    "encoder.width",
    "crops.positives.name",
    "augment.policy.augmentations",
)
MILESTONES = 9


def trial(number: int, status: Status, reached: int = 0, seconds: float = 60.0, error: str = "") -> Trial:
    readings = tuple(
        IntermediateScore(milestone=m, step=100 * m, score=0.3 + number / 1000, seconds=seconds * m / reached)
        for m in range(1, reached + 1)
    )
    return Trial(
        number=number,
        values={
            "objective.temperature": 0.00123 + number / 1000,
            "pretrain.learning_rate": 1.234e-5 * (number + 1),
            "augment.strength": 0.123 + number % 4,
            "encoder.width": 16 * (1 + number % 8),
            "crops.positives.name": ("two_offsets", "neighbours")[number % 2],
            "augment.policy.augmentations": ["mix_back", "gain", "tilt"],
        },
        status=status,
        score={Status.FINISHED: 0.5 + number / 1000, Status.DIVERGED: 0.0}.get(status),
        intermediate_scores=readings,
        seconds=seconds,
        attempts=1,
        error=error,
    )


def sweep(count: int, running: int) -> list[Trial]:
    """Half of the trials ended, some of the others running."""
    ends = (Status.FINISHED, Status.STOPPED, Status.STOPPED, Status.DIVERGED, Status.FAILED)
    ended = [
        trial(number, ends[number % 5], 9 if number % 5 == 0 else 2, 3599) for number in range(count // 2)
    ]
    return [*ended, *(trial(count // 2 + number, Status.RUNNING, 4, 3599) for number in range(running))]


def drawn(
    trials: Sequence[Trial], width: int, monkeypatch: pytest.MonkeyPatch, keys: Sequence[str] = KEYS
) -> list[str]:
    """What a terminal of some width shows, without the bar."""
    console = Console(width=width, height=50, file=io.StringIO(), record=True, highlight=False)
    monkeypatch.setattr("echopair.tuning.progress.console", console)
    console.print(SweepProgress("birds of the north", 400, keys, MILESTONES).drawn(trials))
    return console.export_text().rstrip("\n").split("\n")[1:]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(("count", "running", "shown"), [(16, 2, 2), (400, 64, 7)])
def test_the_table_fits_a_terminal(
    width: int, count: int, running: int, shown: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = sweep(count, running)
    lines = drawn(trials, width, monkeypatch)
    assert max(map(cell_len, lines)) <= width
    assert len(lines) <= 16
    assert not any(re.search(r"\d…", line) for line in lines[2:])
    rows = [line for line in lines if re.search(r"\d/9 ", line)]
    assert len([line for line in rows if "4/9" in line]) == shown
    assert any(line == f"... and {running - shown} more running" for line in lines) == (shown < running)
    for number, line in ((int(line.split()[0]), line) for line in rows):
        assert f"{trials[number].latest or 0:.1%}".replace("%", " %") in line
        assert "59:59 min" in line
        assert f" {16 * (1 + number % 8)} " in line


def test_running_trials_come_before_the_best_that_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = drawn(sweep(16, 2), 80, monkeypatch, KEYS[:2])
    assert lines[0] == "2 finished, 4 stopped early, 1 diverged, 1 failed, 2 running, best score 50.5 %"
    assert [line.split()[0] for line in lines[4:]] == ["8", "9", "5", "0"]
    assert lines[3].split() == ["trial", "score", "temperature", "rate", "done", "k-NN", "time"]
    assert "4/9" in lines[4]
    assert "50.5 %" in lines[6]
    assert "9/9 30.5 %" in lines[6]


def test_before_a_trial_finishes_the_best_are_intermediate_scores_and_called_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trials = [trial(0, Status.STOPPED, 2), trial(1, Status.STOPPED, 3), trial(2, Status.RUNNING)]
    lines = drawn(trials, 80, monkeypatch)
    assert lines[0].endswith("best k-NN score so far 30.1 %")
    assert [line.split()[0] for line in lines[4:]] == ["2", "1", "0"]


def printed(capsys: pytest.CaptureFixture[str], *shown: Sequence[Trial]) -> list[str]:
    with SweepProgress("birds", 16, KEYS[:2], MILESTONES) as progress:
        for trials in shown:
            progress.show(trials)
    return capsys.readouterr().err.splitlines()


def test_a_log_has_one_line_for_each_end(capsys: pytest.CaptureFixture[str]) -> None:
    running = [trial(number, Status.RUNNING, 2) for number in range(4)]
    ended = [
        trial(0, Status.FINISHED, 9, 72),
        trial(1, Status.STOPPED, 2),
        trial(2, Status.DIVERGED, 1, error="the loss was not finite at step 40"),
        trial(3, Status.FAILED, 0, error='Traceback:\n  File "trial.py"\nOSError: [Errno 28] disk is full'),
    ]
    assert printed(capsys, running, [ended[0], *running[1:]], ended, ended) == [
        "trial 0 finished: 50.0 %, temperature 0.00123, learning rate 1.23e-05, 1:12 min (1 of 16 ended)",
        "trial 1 stopped early at 2/9: 30.1 %, temperature 0.00223, learning rate 2.47e-05, 1:00 min (4 of 16 ended)",
        "trial 2 diverged: the loss was not finite at step 40; "
        "temperature 0.00323, learning rate 3.7e-05, 1:00 min (4 of 16 ended)",
        "trial 3 failed: OSError: [Errno 28] disk is full; "
        "temperature 0.00423, learning rate 4.94e-05, 1:00 min (4 of 16 ended)",
    ]


def test_a_log_of_a_resumed_sweep_sums_what_ended_before(capsys: pytest.CaptureFixture[str]) -> None:
    before = [trial(number, Status.FINISHED, 9) for number in range(5)]
    lines = printed(capsys, [*before, trial(5, Status.RUNNING)], [*before, trial(5, Status.STOPPED, 1)])
    assert lines[0] == "continues: 5 of 16 trials ended before"
    assert [line.split(":")[0] for line in lines[1:]] == ["trial 5 stopped early at 1/9"]
    assert "(6 of 16 ended)" in lines[1]


def test_a_log_tells_of_another_attempt_once(capsys: pytest.CaptureFixture[str]) -> None:
    first = trial(0, Status.RUNNING)
    second = first.model_copy(update={"attempts": 2})
    assert printed(capsys, [first], [second], [second]) == ["trial 0 begins again, attempt 2"]
    crashed = second.model_copy(update={"error": "OSError: no space left"})
    assert printed(capsys, [first], [crashed]) == ["trial 0 begins again, attempt 2: OSError: no space left"]
    assert printed(capsys, [second], [second]) == []


SCREEN_ROWS, SCREEN_COLUMNS = 24, 80
SHOW_CURSOR, HIDE_CURSOR = "\x1b[?25h", "\x1b[?25l"

PROGRAM = """
import os, signal, sys, time
from tests.tuning.test_progress import KEYS, sweep, trial
from echopair.pipeline.progress import console
from echopair.tuning.progress import SweepProgress
from echopair.tuning.trials import Status

signal.alarm(60)  # no test waits for ever
print("before")
try:
    with SweepProgress("birds", 16, KEYS, 9) as progress:
        for step in range(300):
            progress.show(sweep(16, 1 + step % 2))
            time.sleep(0.002)
        console.print("a line that is said")
        print("a line that is printed")
        progress.show([*sweep(16, 1)[:-1], trial(8, Status.FAILED, error="disk [full]")])
        time.sleep(1.2)
        os.write(2, b"\\x00")  # tells the test to look at the screen
        time.sleep(0.1)
        {end}
except KeyboardInterrupt:
    pass
print("after")
"""


class Screen:
    """A terminal of 24 lines of 80 characters, as far as a live table needs one."""

    def __init__(self) -> None:
        self.lines = [""]
        self.row = self.column = 0

    def write(self, text: str) -> None:
        for token in re.findall(r"\x1b\[\??[\d;]*[A-Za-z]|.", text, re.DOTALL):
            self._take(token)

    def _take(self, token: str) -> None:
        match token[0], token[-1]:
            case "\x1b", "A":
                self.row -= int(token[2:-1])
                assert self.row >= max(0, len(self.lines) - SCREEN_ROWS), "above the screen"
            case "\x1b", "K":
                self.lines[self.row] = ""
            case "\x1b", _:
                assert token.endswith("m") or token in (SHOW_CURSOR, HIDE_CURSOR), f"unknown {token!r}"
            case "\r", _:
                self.column = 0
            case "\n", _:
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            case _:
                if self.column == SCREEN_COLUMNS:
                    self._take("\n")
                    self._take("\r")
                line = self.lines[self.row]
                self.lines[self.row] = (
                    line[: self.column].ljust(self.column) + token + line[self.column + 1 :]
                )
                self.column += 1

    @property
    def text(self) -> list[str]:
        return [line.rstrip() for line in self.lines if line.strip()]


@pytest.mark.parametrize("end", ["pass", "os.kill(os.getpid(), signal.SIGINT)"])
def test_a_terminal_gets_one_table_in_place_that_is_gone_in_the_end(end: str) -> None:
    ours, theirs = pty.openpty()
    environment = {
        "PATH": os.environ["PATH"],
        "TERM": "xterm",
        "COLUMNS": str(SCREEN_COLUMNS),
        "LINES": str(SCREEN_ROWS),
        "PYTHONIOENCODING": "utf-8",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(end=end)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env=environment,
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            written += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert process.wait(timeout=20) == 0

    during, after = written.decode().split("\x00")
    screen = Screen()
    screen.write(during)
    assert screen.text[:3] == ["before", "a line that is said", "a line that is printed"]
    assert screen.text[3] == "trial 8 failed: disk [full]; temperature 0.00923, learning rate 0.000111,"
    table = "\n".join(screen.text)
    assert table.count("birds ━") == table.count("k-NN") == 1
    assert "9/16 ended" in table
    assert during.rfind(HIDE_CURSOR) > during.rfind(SHOW_CURSOR)
    # Three hundred changes are not three hundred drawings.
    assert during.count("k-NN") < 12

    screen.write(after)
    assert after.rfind(SHOW_CURSOR) > after.rfind(HIDE_CURSOR)
    assert screen.text[0] == "before"
    assert screen.text[-1] == "after"
    assert not any("k-NN" in line or "━" in line for line in screen.text)


def test_a_pipe_gets_lines_even_where_colours_are_forced() -> None:
    program = PROGRAM.format(end="pass")
    environment = {"PATH": os.environ["PATH"], "FORCE_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, env=environment, check=True
    )
    assert done.stdout.splitlines() == ["before", "a line that is printed", "after"]
    lines = done.stderr.replace("\x00", "").splitlines()
    assert [line.split(":")[0] for line in lines] == ["continues", "a line that is said", "trial 8 failed"]
    assert "\x1b" not in done.stderr
