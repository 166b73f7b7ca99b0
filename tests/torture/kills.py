"""Runs that are killed by SIGKILL at random moments, started again, and must come to the same result bit for bit.

    python -m tests.torture.kills [--rounds 20 | --until 03:10] [--seed 0] [--only run ...]

A round is one work folder: a stage (prepare, pretrain or the whole run) is started and killed one to four times, then
it runs undisturbed. It prints one line. The exit status is 1 if a round came to another result, left a temporary file
or process, or has anything but one finished run in MLflow. `tests/benchmarks/sweep_kills.py` does the same to sweeps.
"""

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.processes import Started, start_echopair

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


def token(work: Path) -> str:
    """What the environment of all processes of a work folder has."""
    return f"ECHOPAIR_TORTURE={work}"


def start_stage(stage: str, file: Path | str, work: Path, settings: Sequence[str] = SETTINGS) -> Started:
    """Start `echopair STAGE` of a file or preset in a process of its own."""
    name, _, value = token(work).partition("=")
    said = work.with_name(f"{work.name}-said")
    environment = {**os.environ, name: value}
    return start_echopair(said, stage, file, f"work_folder={work}", *settings, environment=environment)


def undisturbed(stage: str, file: Path | str, work: Path, settings: Sequence[str] = SETTINGS) -> Started:
    """Run a stage to its end."""
    process = start_stage(stage, file, work, settings)
    assert process.wait(3600) == 0, f"exit status {process.status}: {process.said}"
    return process


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
    from tests.ray_nodes import processes_with

    kills, notes = 0, []
    for _ in range(draw.randint(1, MOST_KILLS)):
        process = start_stage(stage, file, work)
        after = draw.uniform(0, seconds)
        if process.ended_within(after):
            assert process.status == 0, f"exit status {process.status}: {process.said}"
            notes.append(f"{after:.2f} s (was done)")
            continue
        process.kill()  # its children must end by themselves
        process.wait()
        kills += 1
        written = process.output.read_text(errors="replace") + process.errors.read_text(errors="replace")
        done = re.findall("^(prepare|pretrain|embed|probe)[^:\n]*: ", written, re.M)
        notes.append(f"{after:.2f} s after {done[-1] if done else 'the start'}")
    _wait_for(lambda: not processes_with(token(work)), "its processes to end")
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
    from tests.pipeline.test_run import write_config

    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    file = write_config(folder)
    stages = arguments.only or STAGES
    times, oracles = {}, {}
    for stage in stages:
        process = undisturbed(stage, file, folder / f"oracle-{stage}")
        times[stage] = time.monotonic() - process.began
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
