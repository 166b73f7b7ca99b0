"""Time and memory by the number of pairs in a batch: of NT-Xent alone, and of a training step.

    python -m tests.benchmarks.large_batches [--rounds 3]

NT-Xent, forward and backward, of two views with 128 dimensions in float32: in blocks, from the whole matrix, and by
lightly. A training step of an encoder of width 16 with a coarse stem on views of 0.96 s (64 bands, 96 frames): with
all views at once, and in chunks. Each figure comes from processes of their own with one thread, which take turns: the
median CPU time of a call, and the memory that it takes beyond a call on few pairs and its inputs.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from echopair.models.encoders import ResNetConfig, build_encoder
from echopair.models.losses import blocks
from echopair.models.losses.nt_xent import nt_xent
from echopair.models.methods import Batch, LearningData, SimCLRConfig
from echopair.models.projection import ProjectionConfig
from tests.benchmarks.measuring import Figure

TEMPERATURE = 0.2
LOSSES = ("blocks", "matrix", "lightly")
REFERENCES = {"matrix": "the whole matrix", "lightly": "lightly"}
LOSS_PAIRS, LARGEST_MATRIX_PAIRS = (256, 512, 1024, 4096, 8192, 16384), 4096
CHUNKS = ("all", "512", "128")
STEP_PAIRS = (256, 1024)
FEW_PAIRS = 64


def loss_call(form: str) -> tuple[Callable[[torch.Tensor], torch.Tensor], tuple[int, ...]]:
    """NT-Xent by one of `LOSSES`, and the shape of a projection."""
    if form == "matrix":
        blocks.BLOCK_VALUES["cpu"] = sys.maxsize
    if form == "lightly":
        from lightly.loss import NTXentLoss

        loss = NTXentLoss(temperature=TEMPERATURE)
        return lambda projections: loss(*projections), (128,)
    return lambda projections: nt_xent(projections, TEMPERATURE), (128,)


def step_call(chunk: str) -> tuple[Callable[[torch.Tensor], torch.Tensor], tuple[int, ...]]:
    """A training step with one of `CHUNKS` of views at once, and the shape of a view."""
    encoder = build_encoder(ResNetConfig(width=16, stem="coarse")).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    method = SimCLRConfig().build(encoder, ProjectionConfig(), LearningData())
    at_once = None if chunk == "all" else int(chunk)

    def loss(views: torch.Tensor) -> torch.Tensor:
        clips = torch.arange(views.shape[1])
        batch = Batch(views.unbind(), clips, None, torch.Generator(), views_at_once=at_once)
        return method.training_step(batch).loss

    return loss, (1, 64, 96)


def measure(what: str, pairs: int) -> None:
    """Print the median CPU seconds of a call and the MB that it takes; in a process of its own."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    call, shape = loss_call(what) if what in LOSSES else step_call(what)

    def seconds(number: int) -> float:
        inputs = torch.randn(2, number, *shape, requires_grad=what in LOSSES)
        before = time.process_time()
        call(inputs).backward()  # type: ignore[no-untyped-call]
        return time.process_time() - before

    for _ in range(3):
        seconds(FEW_PAIRS)
    base = _peak_mb()
    repeats = max(1, min(10, 8192 // pairs))
    median = statistics.median(seconds(pairs) for _ in range(repeats))
    print(median, _peak_mb() - base - 2 * pairs * torch.Size(shape).numel() * 4 / 2**20)


def _peak_mb() -> float:
    """Largest memory of this process. `ru_maxrss` would begin with that of the process which started it."""
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM:"))
    return int(line.split()[1]) / 2**10


def measured(title: str, columns: Sequence[str], pairs: Sequence[int], rounds: int) -> Table:
    """A table of medians over some rounds, in which the columns take turns."""
    table = Table(title, *(f"{column}, ms (MB)" for column in columns), box=None)
    for number in pairs:
        run = [one for one in columns if one not in LOSSES[1:] or number <= LARGEST_MATRIX_PAIRS]
        found = medians(run, number, rounds)
        cells = [f"{ms:.0f} ({mb:.0f})" for ms, mb in found.values()]
        table.add_row(str(number), *cells)
    return table


def medians(forms: Sequence[str], pairs: int, rounds: int) -> dict[str, tuple[float, float]]:
    """Milliseconds and MB of each form over some rounds, in which they take turns."""
    found: dict[str, list[tuple[float, float]]] = {form: [] for form in forms}
    for form in [*forms] * rounds:
        command = [sys.executable, "-m", "tests.benchmarks.large_batches", "--measure", form, str(pairs)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        found[form].append((1000 * float(output[0]), float(output[1])))
    return {
        form: (statistics.median(ms for ms, _ in values), statistics.median(mb for _, mb in values))
        for form, values in found.items()
    }


def figures(work: Path, rounds: int, device: str) -> Iterator[Figure]:
    """NT-Xent beside the whole matrix and lightly, and a step in chunks beside one of all views, for the suite."""
    for pairs in (1024, 4096):  # up to 512 it is the whole matrix itself
        found = medians(LOSSES, pairs, min(rounds, 2))
        ours = found.pop("blocks")
        for form, theirs in found.items():
            for unit, a, b in zip(("ms", "MB"), ours, theirs, strict=True):
                yield Figure(f"NT-Xent, {pairs:,} pairs", REFERENCES[form], unit, a, b)
    whole, chunks = medians(("all", "128"), 1024, 1).values()
    for unit, a, b in zip(("ms", "MB"), chunks, whole, strict=True):
        yield Figure("step of 1,024 pairs, views_at_once=128", "all views at once", unit, a, b)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=1, help="processes for each figure")
    arguments.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.measure:
        measure(given.measure[0], int(given.measure[1]))
        return
    console = Console(width=120)
    with console.status("large batches"):
        console.print(measured("NT-Xent, pairs", LOSSES, LOSS_PAIRS, given.rounds))
        console.print(measured("training step, pairs; views at once:", CHUNKS, STEP_PAIRS, given.rounds))


if __name__ == "__main__":
    main()
