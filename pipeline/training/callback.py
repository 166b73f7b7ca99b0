"""TrainingCallback: how a caller follows a training, and may end it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from echopair.models.audio_encoder import AudioEncoder


class TrainingCallback:
    """Is called in the course of a training; each method does nothing unless overridden.

    No callback changes the result of a training, unless it ends it by raising.
    """

    milestones: int = 0
    """Points at equal distances in the training, the last one at its end, at which `on_milestone` is called."""

    def on_begin(self) -> None:
        """The training begins or continues; not called if an earlier process finished it."""

    def on_metrics(self, rows: list[dict[str, float]]) -> None:
        """There are new rows of metrics, each with its `step`; first those of earlier processes."""

    def on_milestone(self, milestone: int, step: int, steps: int, encoder: AudioEncoder) -> None:
        """The training has come to a milestone.

        What this writes is on disk before the checkpoint of this step is, so a process that continues from that
        checkpoint does not come to the milestone again.

        Args:
            milestone: 1, 2, ...
            step: steps done.
            steps: of the whole training.
            encoder: the weights being trained, in eval mode; to be used before this returns.
        """

    def on_checkpoint(self, milestone: int) -> None:
        """The checkpoint of that milestone is on disk; may end the training by raising."""
