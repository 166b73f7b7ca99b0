"""`transformers:FOLDER`: wav2vec 2.0, HuBERT and WavLM from a folder that transformers of Hugging Face wrote."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from echopair.pipeline.errors import UserError, first_line
from echopair.pipeline.evaluate.peers.frames import FrameEncoder
from echopair.pipeline.evaluate.peers.peer import device_of
from echopair.pipeline.progress import console
from echopair.pipeline.stages import digest_files

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.lazy import np, torch
    from echopair.pipeline.embed import EmbedConfig

# What `save_pretrained` and the Hub leave in a folder of a model and its feature extractor.
FILES = ("config.json", "preprocessor_config.json")
WEIGHTS = (".safetensors", ".bin")


class TransformersEncoder(FrameEncoder):
    """The mean over time of the last hidden state; waveforms are normalised as the feature extractor says.

    Args:
        name: what tables call it.
        rest: of the address: a folder with `config.json`, `preprocessor_config.json` and weights.
        config: the device.

    Raises:
        UserError: transformers is missing, or the folder holds no such model.
    """

    def __init__(self, name: str, rest: str, config: EmbedConfig) -> None:
        address, folder = f"transformers:{rest}", Path(rest)
        if importlib.util.find_spec("transformers") is None:
            raise UserError(
                f"{address} needs the package transformers, which is missing: pip install transformers"
            )
        if missing := [one for one in FILES if not (folder / one).is_file()]:
            raise UserError(
                f"{address}: {folder} is no folder of a model of transformers: it has no {missing[0]}"
            )
        from transformers import AutoFeatureExtractor, AutoModel, __version__
        from transformers.utils import logging

        logging.disable_progress_bar()
        try:
            with console.status(f"loading {address}"):
                safely = {"local_files_only": True, "trust_remote_code": False}
                self._extractor = AutoFeatureExtractor.from_pretrained(folder, **safely)
                model = AutoModel.from_pretrained(folder, **safely).float()
        except Exception as error:
            raise UserError(f"{address} cannot be loaded: {first_line(error)}") from error
        self._device = device_of(config)
        self._model = model.to(self._device).eval()
        files = sorted(one for one in folder.iterdir() if one.name in FILES or one.suffix in WEIGHTS)
        rate = getattr(self._extractor, "sampling_rate", None)
        super().__init__(address, name, rate, ["transformers", __version__, digest_files(*files)])

    def frames(self, waveform: NDArray[np.float32]) -> torch.Tensor:
        """See `FrameEncoder`."""
        inputs = self._extractor(waveform, sampling_rate=self.sample_rate_hz, return_tensors="pt")
        hidden: torch.Tensor = self._model(**inputs.to(self._device)).last_hidden_state  # (1, T, D)
        return hidden[0]
