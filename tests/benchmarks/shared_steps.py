"""What a step costs when several processes share it: time against one process, and bytes that each process sends.

    python -m tests.benchmarks.shared_steps [--pairs 64] [--width 16] [--steps 20] [--rounds 3] [--no-synchronise]

Processes of one thread each, on this machine, joined by gloo; the training step of NT-Xent without reading crops. A
figure is the median of the rounds, in which all numbers of processes have their turn: wall time and CPU time of a
process. `gather` is the exchange of the projections alone, forward and backward, and `encoder` forward and backward of
the encoder on the share of a process.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import distributed

from echopair.models.encoders import ResNetConfig
from echopair.models.methods import Batch, LearningData
from echopair.models.processes import gather
from echopair.models.projection import ProjectionConfig
from echopair.pipeline.training.learner import Learner
from tests.pipeline.training.trainings import learning

FLOAT_BYTES = 4
WARM_UP_STEPS = 3


def measure(
    rank: int, processes: int, pairs: int, width: int, steps: int, synchronise: bool, file: Path
) -> None:
    """One of the processes; the first one prints what it found."""
    torch.set_num_threads(1)
    if processes > 1:
        distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=processes)
    config = learning(batch_pairs=pairs, synchronise_batch_norm=synchronise).model_copy(
        update={"encoder": ResNetConfig(width=width), "projection": ProjectionConfig()}
    )
    learner = Learner(config, torch.device("cpu"), LearningData())
    generator = torch.Generator().manual_seed(rank)
    views = list(torch.randn(2, pairs // processes, 1, 64, 96, generator=generator))
    numbers = torch.arange(pairs)
    batch = Batch(views, numbers, None, generator, segments=numbers)
    encoder = learner.method.encoder
    inputs = torch.cat(views)
    projections = torch.randn(2, pairs // processes, config.projection.projection_dim, requires_grad=True)

    def step() -> None:
        learner.step(batch, config, 0, 1)

    def exchange() -> None:
        gather(projections, dim=1).sum().backward()  # type: ignore[no-untyped-call]

    def encode() -> None:
        encoder(inputs).sum().backward()

    figures = {
        "step": _seconds(step, steps),
        "gather": _seconds(exchange, steps),
        "encoder": _seconds(encode, steps),
    }
    if rank == 0:
        trained = sum(one.numel() for one in learner.method.modules.parameters())
        channels = sum(
            one.numel()
            for name, one in learner.method.modules.named_buffers()
            if name.endswith("running_mean")
        )
        figures |= {
            "gradient_bytes": 2 * (processes - 1) / processes * trained * FLOAT_BYTES,
            "gather_bytes": 2 * (processes - 1) / processes * 2 * pairs * projections.shape[2] * FLOAT_BYTES,
            "batch_norm_bytes": (processes - 1) * (2 + 4 / processes) * channels * FLOAT_BYTES,
        }
        print(json.dumps(figures))
    if processes > 1:
        distributed.barrier()
        distributed.destroy_process_group()


def _seconds(work: Callable[[], None], steps: int) -> list[float]:
    """Wall time and CPU time of this process of a step."""
    for _ in range(WARM_UP_STEPS):
        work()
    used, began = _cpu_seconds(), time.monotonic()
    for _ in range(steps):
        work()
    return [(time.monotonic() - began) / steps, (_cpu_seconds() - used) / steps]


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _round(
    processes: int, pairs: int, width: int, steps: int, synchronise: bool
) -> dict[str, list[float] | float]:
    with tempfile.TemporaryDirectory() as folder:
        started = [
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.benchmarks.shared_steps", "--rank", str(rank)),
                    *("--processes", str(processes), "--pairs", str(pairs), "--width", str(width)),
                    *("--steps", str(steps), "--file", f"{folder}/group"),
                    "--synchronise" if synchronise else "--no-synchronise",
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            for rank in range(processes)
        ]
        said = [one.communicate()[0] for one in started]
    found: dict[str, list[float] | float] = json.loads(said[0].splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--synchronise", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    settings = options.pairs, options.width, options.steps, options.synchronise
    if options.rank is not None:
        measure(options.rank, options.processes[0], *settings, options.file)
        return
    rounds = [{count: _round(count, *settings) for count in options.processes} for _ in range(options.rounds)]
    print(f"{os.cpu_count()} cores, torch {torch.__version__}, {options.pairs} pairs, width {options.width}")
    for count in options.processes:
        line = [f"{count} processes:"]
        for name, first in rounds[0][count].items():
            if isinstance(first, list):
                wall, cpu = (statistics.median(one[count][name][part] for one in rounds) for part in (0, 1))  # type: ignore[index]
                line.append(f"{name} {1000 * wall:.1f} ms, CPU {1000 * cpu:.1f} ms;")
            else:
                line.append(f"{name} {first:,.0f};")
        print(*line)


if __name__ == "__main__":
    main()
