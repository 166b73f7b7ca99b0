"""TrainingCallback: how a caller follows a training, and may end it."""

from echopair.models.audio_encoder import AudioEncoder


class TrainingCallback:
    """Is called in the course of a training; each method does nothing unless overridden.

    No callback changes the result of a training, unless it ends it by raising.
    """

    evaluations: int = 0
    """Equal shares that the training is divided into, after each of which `on_evaluation` is called."""

    def on_begin(self) -> None:
        """The training begins or continues; not called if an earlier process finished it."""

    def on_metrics(self, rows: list[dict[str, float]]) -> None:
        """There are new rows of metrics, each with its `step`; first those of earlier processes."""

    def on_evaluation(self, evaluation: int, step: int, steps: int, encoder: AudioEncoder) -> None:
        """A share of the training is done.

        What this writes is on disk before the checkpoint of this step is, so a process that continues from that
        checkpoint does not repeat the evaluation.

        Args:
            evaluation: 1, 2, ...
            step: steps done.
            steps: of the whole training.
            encoder: the weights being trained, in eval mode; to be used before this returns.
        """

    def on_checkpoint(self, evaluation: int) -> None:
        """The checkpoint of that evaluation is on disk; may end the training by raising."""
