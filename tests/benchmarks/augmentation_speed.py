"""What augmentation costs: each one alone, and pairs a second of each policy.

    python -m tests.benchmarks.augmentation_speed

Crops are 0.96 s of the built-in corpus at 16 kHz. Log-mels are augmented in batches of 256 with all cores, and on
the GPU where there is one; waveforms one by one in one process. Every figure is the best of several rounds, since
other programs can only add time.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from echopair.augment.policy import AugmentConfig, Policy, build_policy
from echopair.augment.spectrogram import SpectrogramChoice
from echopair.augment.waveform import WaveformChoice
from echopair.models.log_mel import LogMel
from echopair.models.log_mel_config import LogMelConfig
from echopair.pipeline.checks import Stage
from echopair.pipeline.config import compose
from echopair.pipeline.cores import available_cores
from echopair.pipeline.run import run
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.crop_loading import crop_batches
from echopair.pipeline.training.crops import CropsConfig, PairCrops

BATCH = 256
ROUNDS = 7
RATE = LogMelConfig().sample_rate_hz
POLICIES: dict[str, AugmentConfig] = {
    "all (default)": AugmentConfig(),
    "random": AugmentConfig.model_validate({"policy": {"name": "random"}}),
    "stacked": AugmentConfig.model_validate({"policy": {"name": "stacked"}}),
    "preset waveform": compose("waveform").augment,
}


def best_seconds(work: Callable[[], Any], device: str = "cpu", rounds: int = ROUNDS) -> float:
    """Shortest time of `work` over some rounds, after one that is not counted."""
    times = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return min(times[1:])


def log_mel_augmentations(log_mel: torch.Tensor) -> Table:
    """Milliseconds a thousand crops of each augmentation of log-mels."""
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    table = Table("augmentation of log-mels", *(f"{device}, ms / 1000 crops" for device in devices), box=None)
    for config in (choice() for choice in get_args(SpectrogramChoice)):
        augmentation = config.build(1.0)
        cells = []
        for device in devices:
            batch, generator = log_mel.to(device), torch.Generator(device).manual_seed(0)
            seconds = best_seconds(lambda: augmentation(batch, generator), device)  # noqa: B023
            cells.append(f"{seconds / BATCH * 1e6:.1f}")
        table.add_row(config.name, *cells)
    return table


def waveform_augmentations(crops: np.ndarray, sounds: Path) -> Table:
    """Milliseconds a thousand crops of each augmentation of waveforms, in one process."""
    table = Table("augmentation of waveforms", "one process, ms / 1000 crops", box=None)
    for choice in get_args(WaveformChoice):
        folder = {"folder": sounds} if "folder" in choice.model_fields else {}
        try:
            augmentation = choice(**folder).build(1.0, RATE)
        except ValidationError as error:
            table.add_row(choice.model_fields["name"].default, f"left out: {error.errors()[0]['msg']}")
            continue
        shown = crops[:64]

        def work(augmentation: Any = augmentation, shown: np.ndarray = shown) -> None:
            for number, crop in enumerate(shown):
                augmentation(crop, number)

        table.add_row(augmentation.name, f"{best_seconds(work, rounds=3) / len(shown) * 1e6:.0f}")
    return table


def policies(log_mel: torch.Tensor, store: ClipStore) -> Table:
    """Pairs a second of each policy: from given log-mels, and all the way from clips to views."""
    workers = available_cores()
    table = Table("policy", "pairs/s, log-mels given", f"pairs/s, from clips, {workers} workers", box=None)
    for name, config in POLICIES.items():
        policy = build_policy(config, RATE)
        from_log_mels = BATCH / best_seconds(lambda: two_views(policy, log_mel))  # noqa: B023
        table.add_row(name, f"{from_log_mels:,.0f}", f"{from_clips(policy, store, workers):,.0f}")
    return table


def two_views(policy: Policy, log_mel: torch.Tensor) -> None:
    """Both views of a batch."""
    chosen = policy.choose(np.random.default_rng(0), (2, len(log_mel)))
    for view in range(2):
        policy.augment_log_mels(log_mel, chosen[view], torch.Generator().manual_seed(view))


def from_clips(policy: Policy, store: ClipStore, workers: int, first: int = 4, steps: int = 16) -> float:
    """Pairs a second of crops read and augmented in workers, log-mels made and augmented here."""
    crops = PairCrops([store], CropsConfig(), policy, BATCH, 0)
    front_end = LogMel(LogMelConfig())
    # More steps than are measured, so that as many batches lie ready at the end as at the beginning.
    started = 0.0
    for batch in crop_batches(crops, range(first + steps + 8), workers):
        if batch.step == first:
            started = time.perf_counter()
        if batch.step == first + steps:
            break
        for view, waveforms in enumerate(batch.waveforms):
            generator = torch.Generator().manual_seed(view)
            policy.augment_log_mels(front_end(waveforms), batch.chosen[view].numpy(), generator)
    return steps * BATCH / (time.perf_counter() - started)


def main() -> None:
    """Print the three tables."""
    with tempfile.TemporaryDirectory() as folder:
        config = compose("synthetic", [f"work_folder={folder}"])
        clips = run(config, Stage.PREPARE).clips["sound_events"].folder
        store = ClipStore(clips, RATE)
        crops = PairCrops([store], CropsConfig(), build_policy(AugmentConfig(strength=0), RATE), BATCH, 0)
        waveforms = crops[0].waveforms[0]  # (N, L)
        log_mel = LogMel(LogMelConfig())(waveforms)  # (N, F, T)
        sounds = next(path.parent for path in Path(folder).rglob("*.wav"))
        console = Console()
        console.print(f"{available_cores()} cores, torch {torch.__version__}")
        for table in (
            log_mel_augmentations(log_mel),
            waveform_augmentations(waveforms.numpy(), sounds),
            policies(log_mel, store),
        ):
            console.print(table)


if __name__ == "__main__":
    main()
