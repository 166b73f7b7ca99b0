"""Time and memory of a training step of NT-Xent by the number of pairs and of views that the encoder takes at once.

    python -m tests.benchmarks.large_batches [--pairs 256 1024]

The encoder is a resnet of width 16 with a coarse stem, views are 0.96 s (64 bands, 96 frames), in float32. Each figure
comes from a process of its own: the median CPU time of three steps of one thread, and what they need beyond a step
with 16 pairs.
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

from echopair.models.encoders import ResNetConfig, build_encoder
from echopair.models.methods import Batch, LearningData, SimCLRConfig
from echopair.models.projection import ProjectionConfig

CHUNKS = (0, 512, 128)  # 0: all at once


def measure(pairs: int, at_once: int) -> None:
    """Print the CPU seconds of a step and the MB that it takes."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    encoder = build_encoder(ResNetConfig(width=16, stem="coarse")).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    method = SimCLRConfig().build(encoder, ProjectionConfig(), LearningData())

    def step(number: int) -> float:
        views = [torch.randn(number, 1, 64, 96) for _ in range(2)]
        batch = Batch(views, torch.arange(number), None, torch.Generator(), views_at_once=at_once or None)
        before = time.process_time()
        method.training_step(batch).loss.backward()  # type: ignore[no-untyped-call]
        return time.process_time() - before

    step(16)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = statistics.median(step(pairs) for _ in range(3))
    print(seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) / 2**10)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--pairs", nargs="+", type=int, default=[256, 1024])
    arguments.add_argument("--measure", nargs=2, type=int, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.measure:
        measure(*given.measure)
        return
    table = Table("pairs", *(f"{chunk or 'all'} views at once, s (MB)" for chunk in CHUNKS), box=None)
    console = Console(width=140)
    for pairs in given.pairs:
        cells = []
        for chunk in CHUNKS:
            command = [sys.executable, "-m", "tests.benchmarks.large_batches", "--measure"]
            with console.status(f"{pairs} pairs"):
                output = subprocess.run(
                    [*command, str(pairs), str(chunk)], check=True, capture_output=True, text=True
                ).stdout
            seconds, megabytes = map(float, output.split())
            cells.append(f"{seconds:.2f} ({megabytes:.0f})")
        table.add_row(str(pairs), *cells)
    console.print(table)


if __name__ == "__main__":
    main()
