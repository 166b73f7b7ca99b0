"""Runs that are killed by SIGKILL at random moments, started again, and must come to the same result bit for bit.

    python -m tests.torture.kills [--rounds 20 | --until 03:10] [--seed 0] [--only run ...]

A round is one work folder: a stage (prepare, pretrain or the whole run) is started and killed one to four times, then
it runs undisturbed. It prints one line. The exit status is 1 if a round came to another result, left a temporary file
or process, or has anything but one finished run in MLflow. `tests/benchmarks/sweep_kills.py` does the same to sweeps.
"""

import argparse
import hashlib
import importlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

SETTINGS = (
    "threads=1",
    "pretrain.steps=40",
    "pretrain.checkpoint_every_seconds=0.2",
    "pretrain.log_every_steps=1",
    "prepare.workers=1",
)
STAGES = ("prepare", "pretrain", "run")
MOST_KILLS = 4
# What a clock decides.
TIMES = ("pairs_per_second", "data_wait_share", "peak_memory_mb", "seconds")
LEFT_SECONDS = 10.0


def load() -> None:
    """Import what a run needs, so that a forked process starts at once; a pool's workers do not call this."""
    for module in (
        "echopair.pipeline.run",
        "echopair.pipeline.evaluation.probe",
        "echopair.pipeline.figures",
        "echopair.pipeline.training.preview",
        "echopair.tuning.cli",
        "librosa.display",
        "mlflow.pyfunc",
        "mlflow.store.tracking.sqlalchemy_store",
        "sklearn.linear_model",
        "tests.pipeline.test_run",
        "tests.tuning.conftest",
        "torchaudio",
    ):
        importlib.import_module(module)


