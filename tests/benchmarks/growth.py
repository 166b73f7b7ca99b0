"""How the cost of a training step grows, as a picture.

Width 16, coarse stem; by the pairs in its batch, by the length of a crop, by the number of clips that there are, and by
the number of threads. Each point has a process of its own, since its peak memory is its own.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from echopair.pipeline.cores import available_cores
from echopair.pipeline.figure_style import ACCENT, SOFT, new_figure, save, styled
from echopair.pipeline.training.throughput import peak_memory_mb
from tests.benchmarks.measuring import in_turns
from tests.benchmarks.training_step import ENCODERS, Training

ROUNDS = 3
THREADS = "threads"
# Of each panel, the values, and the override that sets one.
PANELS: dict[str, tuple[Sequence[float], str]] = {
    "pairs in a batch": ((64, 128, 256, 512, 1024), "pretrain.batch_pairs={:.0f}"),
    "length of a crop, s": ((0.48, 0.96, 1.92, 3.84), "crops.crop_seconds={}"),
    "clips, dozens": ((24, 96, 240), "corpora.sound_events.clips_per_kind={:.0f}"),
    THREADS: (tuple(2**power for power in range(available_cores().bit_length())), "threads={:.0f}"),
}


def point(work: Path, panel: str, value: float, device: str) -> tuple[float, float]:
    """Seconds on the wall of a step, and peak memory in MB; in a process of its own."""
    torch.set_num_threads(int(value) if panel == THREADS else 1)
    overrides = [*ENCODERS["width 16, coarse stem"], PANELS[panel][1].format(value)]
    training = Training(work, overrides, device)
    (times,) = in_turns([training.step], ROUNDS)
    return times.wall / 1000, peak_memory_mb(training.device)


@styled
def draw(path: Path, work: Path, device: str) -> None:
    """Measure all points and write the picture.

    Args:
        path: of a PNG.
        work: folder of the clips; what is there is not made again.
        device: "cpu" or "cuda"; threads are of the CPU alone.
    """
    panels = [panel for panel in PANELS if device == "cpu" or panel != THREADS]
    figure = new_figure(3.2 * len(panels), 4.4)
    for column, panel in enumerate(panels):
        values = PANELS[panel][0]
        points = [_in_a_process(work, panel, value, device) for value in values]
        for row, measured in enumerate(zip(*points, strict=True)):
            axes = figure.add_subplot(2, len(panels), row * len(panels) + column + 1)
            axes.plot(values, measured, color=ACCENT, marker="o", markersize=4)
            axes.set(ylim=(0, 1.15 * max(measured)), xlabel=panel if row else "")
            axes.set_xscale("log", base=2)
            axes.set_xticks(values, [f"{value:g}" for value in values])
            axes.minorticks_off()
            if column == 0:
                axes.set_ylabel(("seconds a step", "peak memory, MB")[row], color=SOFT)
            if row == 0:
                axes.set_title(f"by {panel.split(',')[0]}")
    figure.tight_layout()
    save(figure, path)


def _in_a_process(work: Path, panel: str, value: float, device: str) -> tuple[float, float]:
    command = [sys.executable, "-m", "tests.benchmarks.growth", str(work), panel, str(value), device]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    seconds, memory = json.loads(output.splitlines()[-1])
    return seconds, memory


if __name__ == "__main__":
    print(json.dumps(point(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4])))
