"""The encoder as MLflow loads it; MLflow keeps a copy of this file beside the weights instead of a pickle."""

from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray


class EncoderModel(PythonModel):
    """Waveforms of any length in, embeddings out."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the encoder folder that was logged with the model."""
        from echopair import AudioEncoder

        self._encoder = AudioEncoder.load(context.artifacts["encoder"])

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002
        model_input: np.ndarray,  # the only annotation that MLflow neither checks nor warns about
        params: dict[str, Any] | None = None,
    ) -> NDArray[np.float32]:
        """Embed waveforms.

        Args:
            context: given by MLflow, not used.
            model_input: one waveform (L,), a batch (B, L), or a list of (L,) of different lengths.
            params: `sample_rate_hz` of the waveforms; the encoder's own rate if it is missing or None.

        Returns:
            (n, D) float32.
        """
        rate = (params or {}).get("sample_rate_hz") or self._encoder.config.log_mel.sample_rate_hz
        waveforms = _waveforms(model_input)
        return np.stack(
            [self._encoder.embed(waveform, sample_rate_hz=rate).numpy() for waveform in waveforms]
        )


def _waveforms(model_input: Any) -> list[NDArray[Any]]:
    if isinstance(model_input, list) and model_input and np.ndim(model_input[0]) == 1:
        return [np.asarray(waveform) for waveform in model_input]
    array = np.asarray(model_input)
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(
            f"input has shape {array.shape}; give a waveform (samples,), a batch (waveforms, samples) "
            "or a list of waveforms"
        )
    return list(np.atleast_2d(array))


set_model(EncoderModel())
