"""Stage 2: pairs -> encoder. The training loop."""

import itertools
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, cast

from echopair.models.audio_encoder import AudioEncoder, AudioEncoderConfig
from echopair.models.log_mel import LogMel
from echopair.models.methods import Method
from echopair.models.methods.method import CHANCE_LEVEL
from echopair.models.precision import resolve_device
from echopair.models.processes import from_first, process_rank
from echopair.pipeline.errors import UserError
from echopair.pipeline.progress import console, progress_bar
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.batches import Phase, scheduled_batches
from echopair.pipeline.training.budget import steps_of_budget
from echopair.pipeline.training.callback import TrainingCallback
from echopair.pipeline.training.checkpoints import (
    ENCODER_FOLDER,
    Checkpoints,
    MetricsLog,
    Plan,
    load_plan,
    save_plan,
)
from echopair.pipeline.training.crops import CropBatch
from echopair.pipeline.training.learner import Learner, LearningConfig, learning_rate
from echopair.pipeline.training.learning_data import learning_data
from echopair.pipeline.training.throughput import Throughput, peak_memory_mb
from echopair.pipeline.training.views import measure_statistics

if TYPE_CHECKING:
    from echopair.models.encoders.base import Encoder


class Diverged(UserError):  # noqa: N818  (how a training ended, as a sweep records it)
    """The loss of a training is not finite any more."""


def milestone_steps(steps: int, milestones: int) -> list[int]:
    """After which steps a training has its milestones: all different, the last one at its end.

    Args:
        steps: of the training, at least 1.
        milestones: how many; a training of fewer steps has one after each step.
    """
    return sorted({max(1, round(number * steps / milestones)) for number in range(1, milestones + 1)})


