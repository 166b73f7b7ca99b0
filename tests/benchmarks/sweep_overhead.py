"""What a sweep costs beside its trials: 8 short ones by `echopair sweep`, then the same runs by hand, as many at once.

    python -m tests.benchmarks.sweep_overhead [--trials 8] [--epochs 12]

By hand, each trial's `run.yaml` is given to `echopair run` in another work folder that has the prepared clips, in a
process of its own with the trial's number of threads. That run also reads the test clips and embeds two baselines; the
trial reads the nearest-neighbour probe twice. The memory of a trial is the private memory of its process, sampled
while it runs.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ECHOPAIR = Path(sys.executable).with_name("echopair")
SAMPLE_SECONDS = 0.5
TRIAL_PROCESS = b"ray::"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=float, default=12)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run_keys = [
            "encoder={name: resnet, width: 16, stem: coarse}",
            f"pretrain.epochs={arguments.epochs}",
            "pretrain.batch_pairs=128",
            f"work_folder={folder / 'sweep'}",
        ]
        subprocess.run([ECHOPAIR, "prepare", *run_keys], check=True, capture_output=True)
        by_hand_folder = folder / "by-hand"
        shutil.copytree(folder / "sweep", by_hand_folder)

        memory: list[dict[int, int]] = []
        stop = threading.Event()
        watcher = threading.Thread(target=_sample_memory, args=(memory, stop))
        watcher.start()
        started = time.monotonic()
        sweep_keys = [
            "sweep.sweep_name=overhead",
            f"sweep.search={{name: random, trials: {arguments.trials}}}",
            "sweep.scheduler.name=fifo",
            "sweep.milestones=2",
        ]
        subprocess.run(
            [ECHOPAIR, "sweep", "temperature-strength", *run_keys, *sweep_keys],
            check=True,
            capture_output=True,
        )
        sweep_seconds = time.monotonic() - started
        stop.set()
        watcher.join()

        (sweep_folder,) = (folder / "sweep" / "sweeps").iterdir()
        trials = [json.loads(file.read_text()) for file in sorted(sweep_folder.glob("trials/*.json"))]
        at_once = max((len(sample) for sample in memory), default=1)
        runs = sorted(sweep_folder.glob("trials/*/run.yaml"))
        started = time.monotonic()
        with ThreadPoolExecutor(at_once) as pool:
            hand_seconds = list(pool.map(lambda file: _run_by_hand(file, by_hand_folder), runs))
        by_hand = time.monotonic() - started

    print(f"{arguments.trials} trials, {at_once} at once")
    print(
        f"sweep           {sweep_seconds:7.1f} s wall, trials together {sum(t['seconds'] for t in trials):7.1f} s"
    )
    print(f"runs by hand    {by_hand:7.1f} s wall, runs together   {sum(hand_seconds):7.1f} s")
    allowed = 1.15 * by_hand + 15
    print(f"ratio           {sweep_seconds / by_hand:7.2f}   (allowed: 1.15 times and 15 s, {allowed:.1f} s)")
    largest = [max(sample.values()) for sample in memory if sample]
    if largest:
        print(f"private memory of a trial's process at most {max(largest) / 1e6:.0f} MB")


def _run_by_hand(file: Path, work_folder: Path) -> float:
    started = time.monotonic()
    subprocess.run(
        [ECHOPAIR, "run", file, f"work_folder={work_folder}"],
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return time.monotonic() - started


def _sample_memory(samples: list[dict[int, int]], stop: threading.Event) -> None:
    """Private bytes of each process that runs a trial, again and again."""
    while not stop.wait(SAMPLE_SECONDS):
        sample = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                title = (process / "cmdline").read_bytes()
                if title.startswith(TRIAL_PROCESS) and b"train" in title:
                    rollup = (process / "smaps_rollup").read_text()
                    private = re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+) kB", rollup, re.MULTILINE)
                    sample[int(process.name)] = 1024 * sum(map(int, private))
            except OSError:  # it has ended
                continue
        samples.append(sample)


if __name__ == "__main__":
    main()
