"""A training step and the embedding of clips, beside the encoder alone on log-mels that lie in memory.

    python -m tests.benchmarks.training_step [--rounds 3]

Prints what the parts of a step of width 16 with a coarse stem take: CPU time with one thread.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torchaudio.transforms import MelSpectrogram

from echopair.models.audio_encoder import AudioEncoder, AudioEncoderConfig
from echopair.models.log_mel import LogMel
from echopair.models.log_mel_config import LogMelConfig
from echopair.models.precision import autocast
from echopair.pipeline.checks import Stage
from echopair.pipeline.config import RunConfig, compose
from echopair.pipeline.embed_windows import embed_clips
from echopair.pipeline.run import compute_log_mels, open_stores, run
from echopair.pipeline.training.batches import Phase
from echopair.pipeline.training.learner import Learner
from echopair.pipeline.training.learning_data import learning_data
from echopair.pipeline.training.views import make_views, measure_statistics
from tests.benchmarks.measuring import Figure, in_turns

SMALL = "width 16, coarse stem"
ENCODERS = {
    SMALL: ("encoder.width=16", "encoder.stem=coarse"),
    "default encoder": ("encoder.width=32",),
}
CLIPS_PER_KIND = 96  # of twelve kinds; enough for the largest batch
STEPS = 1000  # of the training that a step is taken from


class Training:
    """Steps of a training on the built-in corpus."""

    def __init__(
        self,
        work: Path,
        overrides: Sequence[str],
        device: str = "cpu",
        presets: Sequence[str] = ("synthetic",),
    ) -> None:
        size = ["pretrain.batch_pairs=256", f"corpora.sound_events.clips_per_kind={CLIPS_PER_KIND}"]
        budget = ["pretrain.epochs=null", f"pretrain.steps={STEPS}", f"pretrain.device={device}"]
        config = compose(presets, [f"work_folder={work}", *size, *budget, *overrides])
        prepared = run(config, Stage.PREPARE)
        stores = open_stores(config, prepared)
        if config.crops.log_mel_of == "clip":
            compute_log_mels(config, stores, prepared)
        self.store = stores["sound_events"]
        self.config: RunConfig = config
        self.device = torch.device(device)
        learning = config.learning
        self.phase = Phase([self.store], learning, self.device)
        self.data = learning_data(self.phase.crops, learning)
        self.learner = Learner(learning, self.device, self.data)
        self.learner.method.modules.train()
        self.log_mel = LogMel(config.log_mel).to(self.device)
        crop_samples = self.phase.crops.crop_samples
        self.statistics = measure_statistics([self.store], self.log_mel, crop_samples, config.seed)
        self.steps_done = 0

    def step(self) -> None:
        """From clips in the store to updated weights, as `pretrain` does it; data are read here."""
        crops = self.phase.crops[self.steps_done]
        batch = self.phase.batch(crops, self.log_mel, self.statistics, self.data.augmentations)
        _, metrics = self.learner.step(batch, self.phase.config, self.steps_done, STEPS)
        self.steps_done += 1
        if self.steps_done % self.config.pretrain.log_every_steps == 0:
            metrics()


def bare_step(training: Training) -> Callable[[], None]:
    """Forward, backward and optimiser of the encoder alone, on views that lie in memory."""
    learning, crops = training.config.learning, training.phase.crops
    frames = learning.log_mel.frames(crops.crop_samples)
    views = torch.randn(2 * crops.pairs, 1, learning.log_mel.mel_bands, frames, device=training.device)
    views = views.contiguous(memory_format=torch.channels_last)
    encoder = Learner(learning, training.device, training.data).method.encoder.train()
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=1e-5, fused=True)

    def step() -> None:
        with autocast(learning.pretrain.precision, training.device):
            loss = encoder(views).float().square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def training_steps(work: Path, rounds: int, device: str) -> Iterator[Figure]:
    """Steps of 256 pairs of 0.96 s."""
    for name, overrides in ENCODERS.items():
        variants = {"": ([], []), ", crops.log_mel_of=clip": ([], ["crops.log_mel_of=clip"])}
        if name == SMALL:  # what waveform augmentation takes does not depend on the encoder
            variants[", preset waveform"] = (["waveform"], [])
        for variant, (presets, more) in variants.items():
            training = Training(work, [*overrides, *more], device, ["synthetic", *presets])
            calls = [training.step, bare_step(training)]
            yield _beside("bare encoder", f"step of 256 pairs, {name}{variant}", calls, rounds, device)


def embedding(work: Path, rounds: int, device: str) -> Iterator[Figure]:
    """64 clips of the built-in corpus, in crops that overlap by half."""
    for name, overrides in ENCODERS.items():
        calls = _embedding_calls(Training(work, overrides, device))
        yield _beside("bare encoder", f"embed 64 clips, {name}", calls, rounds, device)


def _embedding_calls(training: Training) -> list[Callable[[], object]]:
    """Embed clips from the store, and log-mels of the same shapes that lie in memory."""
    config = training.config
    encoder = AudioEncoder(
        AudioEncoderConfig(
            log_mel=config.log_mel,
            log_mel_mean=training.statistics.mean,
            log_mel_standard_deviation=training.statistics.standard_deviation,
            encoder=config.encoder,
            crop_seconds=config.crops.crop_seconds,
            crop_hop_seconds=config.crops.crop_seconds / 2,
        ),
        device=config.pretrain.device,
    ).eval()

    def ours() -> None:
        embed_clips(training.store, np.arange(64), encoder, config.embed.batch_crops)

    seen: list[torch.Tensor] = []
    readout = encoder.encoder.readout
    encoder.encoder.readout = lambda log_mels: seen.append(log_mels) or readout(log_mels)  # type: ignore[assignment]
    ours()
    encoder.encoder.readout = readout  # type: ignore[method-assign]

    def bare() -> None:
        with torch.inference_mode(), autocast(encoder.precision, encoder.device):
            for log_mels in seen:
                readout(log_mels)

    return [ours, bare]


def log_mels(work: Path, rounds: int, device: str) -> Iterator[Figure]:
    """512 crops of 0.96 s, beside torchaudio's transform and a logarithm."""
    config = LogMelConfig()
    ours = LogMel(config).to(device)
    torchaudio = MelSpectrogram(
        config.sample_rate_hz,
        n_fft=ours.fft_samples,
        win_length=config.window_samples,
        hop_length=config.hop_samples,
        f_min=config.min_hz,
        f_max=config.max_hz,
        n_mels=config.mel_bands,
    ).to(device)
    waveforms = 0.1 * torch.randn(512, round(0.96 * config.sample_rate_hz), device=device)

    def theirs() -> torch.Tensor:
        with torch.inference_mode():
            return torchaudio(waveforms).add_(ours.floor_power).log_()

    yield _beside("torchaudio", "log-mel, 512 crops", [lambda: ours(waveforms), theirs], rounds, device)


