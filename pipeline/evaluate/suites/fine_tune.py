"""The suite `fine_tune`: the whole encoder trained on labels, beside the same from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from echopair.lazy import np
from echopair.pipeline.evaluate.suites.base import Result, Subject, Suite, SuiteConfig
from echopair.pipeline.evaluate.suites.linear import chance_of, score_metrics
from echopair.pipeline.progress import progress_bar

if TYPE_CHECKING:
    from echopair.pipeline.evaluate.frozen_encoder import FrozenEncoder
    from echopair.pipeline.evaluate.task import Task


class FineTuneConfig(SuiteConfig):
    """How the encoder is trained on."""

    folds: int = Field(1, ge=1, description="test folds, from the first on; each is a training of its own")
    epochs: int = Field(30, ge=1, description="at most; an epoch is a random crop of each clip")
    patience: int = Field(8, ge=1, description="epochs without a better score before it ends")
    batch_clips: int = Field(32, ge=2, description="clips in a step")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="of the linear layer, after warm-up")
    layer_decay: float = Field(
        0.85,
        gt=0,
        le=1,
        description="factor of the rate from each layer to the one before it; 1 is the same for all",
    )
    mixup: float = Field(
        0.0, ge=0, le=10, description="alpha of the shares in which clips and labels are mixed; 0 mixes none"
    )


class FineTune(Suite):
    """Accuracy, or mean average precision, of encoders trained on the labels of the training folds."""

    name = "fine_tune"
    question = "How good does the encoder become where it is trained on the labels?"
    method = (
        "The whole encoder and a linear layer, trained by AdamW with smaller rates for lower layers (Clark et al., "
        "ICLR 2020); stopped by the score of a part of the training sources. Untrained is the same from scratch."
    )
    metrics: ClassVar = {"score": "accuracy", "macro_accuracy": "macro accuracy"}
    config = FineTuneConfig
    libraries = ("torch", "torchaudio", "scipy")

    def takes(self, encoder: FrozenEncoder) -> bool:
        """Encoders of echopair: mel statistics and peers cannot be trained."""
        return encoder.audio_encoder is not None

    def evaluate(self, task: Task, subject: Subject, config: FineTuneConfig) -> Result:
        """See `Suite`."""
        from echopair.pipeline.evaluate.fine_tuning import Training, fine_tune

        encoder = subject.encoder.audio_encoder
        assert encoder is not None
        tried = replace(task, folds=task.folds[: config.folds])
        scores, details = [], []
        settings = Training(**config.model_dump(exclude={"folds"}), seed=task.seed)
        title = f"{self.name} {task.corpus}, {subject.encoder.name}"
        with progress_bar(title, config.epochs * len(tried.folds), "epochs") as advance:
            for fold in tried.folds:
                learn, choose = fold.validation[0] if fold.validation else (fold.train, fold.test[:0])
                done = fine_tune(
                    encoder,
                    subject.store,
                    task.targets,
                    learn,
                    choose,
                    fold.test,
                    settings,
                    task.multilabel,
                    lambda epoch: advance(1, "" if epoch.score is None else f"{epoch.score:.1%}"),
                )
                scores.append(done.scores)
                details.append(
                    {
                        "fold": fold.name,
                        "epoch": done.epoch,
                        "loss": [one.loss for one in done.curve],
                        "validation_score": [one.score for one in done.curve],
                    }
                )
        return Result(score_metrics(tried, np.concatenate(scores)), {"folds": details})

    def chance(self, task: Task, config: FineTuneConfig) -> dict[str, float]:
        """Of always guessing the one class that is right most often."""
        return chance_of(replace(task, folds=task.folds[: config.folds]))

    def title(self, task: Task) -> str:
        """Of its table, behind the corpus."""
        return "fine-tuning, in percent of the clips of the folds that were tested"

    def figure(self, task: Task, results: Mapping[str, Result], config: FineTuneConfig, file: Path) -> None:
        """Draw the validation score after each epoch of the first fold."""
        from echopair.pipeline.evaluate.figures import learning_curves_figure

        curves = {name: one.details["folds"][0]["validation_score"] for name, one in results.items()}
        chosen = {name: one.details["folds"][0]["epoch"] for name, one in results.items()}
        if all(score is not None for curve in curves.values() for score in curve):
            learning_curves_figure(curves, chosen, f"validation {task.score_name}", file)
