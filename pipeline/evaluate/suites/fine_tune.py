"""The suite `fine_tune`: the whole encoder learns from the labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from echopair.lazy import np
from echopair.pipeline.errors import listed
from echopair.pipeline.evaluate.suites.base import Result, Subject, Suite, SuiteConfig
from echopair.pipeline.evaluate.suites.linear import chance_of, score_metrics
from echopair.pipeline.evaluation.labels import quoted
from echopair.pipeline.progress import progress_bar

if TYPE_CHECKING:
    from pathlib import Path

    from echopair.pipeline.evaluate.frozen_encoder import FrozenEncoder
    from echopair.pipeline.evaluate.task import Task
    from echopair.pipeline.evaluation.base import ResultTable


class FineTuneConfig(SuiteConfig):
    """How an encoder is fine-tuned.

    One fold is tested and epochs are few, since each is a training of the whole encoder. Rates that fall from layer to
    layer need a larger `learning_rate`: 0.01 with 0.75, where 0.003 is for equal ones.
    """

    epochs: int = Field(12, ge=1, description="passes over the clips, at most; two crops of each")
    patience: int = Field(
        4, ge=1, description="epochs without a better validation score that end the training"
    )
    batch_clips: int = Field(16, ge=2, description="clips per step")
    learning_rate: float = Field(3e-3, gt=0, le=1, description="of the head, after warm-up")
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="learning rate of a layer as a share of that of the next one"
    )
    mixup: float = Field(0.0, ge=0, le=10, description="alpha of mixup; 0 mixes nothing")
    folds: int = Field(1, ge=1, description="how many of the folds are tested, the first ones")


class FineTune(Suite):
    """Accuracy, or mean average precision, of the encoder itself, trained on the labels."""

    name = "fine_tune"
    question = "How good does the encoder become when all of it learns from the labels?"
    method = (
        "All weights of a copy of the encoder and a linear head learn by cross-entropy from random crops; with "
        "layer_decay below 1 lower layers at lower rates (Clark et al., ICLR 2020). The epoch is chosen on held-out "
        "sources of the training folds. The same training of the untrained encoder is the yardstick; mel statistics "
        "and encoders of others cannot be trained so."
    )
    metrics: ClassVar = {"score": "accuracy", "macro_accuracy": "macro accuracy"}
    config = FineTuneConfig
    libraries = ("torchaudio", "scikit-learn", "scipy")

    def lacks(self, task: Task, config: FineTuneConfig) -> str:
        """Sources to choose the epoch on."""
        folds = _tested(task, config).folds
        return (
            ""
            if all(fold.validation for fold in folds)
            else "several sources of a class in the training folds"
        )

    def takes(self, encoder: FrozenEncoder) -> bool:
        """Only encoders of echopair."""
        return encoder.audio_encoder is not None

    def evaluate(self, task: Task, subject: Subject, config: FineTuneConfig) -> Result:
        """See `Suite`."""
        from echopair.pipeline.evaluate.fine_tuning import fine_tune

        assert subject.encoder.audio_encoder is not None
        part = _tested(task, config)
        title = f"{self.name} {task.corpus}, {subject.encoder.name}"
        with progress_bar(title, len(part.folds) * config.epochs, "epochs") as advance:
            tuned = [
                fine_tune(subject.encoder.audio_encoder, subject.store, part, number, config, advance)
                for number in range(len(part.folds))
            ]
        curves = [
            {"fold": fold.name, "epoch": one.epoch, "losses": one.losses, "validation": one.validation}
            for fold, one in zip(part.folds, tuned, strict=True)
        ]
        scores = np.concatenate([one.scores for one in tuned])
        return Result(score_metrics(part, scores), {"folds": curves}, _undefined(part))

    def chance(self, task: Task, config: FineTuneConfig) -> dict[str, float]:
        """Of always guessing the one class that is right most often."""
        return chance_of(_tested(task, config))

    def tables(self, task: Task, results: Mapping[str, Result], config: FineTuneConfig) -> list[ResultTable]:
        """See `Suite`; of the folds that are tested."""
        return super().tables(_tested(task, config), results, config)

    def figure(self, task: Task, results: Mapping[str, Result], config: FineTuneConfig, file: Path) -> None:
        """Learning curves, and the scores of the test clips."""
        from echopair.pipeline.evaluate.figures import learning_curve_figure

        curves = {
            name: [(fold["validation"], fold["epoch"]) for fold in one.details["folds"]]
            for name, one in results.items()
        }
        scores = {name: one.metrics["score"] for name, one in results.items()}
        learning_curve_figure(curves, scores, task.score_name, self.chance(task, config)["score"], file)


def _tested(task: Task, config: FineTuneConfig) -> Task:
    """The task with the folds that are tested alone."""
    if config.folds >= len(task.folds):
        return task
    return replace(task, folds=task.folds[: config.folds], protocol=f"{config.folds} of {task.protocol}")


def _undefined(task: Task) -> tuple[str, ...]:
    tested = task.targets[task.tested].sum(0).tolist()
    absent = [name for name, clips in zip(task.classes, tested, strict=True) if not clips]
    mean = "mean average precision" if task.multilabel else "macro accuracy"
    return (f"{mean} is without {listed(quoted(absent))}, of which no clip is tested",) if absent else ()
