"""Stage 2: pairs -> encoder. The training loop."""

import itertools
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from echopair.augment.policy import Policy, build_policy
from echopair.models.audio_encoder import AudioEncoder, AudioEncoderConfig
from echopair.models.log_mel import LogMel, LogMelStatistics
from echopair.models.objectives import build_objective
from echopair.models.objectives.nt_xent import chance_level
from echopair.models.precision import autocast, resolve_device
from echopair.models.representation_health import representation_health
from echopair.pipeline.cores import available_cores
from echopair.pipeline.errors import UserError
from echopair.pipeline.progress import console, progress_bar
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.budget import steps_of_budget
from echopair.pipeline.training.callback import TrainingCallback
from echopair.pipeline.training.checkpoints import Checkpoints, MetricsLog, Plan, load_plan, save_plan
from echopair.pipeline.training.crops import CropBatch, PairCrops, crop_batches
from echopair.pipeline.training.learner import (
    Learner,
    LearningConfig,
    PretrainConfig,
    build_learner,
    learning_rate,
)
from echopair.pipeline.training.pairs import make_views, measure_statistics
from echopair.pipeline.training.schedule import phases
from echopair.pipeline.training.training_metrics import Meter, say_collapse

PRETRAIN_VERSION = 2
ENCODER_FOLDER = "encoder"
PREVIEW_FOLDER = "preview"


class Diverged(UserError):  # noqa: N818  (how a training ended, as a sweep records it)
    """The loss of a training is not finite any more."""


def evaluation_steps(steps: int, evaluations: int) -> list[int]:
    """After which steps a training is evaluated: all different, the last one at its end.

    Args:
        steps: of the training, at least 1.
        evaluations: how many; a training of fewer steps is evaluated after each step.
    """
    return sorted({max(1, round(share * steps / evaluations)) for share in range(1, evaluations + 1)})


def pretrain(
    stores: Sequence[ClipStore],
    config: LearningConfig,
    folder: Path,
    callback: TrainingCallback | None = None,
) -> dict[str, object]:
    """Train an encoder to tell which crops belong together; goes on where an earlier process stopped.

    Args:
        stores: clips to learn from, at one rate; labels are read for positives of the same label alone.
        config: what decides the result.
        folder: existing folder; gets `encoder/`, `checkpoints/`, `metrics.jsonl` and `plan.json`.
        callback: follows the training; changes no result.

    Returns:
        Figures for the stage's marker: `steps`, `pairs_per_second`, `final_loss`, `parameters`.

    Raises:
        UserError: see `plan_training`.
        Diverged: a loss that is not finite.
    """
    callback = callback or TrainingCallback()
    callback.on_begin()
    settings = config.pretrain
    device = resolve_device(settings.device)
    plan = plan_training(stores, config, folder)
    log_mel = LogMel(config.log_mel).to(device)
    learner = build_learner(config, device)
    train_step = partial(_train_step, learner, log_mel, plan.statistics, config)

    checkpoints = Checkpoints(
        folder, encoder=learner.encoder, projection=learner.projection, optimiser=learner.optimiser
    )
    first = checkpoints.restore()
    log = MetricsLog(folder, first)
    if first:
        console.print(f"pretrain: goes on after step {first} of {plan.steps}")
    callback.on_metrics(log.rows)

    encoder_config = AudioEncoderConfig(
        log_mel=config.log_mel,
        log_mel_mean=plan.log_mel_mean,
        log_mel_standard_deviation=plan.log_mel_standard_deviation,
        encoder=config.encoder,
        crop_seconds=config.crops.crop_seconds,
        crop_hop_seconds=config.crops.crop_seconds / 2,
    )
    # Around the weights that are being trained, so that it can be read, and is saved, at any step.
    audio_encoder = AudioEncoder(encoder_config, learner.encoder, device=settings.device)
    evaluation_after = {
        step: evaluation
        for evaluation, step in enumerate(evaluation_steps(plan.steps, callback.evaluations), start=1)
    }

    learner.encoder.train()
    learner.projection.train()
    meter = Meter()
    saved_at = time.monotonic()
    steps_done = first
    with progress_bar("pretrain", plan.steps, "steps", done=first) as advance:
        try:
            for phase, batch in _scheduled_batches(stores, config, device, first, plan.steps):
                meter.data_arrived()
                rate = learning_rate(phase.settings, batch.step, plan.steps)
                learner.set_rates(rate, phase.settings.weight_decay)
                loss, embeddings, projections = train_step(phase, batch)
                steps_done = batch.step + 1
                meter.step_done(settings.batch_pairs)
                if steps_done % settings.log_every_steps == 0 or steps_done == plan.steps:
                    row = {
                        "step": steps_done,
                        "loss": _finite(loss.item(), batch.step),
                        "loss_chance_level": chance_level(settings.batch_pairs, config.crops.views),
                        **representation_health(embeddings, projections),
                        "learning_rate": rate,
                        **meter.read(),
                    }
                    log.append(row)
                    say_collapse(log.rows)
                    callback.on_metrics([row])
                    advance(0, note=f"loss {row['loss']:.3f}, top-1 {row['retrieval_top1']:.0%}")
                evaluation = evaluation_after.get(steps_done)
                if evaluation or time.monotonic() - saved_at >= settings.checkpoint_every_seconds:
                    _finite(loss.item(), batch.step)
                    if evaluation:
                        audio_encoder.eval()
                        callback.on_evaluation(evaluation, steps_done, plan.steps, audio_encoder)
                        learner.encoder.train()
                    checkpoints.save(steps_done)
                    if evaluation:
                        callback.on_checkpoint(evaluation)
                        meter = Meter()  # an evaluation is no waiting for data
                    saved_at = time.monotonic()
                advance()
        except KeyboardInterrupt:
            # May come in the middle of an update: only what the last checkpoint holds is sure to be whole.
            console.print(
                f"pretrain: interrupted after step {steps_done} of {plan.steps}; the same command goes on"
            )
            raise
    checkpoints.save(plan.steps)

    audio_encoder.save(folder / ENCODER_FOLDER)
    last = log.rows[-1]
    return {
        "steps": plan.steps,
        "epochs": round(plan.steps / _Phase(stores, config, device).crops.steps_an_epoch, 2),
        "final_loss": last["loss"],
        "pairs_per_second": last["pairs_per_second"],
        "parameters": sum(parameter.numel() for parameter in learner.encoder.parameters()),
    }


