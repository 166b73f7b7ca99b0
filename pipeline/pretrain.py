"""Stage 2: pairs -> encoder. The training loop."""

import itertools
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from augment.policy import Policy, build_policy
from models.audio_encoder import AudioEncoder, AudioEncoderConfig
from models.log_mel import LogMel, LogMelStatistics
from models.objectives import build_objective
from models.objectives.nt_xent import chance_level
from models.precision import autocast, resolve_device
from models.representation_health import representation_health
from pipeline.budget import steps_of_budget
from pipeline.checkpoints import Checkpoints, MetricsLog, Plan, load_plan, save_plan
from pipeline.cores import available_cores
from pipeline.crops import CropBatch, PairCrops, crop_batches
from pipeline.errors import UserError
from pipeline.learner import Learner, LearningConfig, PretrainConfig, build_learner, learning_rate
from pipeline.pairs import make_views, measure_statistics
from pipeline.progress import console, progress_bar
from pipeline.store import ClipStore
from pipeline.training_metrics import Meter, say_collapse

PRETRAIN_VERSION = 2
ENCODER_FOLDER = "encoder"
PREVIEW_FOLDER = "preview"


def pretrain(
    stores: Sequence[ClipStore],
    config: LearningConfig,
    folder: Path,
    on_metrics: Callable[[list[dict[str, float]]], None] = lambda _rows: None,
) -> dict[str, object]:
    """Train an encoder to tell which crops belong together; goes on where an earlier process stopped.

    Args:
        stores: clips to learn from, at one rate; labels are read for positives of the same label alone.
        config: what decides the result.
        folder: existing folder; gets `encoder/`, `checkpoints/`, `metrics.jsonl` and `plan.json`.
        on_metrics: is handed the rows of an earlier process, then each new one; a row has its `step`.

    Returns:
        Figures for the stage's marker: `steps`, `pairs_per_second`, `final_loss`, `parameters`.

    Raises:
        UserError: fewer segments than pairs a step, or a loss that is not finite.
    """
    settings = config.pretrain
    device = resolve_device(settings.device)
    policy = build_policy(config.augment, config.log_mel.sample_rate_hz)
    crops = PairCrops(stores, config.crops, policy, settings.batch_pairs, config.seed)
    if crops.steps_an_epoch == 0:
        raise UserError(
            f"pretrain.batch_pairs={settings.batch_pairs} is more than the {len(crops.segments)} segments of the "
            f"pretraining clips; set pretrain.batch_pairs to at most {len(crops.segments)} or add recordings"
        )
    log_mel = LogMel(config.log_mel).to(device)
    objective = build_objective(config.objective)
    learner = build_learner(config, device)

    batches = partial(
        crop_batches,
        crops,
        workers=_reader_workers(settings, device, policy),
        pin_memory=device.type == "cuda",
    )

    def train_step(
        learner: Learner, batch: CropBatch, statistics: LogMelStatistics
    ) -> tuple[Tensor, Tensor, Tensor]:
        batch = batch._replace(waveforms=batch.waveforms.to(device, non_blocking=True))  # (V, N, L)
        views = make_views(batch, log_mel, policy, statistics, config.seed)
        with autocast(settings.precision, device):
            embeddings, projections = learner.forward(views)
        loss = objective(projections)
        learner.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        learner.optimiser.step()
        return loss.detach(), embeddings.detach(), projections.detach()

    plan = load_plan(folder)
    if plan is None:
        started = time.monotonic()
        statistics = measure_statistics(stores, log_mel, crops.crop_samples, config.seed)
        steps = steps_of_budget(
            settings,
            crops,
            batches(steps=itertools.count()),
            started,
            partial(train_step, statistics=statistics),
            learner,
        )
        plan = Plan(steps, statistics.mean, statistics.standard_deviation)
        save_plan(folder, plan)
    statistics = LogMelStatistics(plan.log_mel_mean, plan.log_mel_standard_deviation)

    checkpoints = Checkpoints(
        folder, encoder=learner.encoder, projection=learner.projection, optimiser=learner.optimiser
    )
    first = checkpoints.restore()
    log = MetricsLog(folder, first)
    if first:
        console.print(f"pretrain: goes on after step {first} of {plan.steps}")
    on_metrics(log.rows)

    learner.encoder.train()
    learner.projection.train()
    meter = Meter()
    saved_at = time.monotonic()
    steps_done = first
    with progress_bar("pretrain", plan.steps, "steps", done=first) as advance:
        try:
            for batch in batches(steps=range(first, plan.steps)):
                meter.data_arrived()
                for group in learner.optimiser.param_groups:
                    group["lr"] = learning_rate(settings, batch.step, plan.steps)
                loss, embeddings, projections = train_step(learner, batch, statistics)
                steps_done = batch.step + 1
                meter.step_done(settings.batch_pairs)
                if steps_done % settings.log_every_steps == 0 or steps_done == plan.steps:
                    row = {
                        "step": steps_done,
                        "loss": _finite(loss.item(), batch.step),
                        "loss_chance_level": chance_level(settings.batch_pairs, config.crops.views),
                        **representation_health(embeddings, projections),
                        "learning_rate": learner.optimiser.param_groups[0]["lr"],
                        **meter.read(),
                    }
                    log.append(row)
                    say_collapse(log.rows)
                    on_metrics([row])
                    advance(0, note=f"loss {row['loss']:.3f}, top-1 {row['retrieval_top1']:.0%}")
                if time.monotonic() - saved_at >= settings.checkpoint_every_seconds:
                    _finite(loss.item(), batch.step)
                    checkpoints.save(steps_done)
                    saved_at = time.monotonic()
                advance()
        except KeyboardInterrupt:
            # May come in the middle of an update: only what the last checkpoint holds is sure to be whole.
            console.print(
                f"pretrain: interrupted after step {steps_done} of {plan.steps}; the same command goes on"
            )
            raise
    checkpoints.save(plan.steps)

    encoder_config = AudioEncoderConfig(
        log_mel=config.log_mel,
        log_mel_mean=plan.log_mel_mean,
        log_mel_standard_deviation=plan.log_mel_standard_deviation,
        encoder=config.encoder,
        crop_seconds=config.crops.crop_seconds,
        crop_hop_seconds=config.crops.crop_seconds / 2,
    )
    AudioEncoder(encoder_config, learner.encoder, device=settings.device).save(folder / ENCODER_FOLDER)
    last = log.rows[-1]
    return {
        "steps": plan.steps,
        "epochs": round(plan.steps / crops.steps_an_epoch, 2),
        "final_loss": last["loss"],
        "pairs_per_second": last["pairs_per_second"],
        "parameters": sum(parameter.numel() for parameter in learner.encoder.parameters()),
    }


def _reader_workers(config: PretrainConfig, device: torch.device, policy: Policy) -> int:
    """Processes that read crops; on a CPU reading alone costs less than handing it over."""
    if config.workers is not None:
        return config.workers
    if device.type == "cuda":
        return min(4, available_cores() - 1)
    return max(1, available_cores() // 2) if policy.waveform else 0


def _finite(loss: float, step: int) -> float:
    if not math.isfinite(loss):
        raise UserError(
            f"pretrain diverged: the loss of step {step} is {loss}; lower pretrain.learning_rate, "
            "raise objective.temperature or set pretrain.precision=float32"
        )
    return loss