def pretrain(
    stores: Sequence[ClipStore],
    config: LearningConfig,
    folder: Path,
    callback: TrainingCallback | None = None,
) -> dict[str, object]:
    """Train an encoder by a method; continues where an earlier process stopped.

    Where several processes train together (see `models.processes`), each calls this with the same arguments, and the
    first one alone writes to the folder.

    Args:
        stores: clips to learn from, at one rate; their labels are used if positives or the method need them.
        config: what decides the result.
        folder: existing folder; gets `encoder/`, `checkpoints/`, `metrics.jsonl` and `plan.json`.
        callback: follows the training; changes no result.

    Returns:
        Figures for the stage's marker: `steps`, `epochs`, `pairs_per_second`, `peak_memory_mb`,
        `final_loss`, `parameters`.

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
    all_crops = Phase(stores, config.config_at(0), device).crops
    data = learning_data(all_crops, config)
    learner = Learner(config, device, data)
    method = learner.method

    checkpoints = Checkpoints(folder, method=method.modules, optimiser=learner.optimiser)
    first = checkpoints.restore()
    log = MetricsLog(folder, first)
    if first:
        console.print(f"pretrain: continues after step {first} of {plan.steps}")
    callback.on_metrics(log.rows)

    encoder_config = AudioEncoderConfig(
        log_mel=config.log_mel,
        log_mel_mean=plan.log_mel_mean,
        log_mel_standard_deviation=plan.log_mel_standard_deviation,
        encoder=cast("Encoder", method.encoder).config,  # a method may train another one than config.encoder
        crop_seconds=config.crops.crop_seconds,
        crop_hop_seconds=config.crops.crop_seconds / 2,
    )
    # It shares the weights that are being trained, so it can be used, and saved, after any step.
    audio_encoder = AudioEncoder(encoder_config, method.encoder, device=settings.device)
    steps_of_milestones = milestone_steps(plan.steps, callback.milestones)
    milestone_after = {step: milestone for milestone, step in enumerate(steps_of_milestones, start=1)}

    method.modules.train()
    throughput = Throughput()
    saved_at = time.monotonic()
    steps_done = first
    with progress_bar("pretrain", plan.steps, "steps", done=first) as advance:
        try:
            for phase, crops in scheduled_batches(stores, config, device, first, plan.steps):
                throughput.data_arrived()
                batch = phase.batch(crops, log_mel, plan.statistics, data.augmentations)
                loss, metrics = learner.step(batch, phase.config, crops.step, plan.steps)
                steps_done = crops.step + 1
                throughput.step_done(phase.crops.pairs)
                if steps_done % settings.log_every_steps == 0 or steps_done == plan.steps:
                    row = {
                        "step": steps_done,
                        "loss": _finite(loss.item(), crops.step, method),
                        **metrics(),
                        "learning_rate": learning_rate(phase.config.pretrain, crops.step, plan.steps),
                        **throughput.metrics(),
                    }
                    log.append(row)
                    _warn_of_collapse(method, log.rows)
                    callback.on_metrics([row])
                    advance(0, note=_progress_note(row))
                milestone = milestone_after.get(steps_done)
                if milestone or time.monotonic() - saved_at >= settings.checkpoint_every_seconds:
                    _finite(loss.item(), crops.step, method)
                    if milestone:
                        audio_encoder.eval()
                        callback.on_milestone(milestone, steps_done, plan.steps, audio_encoder)
                        method.modules.train()
                    checkpoints.save(steps_done)
                    if milestone:
                        callback.on_checkpoint(milestone)
                        throughput = Throughput()  # the time of a callback is not the training's
                    saved_at = time.monotonic()
                advance()
        except KeyboardInterrupt:
            # It may come in the middle of an update: only the last checkpoint is sure to be whole.
            console.print(
                f"pretrain: interrupted after step {steps_done} of {plan.steps}; the same command continues it"
            )
            raise
    checkpoints.save(plan.steps)

    if process_rank() == 0:
        audio_encoder.save(folder / ENCODER_FOLDER)
    return {
        "steps": plan.steps,
        "epochs": round(plan.steps / all_crops.steps_per_epoch, 2),
        "final_loss": log.rows[-1]["loss"],
        "pairs_per_second": median(row["pairs_per_second"] for row in log.rows),
        "peak_memory_mb": round(peak_memory_mb(device)),
        "parameters": sum(parameter.numel() for parameter in method.encoder.parameters()),
    }


def plan_training(stores: Sequence[ClipStore], config: LearningConfig, folder: Path) -> Plan:
    """Determine once how many steps the budget is and the statistics of the log-mels; kept in `plan.json`.

    Args:
        stores: see `pretrain`.
        config: see `pretrain`.
        folder: existing folder.

    Raises:
        UserError: see `PairCrops`.
    """
    plan = from_first(load_plan(folder))
    if plan is not None:
        return plan
    started = time.monotonic()
    settings = config.pretrain
    device = resolve_device(settings.device)
    phase = Phase(stores, config.config_at(0), device)
    data = learning_data(phase.crops, config)
    if phase.crops.pairs < settings.batch_pairs:
        console.print(
            f"[yellow]pretrain: batches of {phase.crops.pairs} pairs[/], the "
            f"{'recordings' if config.crops.recordings_apart else 'segments'} that the clips have; "
            f"pretrain.batch_pairs={settings.batch_pairs} is more"
        )
    if phase.crops.left_out:
        console.print(f"[yellow]pretrain: {phase.crops.left_out}[/]")
    log_mel = LogMel(config.log_mel).to(device)
    statistics = None
    if process_rank() == 0:
        statistics = measure_statistics(stores, log_mel, phase.crops.crop_samples, config.seed)
    statistics = from_first(statistics)
    assert statistics is not None

    def train_step(learner: Learner, crops: CropBatch) -> None:
        batch = phase.batch(crops, log_mel, statistics, data.augmentations)
        learner.step(
            batch, phase.config, crops.step, crops.step + 1
        )  # how many there will be is not known yet

    steps = steps_of_budget(
        settings,
        phase.crops.steps_per_epoch,
        phase.batches(itertools.count()),
        started,
        train_step,
        Learner(config, device, data),
    )
    plan = from_first(Plan(steps, statistics.mean, statistics.standard_deviation))
    if process_rank() == 0:
        save_plan(folder, plan)
    return plan


def _progress_note(row: Mapping[str, float]) -> str:
    """The loss and the metrics that have a chance level, such as "loss 4.21, retrieval top1 0.43"."""
    compared = (name for name in row if name == "loss" or name + CHANCE_LEVEL in row)
    return ", ".join(f"{name.replace('_', ' ')} {row[name]:#.3g}" for name in compared)


def _warn_of_collapse(method: Method, rows: Sequence[dict[str, float]]) -> None:
    """Warn if the last row is the first that shows a collapse."""
    reason = method.collapse(rows[-1])
    if reason and not any(method.collapse(row) for row in rows[:-1]):
        advice = method.config.COLLAPSED_ADVICE
        console.print(
            f"[bold red]pretrain: the representation has collapsed[/] at step {rows[-1]['step']:.0f} ({reason}): "
            f"the encoder maps all clips to nearly the same place. {advice[0].upper()}{advice[1:]}."
        )


def _finite(loss: float, step: int, method: Method) -> float:
    if not math.isfinite(loss):
        advice = method.config.DIVERGED_ADVICE
        raise Diverged(f"pretrain diverged: the loss of step {step} is {loss}; {advice}")
    return loss
