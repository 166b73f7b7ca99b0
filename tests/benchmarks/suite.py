"""What echopair costs beside a reference that is measured in the same minutes, and how the cost grows.

    python -m tests.benchmarks.suite [--only GROUP ...] [--rounds 3] [--device cuda]

Writes `benchmarks.json`, `benchmarks.md` and `growth.png` below build/benchmarks, and prints the table beside the
ratios that were committed last (docs/benchmarks.json); one that is clearly lower is red. Every group has a process of
its own with one thread. Times are CPU time, on a GPU wall time; a ratio is the reference's time or memory over ours.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from tests.benchmarks import growth, large_batches, prepare_speed, probe_speed, training_step
from tests.benchmarks.measuring import Figure

REPOSITORY = Path(__file__).parents[2]
COMMITTED = REPOSITORY / "docs" / "benchmarks.json"
OUTPUT = REPOSITORY / "build" / "benchmarks"
GROUPS: dict[str, Callable[[Path, int, str], Iterator[Figure]]] = {
    "steps": training_step.training_steps,
    "embedding": training_step.embedding,
    "log_mels": training_step.log_mels,
    "losses": large_batches.figures,
    "prepare": prepare_speed.figures,
    "probe": probe_speed.figures,
}
ON_GPU = ("steps", "embedding", "log_mels")
NOTICEABLE = 0.85  # of the committed ratio; two measurements on one machine differ by a tenth


def machine(device: str) -> str:
    """What the figures belong to: processor, cores, accelerator, and the version of torch."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    parts = [models[0] if models else platform.processor(), f"{os.cpu_count()} cores"]
    if device != "cpu":
        parts.append(torch.cuda.get_device_name())
    return ", ".join([*parts, f"torch {torch.__version__}"])


def measured(group: str, work: Path, rounds: int, device: str) -> list[Figure]:
    """The figures of a group, from a process of its own."""
    # Not by -m, since worker processes would import this module and torch with it.
    code = (
        f"from tests.benchmarks.suite import measure; measure({group!r}, {str(work)!r}, {rounds}, {device!r})"
    )
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    return [Figure(**json.loads(line)) for line in output.splitlines() if line.startswith("{")]


def measure(group: str, work: str, rounds: int, device: str) -> None:
    """Print the figures of a group, a line of JSON each."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for figure in GROUPS[group](Path(work), rounds, device):
        print(json.dumps(asdict(figure)), flush=True)


def committed_ratios(device: str) -> dict[tuple[str, str, str], float]:
    """Of the last committed table of a device."""
    tables = json.loads(COMMITTED.read_text()) if COMMITTED.is_file() else {}
    figures = [Figure(**one) for one in tables.get(device, {}).get("figures", [])]
    return {figure.key: figure.ratio for figure in figures}


def markdown(figures: Sequence[Figure], heading: str) -> str:
    """The table of the docs."""
    rows = [
        f"| {one.what} | {one.ours:,.0f} {one.unit} | {one.reference} | {one.theirs:,.0f} {one.unit} "
        f"| {one.ratio:.2f} |"
        for one in figures
    ]
    return "\n".join(
        [heading, "", "| what | echopair | reference | | ratio |", "|---|---|---|---|---|", *rows, ""]
    )


def shown(figures: Sequence[Figure], before: dict[tuple[str, str, str], float]) -> Table:
    """The table of the terminal, with the committed ratios."""
    table = Table("what", "echopair", "reference", "", "ratio", "committed", box=None)
    for one in figures:
        last = before.get(one.key)
        slower = last is not None and one.ratio < NOTICEABLE * last
        table.add_row(
            one.what,
            f"{one.ours:,.0f} {one.unit}",
            one.reference,
            f"{one.theirs:,.0f} {one.unit}",
            f"{one.ratio:.2f}",
            "" if last is None else f"{last:.2f}",
            style="red" if slower else "",
        )
    return table


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--only", nargs="+", choices=[*GROUPS, "growth"], help="groups; by default all")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    given = arguments.parse_args()
    chosen = given.only or [*(GROUPS if given.device == "cpu" else ON_GPU), "growth"]
    console = Console(width=140)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        for group in chosen:
            with console.status(group):
                if group == "growth":
                    growth.draw(OUTPUT / "growth.png", Path(folder), given.device)
                else:
                    figures += measured(group, Path(folder), given.rounds, given.device)
    where = machine(given.device)
    table = {given.device: {"machine": where, "figures": [asdict(one) for one in figures]}}
    (OUTPUT / "benchmarks.json").write_text(json.dumps(table, indent=1) + "\n")
    (OUTPUT / "benchmarks.md").write_text(markdown(figures, where))
    console.print(where)
    console.print(shown(figures, committed_ratios(given.device)))
    console.print(f"Tables and picture: {OUTPUT}")


if __name__ == "__main__":
    main()
