"""Batches: what the method learns from in each step, phase by phase of the schedule."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch

from echopair.augment.policy import Policy, build_policy
from echopair.models.log_mel import LogMel, LogMelStatistics
from echopair.models.methods import Batch
from echopair.models.processes import process_count, process_rank
from echopair.pipeline.cores import available_cores
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.crop_loading import crop_batches
from echopair.pipeline.training.crops import CropBatch, PairCrops
from echopair.pipeline.training.learner import LearningConfig, PretrainConfig
from echopair.pipeline.training.schedule import phases
from echopair.pipeline.training.seeding import Stream, torch_generator
from echopair.pipeline.training.share import Share
from echopair.pipeline.training.views import make_views


class Phase:
    """The stretch between two changes of the schedule: its config, and how its batches are made."""

    def __init__(self, stores: Sequence[ClipStore], config: LearningConfig, device: torch.device) -> None:
        self.config = config
        self.policy = build_policy(config.augment, config.log_mel.sample_rate_hz)
        self.crops = PairCrops(
            stores,
            config.crops,
            self.policy,
            config.pretrain.batch_pairs,
            config.seed,
            with_labels=config.objective.LEARNS_LABELS,
            with_recordings=config.objective.reads_recordings,
            share=_share(config),
        )
        self.device = device

    def batches(self, steps: Iterable[int]) -> Iterator[CropBatch]:
        """The crops of some steps, in order, from worker processes of this phase's own."""
        workers = _data_workers(self.config.pretrain, self.device, self.policy)
        return crop_batches(self.crops, steps, workers, pin_memory=self.device.type == "cuda")

    def batch(
        self,
        crops: CropBatch,
        log_mel: LogMel,
        statistics: LogMelStatistics,
        augmentations: Sequence[str],
    ) -> Batch:
        """What the method learns from, on the device.

        Args:
            crops: of a step, or this process's share of them; of that, only the own pairs are learned from.
            log_mel: front end, on the device.
            statistics: normalise the log-mels.
            augmentations: names, see `LearningData`.
        """
        waveforms = _moved(crops.waveforms, self.device)  # (V, N, L)
        log_mels = _moved(crops.log_mels, self.device)  # (V, N, T, F)
        views = make_views(
            crops._replace(waveforms=waveforms, log_mels=log_mels),
            log_mel,
            self.policy,
            statistics,
            self.config.seed,
        )
        labels = _moved(crops.labels, self.device)
        generator = torch_generator(self.config.seed, crops.step, Stream.METHOD, torch.device("cpu"))
        recordings = _moved(crops.recordings, self.device)
        clips, segments = crops.clips.to(self.device), crops.segments.to(self.device)
        names = np.array(self.policy.names, dtype=str)
        got = [crops.chosen[..., names == name].any(-1) for name in augmentations]
        share = self.crops.share
        own = slice(None) if share is None else slice(len(share.pairs(self.crops.pairs)))
        return Batch(
            [view[own] for view in views],
            clips,
            labels,
            generator,
            recordings=recordings,
            segments=segments,
            augmentations=torch.stack(got, dim=-1) if got else None,  # (V, N, A)
            starts=crops.starts.to(self.device),
            waveforms=None if waveforms is None else waveforms[:, own],
            views_at_once=self.config.pretrain.views_at_once,
        )


def _moved(values: torch.Tensor | None, device: torch.device) -> torch.Tensor | None:
    return None if values is None else values.to(device, non_blocking=True)


def scheduled_batches(
    stores: Sequence[ClipStore], config: LearningConfig, device: torch.device, first: int, steps: int
) -> Iterator[tuple[Phase, CropBatch]]:
    """The crops of the steps from `first` up to `steps`, each with its phase."""
    for stretch in phases(config.pretrain.schedule, first, steps):
        phase = Phase(stores, config.config_at(stretch.start), device)
        for crops in phase.batches(stretch):
            yield phase, crops


def _share(config: LearningConfig) -> Share | None:
    """What this process encodes, if several train together."""
    if process_count() == 1:
        return None
    frames = config.log_mel.frames(round(config.crops.crop_seconds * config.log_mel.sample_rate_hz))
    return Share(process_rank(), process_count(), (config.log_mel.mel_bands, frames))


def _data_workers(config: PretrainConfig, device: torch.device, policy: Policy) -> int:
    """Processes that make batches; on a CPU this costs less than handing them over, without augmentation."""
    if config.workers is not None:
        return config.workers
    cores = min(available_cores(), torch.get_num_threads())  # other trainings may run beside it
    if device.type == "cuda":
        return min(4, cores - 1)
    return max(1, cores // 2) if policy.waveform else 0
