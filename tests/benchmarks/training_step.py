"""A training step and the embedding of clips, beside the encoder alone on log-mels that lie in memory."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torchaudio.transforms import MelSpectrogram

from echopair.models.audio_encoder import AudioEncoder, AudioEncoderConfig
from echopair.models.log_mel import LogMel
from echopair.models.log_mel_config import LogMelConfig
from echopair.pipeline.checks import Stage
from echopair.pipeline.config import RunConfig, compose
from echopair.pipeline.embed import embed_clips
from echopair.pipeline.run import run
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.batches import Phase
from echopair.pipeline.training.learner import Learner
from echopair.pipeline.training.learning_data import learning_data
from echopair.pipeline.training.views import measure_statistics
from tests.benchmarks.measuring import Figure, in_turns

ENCODERS = {
    "width 16, coarse stem": ("encoder.width=16", "encoder.stem=coarse"),
    "default encoder": ("encoder.width=32",),
}
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
        budget = ["pretrain.epochs=null", f"pretrain.steps={STEPS}", f"pretrain.device={device}"]
        config = compose(presets, [f"work_folder={work}", *budget, *overrides])
        clips = run(config, Stage.PREPARE).clips["sound_events"].folder
        self.store = ClipStore(clips, config.log_mel.sample_rate_hz)
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

    def bare_step(self) -> None:
        """Forward, backward and optimiser of the encoder alone, on views that lie in memory."""
        if not hasattr(self, "_views"):
            pairs, frames = (
                self.phase.crops.pairs,
                self.phase.crops.crop_samples // self.log_mel.config.hop_samples,
            )
            shape = (2 * pairs, 1, self.log_mel.config.mel_bands, frames)
            self._views = torch.randn(shape, device=self.device).contiguous(memory_format=torch.channels_last)
            self._encoder = Learner(self.config.learning, self.device, self.data).method.encoder.train()
            self._optimiser = torch.optim.AdamW(self._encoder.parameters(), lr=1e-5, fused=True)
        self._encoder(self._views).square().mean().backward()
        self._optimiser.step()
        self._optimiser.zero_grad()


def training_steps(work: Path, rounds: int, device: str) -> Iterator[Figure]:
    """Steps of 256 pairs of 0.96 s."""
    for name, overrides in ENCODERS.items():
        for presets in (["synthetic"], ["synthetic", "waveform"]):
            training = Training(work, overrides, device, presets)
            what = ", preset ".join([f"training step, {name}", *presets[1:]])
            yield Figure(
                what, "bare encoder", "ms", *in_turns([training.step, training.bare_step], rounds, device)
            )


def embedding(work: Path, rounds: int, device: str) -> Iterator[Figure]:
    """64 clips of the built-in corpus, in crops that overlap by half."""
    for name, overrides in ENCODERS.items():
        calls = _embedding_calls(Training(work, overrides, device))
        yield Figure(f"embed 64 clips, {name}", "bare encoder", "ms", *in_turns(calls, rounds, device))


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
    hook = encoder.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    ours()
    hook.remove()

    def bare() -> None:
        with torch.inference_mode():
            for log_mels in seen:
                encoder.encoder(log_mels)

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

    yield Figure(
        "log-mel, 512 crops", "torchaudio", "ms", *in_turns([lambda: ours(waveforms), theirs], rounds, device)
    )
