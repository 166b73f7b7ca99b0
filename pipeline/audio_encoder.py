"""The `AudioEncoder` of `from echopair import AudioEncoder`: it loads encoders from wherever they are."""

from pathlib import Path
from typing import Self

from echopair.models import audio_encoder
from echopair.models.precision import Device, Precision
from echopair.pipeline.encoder_source import encoder_folder


class AudioEncoder(audio_encoder.AudioEncoder):
    """An encoder from waveforms of any length and rate to embeddings of one size.

    A clip is cut into overlapping crops; its embedding is the mean and the maximum of theirs.
    """

    @classmethod
    def load(cls, source: str | Path, *, device: Device = "auto", precision: Precision = "auto") -> Self:
        """Load an encoder from a folder, the Hugging Face Hub or MLflow; nothing in it is executed.

        Args:
            source: a folder; or `hf://OWNER/NAME`, `runs:/RUN_ID/encoder` or `models:/...`, see `encoder_folder`.
            device: auto is the GPU where there is one.
            precision: auto is bfloat16 on a GPU that multiplies in it or a CPU with AMX.

        Raises:
            FileNotFoundError: the folder lacks `encoder.json` or `encoder.safetensors`.
            ValueError: one of them is not of this format, or the weights are not those of the config.
            UserError: there is no encoder at the address, or it cannot be fetched.
        """
        with encoder_folder(source) as folder:
            return super().load(folder, device=device, precision=precision)
