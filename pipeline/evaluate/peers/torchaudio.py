"""`torchaudio:BUNDLE`: the pretrained wav2vec 2.0, HuBERT and WavLM of torchaudio.pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlparse

from echopair.lazy import torch
from echopair.pipeline.errors import UserError, did_you_mean, first_line
from echopair.pipeline.evaluate.peers.frames import FrameEncoder
from echopair.pipeline.evaluate.peers.peer import device_of
from echopair.pipeline.progress import console
from echopair.pipeline.stages import digest_files

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.lazy import np
    from echopair.pipeline.embed import EmbedConfig

# Which the bundles name relative to it, if they name no URL.
WEIGHTS_URL = "https://download.pytorch.org/torchaudio/models/"


class TorchaudioEncoder(FrameEncoder):
    """The mean over time of what the encoder of a bundle gives, before any layer that recognises speech.

    Args:
        name: what tables call it.
        rest: of the address: the name of a bundle, as `HUBERT_BASE`.
        config: the device.

    Raises:
        UserError: there is no such bundle, or its weights are not where torch.hub keeps them; nothing is downloaded.
    """

    def __init__(self, name: str, rest: str, config: EmbedConfig) -> None:
        from torchaudio import pipelines

        address = f"torchaudio:{rest}"
        bundle = getattr(pipelines, rest, None)
        if not isinstance(bundle, pipelines.Wav2Vec2Bundle):
            known = [
                one
                for one in pipelines.__all__
                if isinstance(getattr(pipelines, one), pipelines.Wav2Vec2Bundle)
            ]
            raise UserError(
                f"{address}: torchaudio has no such encoder{did_you_mean(rest, known)}; it has {', '.join(known)}"
            )
        url = urljoin(WEIGHTS_URL, bundle._path)
        file = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
        if not file.is_file():
            raise UserError(f"{address}: its weights are not on this machine; download {url} as {file}")
        try:
            with console.status(f"loading {address}"):
                model = bundle.get_model(dl_kwargs={"map_location": "cpu", "weights_only": True})
        except Exception as error:
            raise UserError(
                f"{address}: {file} does not hold its weights; delete it and download {url} again: {first_line(error)}"
            ) from error
        self._device = device_of(config)
        # A bundle that normalises wraps its network, to normalise a batch of waveforms as if they were one.
        self._network = getattr(model, "model", model).to(self._device).eval()
        self._normalises = bundle._normalize_waveform
        super().__init__(address, name, bundle.sample_rate, ["torchaudio", rest, digest_files(file)])

    def frames(self, waveform: NDArray[np.float32]) -> torch.Tensor:
        """See `FrameEncoder`."""
        samples = torch.from_numpy(waveform).to(self._device)
        if self._normalises:
            samples = torch.nn.functional.layer_norm(samples, samples.shape)
        features, _ = self._network.feature_extractor(samples[None], None)
        hidden: torch.Tensor = self._network.encoder(features, None)  # (1, T, D)
        return hidden[0]
