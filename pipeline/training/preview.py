"""Figures and sound of a few positive pairs, and the curves of the training."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from string import ascii_lowercase

import soundfile
import torch

from echopair.augment.policy import build_policy
from echopair.augment.spectrogram.augmentation import LOG_POWER_PER_DECIBEL
from echopair.models.log_mel import LogMel
from echopair.pipeline.figures import positive_pairs_figure, training_curves_figure
from echopair.pipeline.stages import locked
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.checkpoints import PREVIEW_FOLDER, load_plan, read_metrics
from echopair.pipeline.training.crops import PairCrops
from echopair.pipeline.training.learner import LearningConfig
from echopair.pipeline.training.positives import Places
from echopair.pipeline.training.views import make_views

PAIRS_SHOWN = 4


def write_preview(stores: Sequence[ClipStore], config: LearningConfig, folder: Path) -> None:
    """Write sound and figures of the first pairs of step 0, and the training curves, to `preview/`.

    Args:
        stores: clips of the training.
        config: of the training.
        folder: of the finished training; the preview appears there whole or not at all.
    """
    with locked(folder):
        if (folder / PREVIEW_FOLDER).is_dir():  # another process was faster
            return
        aside = folder / f".{PREVIEW_FOLDER}.new"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        _draw(stores, config, folder, aside)
        aside.rename(folder / PREVIEW_FOLDER)


def _draw(stores: Sequence[ClipStore], config: LearningConfig, folder: Path, target: Path) -> None:
    plan = load_plan(folder)
    assert plan is not None
    policy = build_policy(config.augment, config.log_mel.sample_rate_hz)
    # Waveforms to listen to; those of log-mels of whole clips begin up to a frame earlier.
    audible = config.crops.model_copy(update={"log_mel_of": "crop"})
    crops = PairCrops(stores, audible, policy, config.pretrain.batch_pairs, config.seed)
    batch = crops[0]
    waveforms = batch.waveforms  # (V, N, L)
    assert waveforms is not None
    log_mel = LogMel(config.log_mel)
    views = torch.stack(make_views(batch, log_mel, policy, plan.statistics, config.seed))  # (V, N, 1, F, T)
    log_mels = views * plan.statistics.standard_deviation + plan.statistics.mean
    decibels = log_mels / LOG_POWER_PER_DECIBEL
    shown = min(PAIRS_SHOWN, waveforms.shape[1])
    places = crops.places_of(0)
    names = []
    for pair in range(shown):
        names.append(" and ".join(dict.fromkeys(_paths(stores, places, pair))))
        for waveform, letter in zip(waveforms[:, pair], ascii_lowercase, strict=False):
            scaled = 0.5 * waveform / waveform.abs().max().clamp_min(1e-6)
            file = target / f"pair-{pair + 1}-{letter}.wav"
            soundfile.write(file, scaled.numpy(), config.log_mel.sample_rate_hz, subtype="PCM_16")
    positive_pairs_figure(
        decibels[:, :shown, 0].transpose(0, 1).numpy(),  # (P, V, F, T)
        names,
        target / "pairs.png",
        config.log_mel.hop_seconds,
        log_mel.band_centres_hz,
    )
    training_curves_figure(read_metrics(folder), target / "training_curves.png")


def _paths(stores: Sequence[ClipStore], places: Places, pair: int) -> list[str]:
    """Recordings of a pair's views; several where positives share no more than a label."""
    return [
        stores[store].column("path")[clip] or ""
        for store, clip in zip(places.store[:, pair], places.clip[:, pair], strict=True)
    ]