class Started:
    """`echopair STAGE` of a file or preset in a process of its own, in a new session."""

    def __init__(self, stage: str, file: Path | str, work: Path, settings: Sequence[str] = SETTINGS) -> None:
        self.said = work.with_name(work.name + ".txt")
        self.token = f"ECHOPAIR_TORTURE={work}"
        self.status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            self._work(["echopair", stage, str(file), f"work_folder={work}", *settings])

    def _work(self, arguments: list[str]) -> None:
        status = 1
        try:
            os.setsid()
            output = os.open(self.said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            name, _, value = self.token.partition("=")
            os.environ[name] = value  # its children are found by it
            sys.argv = arguments
            from echopair.tuning.cli import main as echopair

            echopair()
        except SystemExit as ended:
            status = int(ended.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def ended_within(self, seconds: float) -> bool:
        """Wait for its end; False if it works on after so many seconds."""
        deadline = time.monotonic() + seconds
        while self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                return False
            else:
                time.sleep(0.005)
        return True

    def kill(self) -> None:
        """SIGKILL to the process alone; its children must end by themselves."""
        os.kill(self.pid, signal.SIGKILL)
        self.ended_within(60)


def undisturbed(stage: str, file: Path | str, work: Path, settings: Sequence[str] = SETTINGS) -> float:
    """Run a stage to its end; returns the seconds it took."""
    began = time.monotonic()
    process = Started(stage, file, work, settings)
    if not process.ended_within(3600) or process.status:
        process.kill() if process.status is None else None
        raise AssertionError(f"exit status {process.status}: {process.said.read_text()[-2000:]}")
    return time.monotonic() - began


def result_of(work: Path) -> dict[str, Any]:
    """All that must be equal, whatever happened on the way; fails on temporary files and on runs without an end."""
    left = [
        str(file)
        for file in work.rglob("*")
        if file.suffix in (".partial", ".new") and "runs" not in str(file)
    ]
    assert not left, f"left behind: {left}"
    found: dict[str, Any] = {}
    for marker in work.glob("*/*/done.json"):
        content = _without_times(json.loads(marker.read_text()))
        found[str(marker.relative_to(work))] = content
    for pattern in ("encoders/*/encoder/*", "embeddings/*/*.npz", "evaluations/*/*.csv"):
        for file in work.glob(pattern):
            found[str(file.relative_to(work))] = hashlib.sha256(file.read_bytes()).hexdigest()
    for file in work.glob("encoders/*/metrics.jsonl"):
        found["metrics"] = [_without_times(json.loads(line)) for line in file.read_text().splitlines()]
    return found | {"mlflow": _tracked(work / "mlflow.db")}


def _without_times(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in (*TIMES, "folder")}


def _tracked(database: Path) -> dict[str, Any]:
    if not database.is_file():
        return {}
    with closing(sqlite3.connect(database)) as connection:
        runs = connection.execute("select run_uuid, status from runs").fetchall()
        assert [status for _, status in runs] == ["FINISHED"], f"runs in MLflow: {runs}"
        points = connection.execute(
            "select key, step, value, is_nan from metrics order by key, step"
        ).fetchall()
        models = connection.execute(
            "select status from logged_models where lifecycle_stage = 'active'"
        ).fetchall()
    doubled = {point[:2] for point in points if [other[:2] for other in points].count(point[:2]) > 1}
    assert not doubled, f"metrics stored twice: {sorted(doubled)[:3]}"
    kept = [point for point in points if not point[0].endswith(TIMES)]
    return {"metrics": kept, "models": len(models)}


def play(
    stage: str, seed: int, file: Path, work: Path, seconds: float, oracle: Mapping[str, Any]
) -> tuple[int, str]:
    """One round; returns the kills that hit a process at work, and what was done when."""
    draw = random.Random(f"{stage} {seed}")
    from tests.tuning.conftest import processes_with

    kills, notes = 0, []
    for _ in range(draw.randint(1, MOST_KILLS)):
        process = Started(stage, file, work)
        after = draw.uniform(0, seconds)
        if process.ended_within(after):
            assert process.status == 0, f"exit status {process.status}: {process.said.read_text()[-2000:]}"
            notes.append(f"{after:.2f} s (was done)")
            continue
        process.kill()
        kills += 1
        done = re.findall(
            "^(prepare|pretrain|embed|probe)[^:\n]*: ", process.said.read_text(errors="replace"), re.M
        )
        notes.append(f"{after:.2f} s after {done[-1] if done else 'the start'}")
    _wait_for(lambda: not processes_with(process.token), "its processes to end")
    undisturbed(stage, file, work)
    found = result_of(work)
    different = sorted(key for key in oracle.keys() | found.keys() if oracle.get(key) != found.get(key))
    assert not different, f"differs in {different}"
    return kills, "; ".join(notes)


def _wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LEFT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {LEFT_SECONDS:g} s for {what}"
        time.sleep(0.05)


def main() -> None:
    """Play the rounds and print a line of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20, help="of each stage")
    parser.add_argument("--until", metavar="HH:MM", help="begin no round after this time of today")
    parser.add_argument("--seed", type=int, default=0, help="of the first round; the others count on from it")
    parser.add_argument("--only", action="append", choices=STAGES, metavar="STAGE", help=", ".join(STAGES))
    arguments = parser.parse_args()
    load()
    from tests.pipeline.test_run import write_config

    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    file = write_config(folder)
    stages = arguments.only or STAGES
    times, oracles = {}, {}
    for stage in stages:
        times[stage] = undisturbed(stage, file, folder / f"oracle-{stage}")
        oracles[stage] = result_of(folder / f"oracle-{stage}")
        print(f"{stage} undisturbed: {times[stage]:.1f} s, {len(oracles[stage])} results", flush=True)
    played = kills = violations = 0
    for seed in range(arguments.seed, arguments.seed + arguments.rounds):
        for stage in stages:
            if arguments.until and datetime.now().strftime("%H:%M") >= arguments.until:
                break
            work = folder / f"{stage}-{seed}"
            played += 1
            try:
                hit, note = play(stage, seed, file, work, times[stage], oracles[stage])
                kills += hit
                verdict = "equal"
                shutil.rmtree(work)
            except AssertionError as error:
                violations += 1
                note, verdict = "", f"VIOLATION ({error}), see {work}"
            print(f"seed {seed} {stage:<8} {note}  {verdict}  ({kills} kills, {played} rounds)", flush=True)
    print(f"{kills} kills in {played} rounds, {played - violations} of them equal", flush=True)
    if violations:
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
