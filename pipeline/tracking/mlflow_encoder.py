"""The encoder as MLflow loads it; MLflow keeps a copy of this file beside the weights instead of a pickle."""

from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray

from echopair.models.waveforms import is_file


class EncoderModel(PythonModel):
    """Recordings of any length in, embeddings out."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the encoder folder that was logged with the model."""
        # Of echopair, the model has this package alone.
        from echopair.models.audio_encoder import AudioEncoder

        self._encoder = AudioEncoder.load(context.artifacts["encoder"])

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002
        model_input: np.ndarray,  # the only annotation that MLflow neither checks nor warns about
        params: dict[str, Any] | None = None,
    ) -> NDArray[np.float32]:
        """Embed recordings.

        Args:
            context: given by MLflow, not used.
            model_input: what `AudioEncoder.embed` takes.
            params: `sample_rate_hz` of arrays, the encoder's own if it is missing or None; `channels`, see there.

        Returns:
            (n, D) float32.
        """
        rate, channels = ((params or {}).get(name) for name in ("sample_rate_hz", "channels"))
        recordings: Any = model_input
        if not isinstance(recordings, list | tuple | str):
            recordings = np.asarray(recordings)
        first = recordings[0] if isinstance(recordings, list | tuple) and recordings else recordings
        if rate is None and not is_file(first):
            rate = self._encoder.config.log_mel.sample_rate_hz
        return np.atleast_2d(self._encoder.embed(recordings, rate, channels=channels).numpy())


set_model(EncoderModel())
