"""Crops -> log-mel -> views: the positive pairs."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from echopair.augment.policy import Policy
from echopair.augment.spectrogram.augmentation import Part
from echopair.models.log_mel import LogMel, LogMelStatistics
from echopair.pipeline.progress import progress_bar
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.crops import CropBatch
from echopair.pipeline.training.seeding import Stream, numpy_generator, torch_generator

STATISTICS_CROPS = 4096
STATISTICS_BATCH = 64


def make_views(
    batch: CropBatch, log_mel: LogMel, policy: Policy, statistics: LogMelStatistics, seed: int
) -> list[Tensor]:
    """The views that a step trains on: a pure function of its crops, the seed and the step.

    Each view is augmented as a batch of its own, so that what is mixed into a crop comes from another clip.

    Args:
        batch: crops (V, N, L), or their log-mels, on the device of `log_mel`, and the augmentations chosen for each.
        log_mel: front end.
        policy: augments the log-mels.
        statistics: normalisation, applied after augmentation.
        seed: of the run.

    Returns:
        V views (N, 1, F, T) float32; of a share (M, 1, F, T), of which those of its own pairs come first.
    """
    views = []
    for view, of_all in enumerate(batch.chosen.numpy()):
        # Drawn on the CPU, whose numbers are the same whatever the device.
        generator = torch_generator(seed, batch.step, Stream.AUGMENTATION, torch.device("cpu"), view)
        if batch.log_mels is not None:
            crops = batch.log_mels[view].transpose(1, 2).float().contiguous()
        else:
            assert batch.waveforms is not None
            crops = log_mel(batch.waveforms[view])
        chosen, part = of_all, None
        if batch.rows is not None:
            chosen = of_all[batch.rows[view].numpy()]
            part = Part(len(of_all), batch.rows[view].to(crops.device))
        log_mels, _ = policy.augment_log_mels(crops, chosen, generator, part)  # (N, F, T)
        views.append(statistics.normalise(log_mels).unsqueeze(1))
    return views


def measure_statistics(
    stores: Sequence[ClipStore], log_mel: LogMel, crop_samples: int, seed: int
) -> LogMelStatistics:
    """Mean and standard deviation of the log-mels of random crops of the pretraining clips.

    Args:
        stores: at least one clip in all.
        log_mel: front end.
        crop_samples: length of a crop.
        seed: of the run; at most 4096 crops are drawn, of as many clips as there are.
    """
    generator = numpy_generator(seed, 0, Stream.STATISTICS)
    owners = np.repeat(np.arange(len(stores)), [len(store) for store in stores])
    clips = np.concatenate([np.arange(len(store)) for store in stores])
    chosen = generator.permutation(len(clips))[:STATISTICS_CROPS]
    device = log_mel.window.device
    places = generator.random(len(chosen))
    count, total, squares = 0, 0.0, 0.0
    with progress_bar("measure log-mels", len(chosen), "crops") as advance:
        for first in range(0, len(chosen), STATISTICS_BATCH):
            batch = []
            for number, place in zip(
                chosen[first : first + STATISTICS_BATCH],
                places[first : first + STATISTICS_BATCH],
                strict=True,
            ):
                store, clip = stores[owners[number]], int(clips[number])
                room = max(0, int(store.samples[clip]) - crop_samples) + 1
                batch.append(store.read(clip, int(place * room), crop_samples))
            values = log_mel(torch.from_numpy(np.stack(batch)).to(device)).double()
            count += values.numel()
            total += values.sum().item()
            squares += values.square().sum().item()
            advance(len(batch))
    mean = total / count
    return LogMelStatistics(mean, max((squares / count - mean**2) ** 0.5, 1e-3))
