"""Time and memory of NT-Xent, forward and backward: in blocks, from the whole matrix, and of lightly.

    python -m tests.benchmarks.contrastive_losses [--pairs 256 512 1024 4096 8192]

Two views of N pairs with 128 dimensions in float32. Each form has a process of its own, all forms take turns, and a
time is the median CPU time of several calls. Memory is what the process needs beyond its inputs, its gradient included,
once it has loaded everything by a call on few pairs. Forms that hold a matrix are left out above 4,096 pairs.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time

import torch
from rich.console import Console
from rich.table import Table

from echopair.models.losses import blocks
from echopair.models.losses.nt_xent import nt_xent

TEMPERATURE = 0.2
FORMS = ("blocks", "matrix", "lightly")
LARGEST_MATRIX_PAIRS = 4096
ROUNDS = 3


def loss_of(form: str, projections: torch.Tensor) -> torch.Tensor:
    """NT-Xent of projections (2, N, P), computed by one of the forms."""
    if form == "lightly":
        from lightly.loss import NTXentLoss

        loss: torch.Tensor = NTXentLoss(temperature=TEMPERATURE)(*projections)
        return loss
    if form == "matrix":
        blocks.BLOCK_VALUES["cpu"] = sys.maxsize
    return nt_xent(projections, TEMPERATURE)


def measure(form: str, pairs: int) -> None:
    """Print the median CPU seconds of a call and the MB that it takes; in a process of its own."""

    def call(number: int) -> float:
        projections = torch.randn(
            2, number, 128, generator=torch.Generator().manual_seed(0), requires_grad=True
        )
        before = time.process_time()
        loss_of(form, projections).backward()  # type: ignore[no-untyped-call]
        return time.process_time() - before

    for _ in range(3):
        call(64)
    inputs = 2 * pairs * 128 * 4 / 2**20
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    repeats = max(1, min(10, 4096 // pairs))
    seconds = [call(pairs) for _ in range(repeats + 1)][1:]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(statistics.median(seconds), peak - base - inputs)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--pairs", nargs="+", type=int, default=[256, 512, 1024, 4096, 8192])
    arguments.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.measure:
        measure(given.measure[0], int(given.measure[1]))
        return
    table = Table("pairs", *(f"{form}, ms (MB)" for form in FORMS), box=None)
    console = Console(width=140)
    for pairs in given.pairs:
        forms = [form for form in FORMS if form == "blocks" or pairs <= LARGEST_MATRIX_PAIRS]
        times: dict[str, list[float]] = {form: [] for form in forms}
        memory: dict[str, list[float]] = {form: [] for form in forms}
        with console.status(f"{pairs} pairs"):
            for _ in range(ROUNDS):
                for form in forms:
                    command = [sys.executable, "-m", "tests.benchmarks.contrastive_losses"]
                    command += ["--measure", form, str(pairs)]
                    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                    seconds, megabytes = output.split()
                    times[form].append(float(seconds))
                    memory[form].append(float(megabytes))
        cells = [
            f"{1000 * statistics.median(times[form]):.0f} ({statistics.median(memory[form]):.0f})"
            if form in forms
            else ""
            for form in FORMS
        ]
        table.add_row(str(pairs), *cells)
    console.print(table)


if __name__ == "__main__":
    main()