def _beside(
    reference: str, what: str, calls: Sequence[Callable[[], object]], rounds: int, device: str
) -> Figure:
    """Of our call and of the reference's."""
    ours, theirs = in_turns(calls, rounds)
    return Figure(what, reference, "ms", ours.on(device), theirs.on(device))


def parts_of_step(training: Training, rounds: int) -> dict[str, float]:
    """Milliseconds of CPU time of the parts of a step."""
    crops = training.phase.crops[0]

    def read() -> None:
        training.phase.crops[training.steps_done]

    def transform() -> None:
        for view in crops.waveforms:
            training.log_mel(view)

    def views() -> None:
        policy, seed = training.phase.policy, training.config.seed
        make_views(crops, training.log_mel, policy, training.statistics, seed)

    times = in_turns([training.step, bare_step(training), read, transform, views], rounds)
    step, bare, reading, log_mel, augmented = (one.cpu for one in times)
    return {
        "bare encoder: forward and backward pass, update": bare,
        "log-mels of both views": log_mel,
        "augmentation and normalisation": augmented - log_mel,
        "reading the crops": reading,
        "projection head, NT-Xent, metrics": step - bare - augmented - reading,
        "the step": step,
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description="What the parts of a training step take.")
    arguments.add_argument("--rounds", type=int, default=3)
    rounds = arguments.parse_args().rounds
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as work:
        parts = parts_of_step(Training(Path(work), ENCODERS[SMALL]), rounds)
    for name, milliseconds in parts.items():
        Console().print(
            f"{name}: {milliseconds:.0f} ms, {milliseconds / parts['the step']:.1%}", highlight=False
        )


if __name__ == "__main__":
    main()