def plan_training(stores: Sequence[ClipStore], config: LearningConfig, folder: Path) -> Plan:
    """Settle once how many steps the budget is and what the log-mels' statistics are; kept in `plan.json`.

    Args:
        stores: see `pretrain`.
        config: see `pretrain`.
        folder: existing folder.

    Raises:
        UserError: fewer segments than pairs a step.
    """
    plan = load_plan(folder)
    if plan is not None:
        return plan
    started = time.monotonic()
    settings = config.pretrain
    device = resolve_device(settings.device)
    phase = _Phase(stores, config.config_at(0), device)
    if phase.crops.steps_an_epoch == 0:
        segments = len(phase.crops.segments)
        raise UserError(
            f"pretrain.batch_pairs={settings.batch_pairs} is more than the {segments} segments of the "
            f"pretraining clips; set pretrain.batch_pairs to at most {segments} or add recordings"
        )
    log_mel = LogMel(config.log_mel).to(device)
    statistics = measure_statistics(stores, log_mel, phase.crops.crop_samples, config.seed)
    steps = steps_of_budget(
        settings,
        phase.crops.steps_an_epoch,
        phase.batches(itertools.count()),
        started,
        lambda learner, batch: _train_step(learner, log_mel, statistics, config, phase, batch),
        build_learner(config, device),
    )
    plan = Plan(steps, statistics.mean, statistics.standard_deviation)
    save_plan(folder, plan)
    return plan


def _train_step(
    learner: Learner,
    log_mel: LogMel,
    statistics: LogMelStatistics,
    config: LearningConfig,
    phase: "_Phase",
    batch: CropBatch,
) -> tuple[Tensor, Tensor, Tensor]:
    """One step of the optimiser; loss (), embeddings (V, N, D) and projections (V, N, P)."""
    device = phase.device
    batch = batch._replace(waveforms=batch.waveforms.to(device, non_blocking=True))  # (V, N, L)
    views = make_views(batch, log_mel, phase.policy, statistics, config.seed)
    with autocast(phase.settings.precision, device):
        embeddings, projections = learner.forward(views)
    loss = phase.objective(projections)
    learner.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    learner.optimiser.step()
    return loss.detach(), embeddings.detach(), projections.detach()


class _Phase:
    """What stays the same between two changes of the schedule: how views are made, and what learns from them."""

    def __init__(self, stores: Sequence[ClipStore], config: LearningConfig, device: torch.device) -> None:
        self.settings = config.pretrain
        self.policy = build_policy(config.augment, config.log_mel.sample_rate_hz)
        self.objective = build_objective(config.objective)
        self.crops = PairCrops(stores, config.crops, self.policy, self.settings.batch_pairs, config.seed)
        self.device = device

    def batches(self, steps: Iterable[int]) -> Iterator[CropBatch]:
        """The crops of some steps, in order, from reader processes of this phase's own."""
        workers = _reader_workers(self.settings, self.device, self.policy)
        return crop_batches(self.crops, steps, workers, pin_memory=self.device.type == "cuda")


def _scheduled_batches(
    stores: Sequence[ClipStore], config: LearningConfig, device: torch.device, first: int, steps: int
) -> Iterator[tuple[_Phase, CropBatch]]:
    """The crops of the steps from `first` up to `steps`, each with the phase that it belongs to."""
    for stretch in phases(config.pretrain.schedule, first, steps):
        phase = _Phase(stores, config.config_at(stretch.start), device)
        for batch in phase.batches(stretch):
            yield phase, batch


def _reader_workers(config: PretrainConfig, device: torch.device, policy: Policy) -> int:
    """Processes that read crops; on a CPU reading alone costs less than handing it over."""
    if config.workers is not None:
        return config.workers
    cores = min(available_cores(), torch.get_num_threads())  # others may be trained beside it
    if device.type == "cuda":
        return min(4, cores - 1)
    return max(1, cores // 2) if policy.waveform else 0


def _finite(loss: float, step: int) -> float:
    if not math.isfinite(loss):
        raise Diverged(
            f"pretrain diverged: the loss of step {step} is {loss}; lower pretrain.learning_rate, "
            "raise objective.temperature or set pretrain.precision=float32"
        )
    return loss
