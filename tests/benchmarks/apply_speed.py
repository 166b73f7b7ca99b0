"""What `echopair apply` costs beside the bare forward pass of its encoder on log-mels in memory.

    python -m tests.benchmarks.apply_speed RECORDINGS [--rounds 3] [--encoder small]

The command, the same command on a table that is done (what its start costs) and the forward pass take turns. The
forward pass is that of the encoder as it was saved, in batches of `CROPS_PER_BATCH` and on one thread: its CPU time
then holds no waiting of threads for each other. A ratio is of CPU times; beside other work wall times say little.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from echopair.models.audio_encoder import CROPS_PER_BATCH, AudioEncoder, AudioEncoderConfig
from echopair.models.encoders import ResNetConfig
from echopair.models.log_mel_config import LogMelConfig
from echopair.pipeline.embedding_table import table_rows
from tests.benchmarks.measuring import in_turns

ENCODERS = {"default": ResNetConfig(), "small": ResNetConfig(width=16, stem="coarse")}
BATCHES = 12


def measure(recordings: Path, name: str, rounds: int, folder: Path) -> None:
    """Print seconds, and the rate relative to that of the forward pass."""
    config = AudioEncoderConfig(
        log_mel=LogMelConfig(),
        log_mel_mean=-11.0,
        log_mel_standard_deviation=2.5,
        encoder=ENCODERS[name],
        crop_seconds=0.96,
        crop_hop_seconds=0.48,
    )
    encoder = AudioEncoder(config, device="cpu", precision="float32")
    encoder.save(folder)
    table = folder / "table.parquet"
    command = [sys.executable, "-m", "echopair", "apply", str(folder), str(recordings), "--out", str(table)]

    def start() -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def apply() -> None:
        table.unlink(missing_ok=True)
        start()

    log_mels = torch.randn(CROPS_PER_BATCH, 1, 64, 96)

    def forward() -> None:
        with torch.no_grad():
            for _ in range(BATCHES):
                encoder.encoder.readout(log_mels)

    applied, started, bare = in_turns([apply, start, forward], rounds)
    rows = table_rows(table)
    share = rows / (BATCHES * CROPS_PER_BATCH)
    forward_seconds = share * bare.cpu / 1000
    print(
        f"{name}, {rows} rows: apply {applied.wall / 1000:.1f} s; CPU time of apply {applied.cpu / 1000:.1f} s, of its "
        f"start {started.cpu / 1000:.1f} s, of the forward pass {forward_seconds:.1f} s; ratio "
        f"{1000 * forward_seconds / applied.cpu:.2f}, without the start "
        f"{1000 * forward_seconds / (applied.cpu - started.cpu):.2f}",
        flush=True,
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("recordings", type=Path)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--encoder", choices=ENCODERS, nargs="+", default=list(ENCODERS))
    given = arguments.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for name in given.encoder:
        with tempfile.TemporaryDirectory() as folder:
            measure(given.recordings, name, given.rounds, Path(folder))


if __name__ == "__main__":
    main()
