"""Pictures and sound of a few positive pairs, the curves of the training, and crops to judge augmentations by."""

from collections.abc import Sequence
from pathlib import Path
from string import ascii_lowercase

import numpy as np
import soundfile

from augment.policy import build_policy
from models.log_mel import LogMel, LogMelStatistics
from pipeline.augmentation_page.views import PreviewClip
from pipeline.checkpoints import load_plan, read_metrics
from pipeline.counted_random import Stream, numpy_generator
from pipeline.crops import CropsConfig, PairCrops
from pipeline.learner import LearningConfig
from pipeline.pairs import make_views
from pipeline.pictures import positive_pairs_picture, training_curves_picture
from pipeline.positives import Places
from pipeline.pretrain import PREVIEW_FOLDER
from pipeline.store import ClipStore

PAIRS_SHOWN = 4
CLIPS_SHOWN = 4


def write_preview(stores: Sequence[ClipStore], config: LearningConfig, folder: Path) -> None:
    """Write the first pairs of step 0 as they were heard and seen, and the training curves, to `preview/`.

    Args:
        stores: clips of the training.
        config: of the training.
        folder: of the finished training.
    """
    target = folder / PREVIEW_FOLDER
    target.mkdir(exist_ok=True)
    plan = load_plan(folder)
    assert plan is not None
    statistics = LogMelStatistics(plan.log_mel_mean, plan.log_mel_standard_deviation)
    policy = build_policy(config.augment, config.log_mel.sample_rate_hz)
    crops = PairCrops(stores, config.crops, policy, config.pretrain.batch_pairs, config.seed)
    batch = crops[0]
    waveforms = batch.waveforms  # (V, N, L)
    log_mel = LogMel(config.log_mel)
    views = make_views(batch, log_mel, policy, statistics, config.seed)
    shown = min(PAIRS_SHOWN, waveforms.shape[1])
    places = crops.places_of(0)
    names = []
    for pair in range(shown):
        names.append(" and ".join(dict.fromkeys(_paths(stores, places, pair))))
        for waveform, letter in zip(waveforms[:, pair], ascii_lowercase, strict=False):
            audible = 0.5 * waveform / waveform.abs().max().clamp_min(1e-6)
            file = target / f"pair-{pair + 1}-{letter}.wav"
            soundfile.write(file, audible.numpy(), config.log_mel.sample_rate_hz, subtype="PCM_16")
    positive_pairs_picture(
        views[:, :shown, 0].transpose(0, 1).numpy(),  # (P, V, F, T)
        names,
        target / "pairs.png",
        config.log_mel.hop_seconds,
        log_mel.band_centres_hz,
    )
    training_curves_picture(read_metrics(folder), target / "training_curves.png")


def _paths(stores: Sequence[ClipStore], places: Places, pair: int) -> list[str]:
    """Recordings of a pair's views; several where positives share no more than a label."""
    return [
        stores[store].column("path")[clip] or ""
        for store, clip in zip(places.store[:, pair], places.clip[:, pair], strict=True)
    ]


def preview_clips(stores: Sequence[ClipStore], crops: CropsConfig, seed: int) -> list[PreviewClip]:
    """The loudest crop of each of a few recordings drawn at random: what one can judge an augmentation by.

    Args:
        stores: clips to pretrain on, at one rate.
        crops: length of a crop.
        seed: of the run.
    """
    rate = stores[0].sample_rate_hz
    owners = [(store, clip) for store in stores for clip in range(len(store))]
    drawn = numpy_generator(seed, 0, Stream.PREVIEW).permutation(len(owners))[:CLIPS_SHOWN]
    shown = []
    for store, clip in (owners[number] for number in drawn):
        samples = round(crops.crop_seconds * rate)
        # A minute is enough to find something loud in, however long the recording is.
        waveform = store.read(clip, 0, min(int(store.samples[clip]), max(samples, 60 * rate)))
        energy = np.concatenate(([0.0], np.cumsum(np.square(waveform, dtype=np.float64))))
        starts = np.arange(0, max(1, len(waveform) - samples + 1), max(1, rate // 20))
        ends = np.minimum(starts + samples, len(waveform))
        start = int(starts[(energy[ends] - energy[starts]).argmax()])
        shown.append(
            PreviewClip(store.column("path")[clip] or f"clip {clip}", store.read(clip, start, samples))
        )
    return shown
