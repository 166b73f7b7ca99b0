"""The interface of HEAR 2021 for any encoder folder, as `hear-validator echopair.models.hear --model FOLDER`.

Source: Turian et al., HEAR: Holistic Evaluation of Audio Representations, PMLR 176, 2022;
https://hearbenchmark.com/hear-api.html.
"""

import torch
from torch import Tensor, nn

from echopair.models.audio_encoder import CROPS_PER_BATCH, AudioEncoder

# The largest that HEAR suggests. A second of sound then costs 20 crops, about ten times those of a scene embedding.
HOP_MS = 50


class HearModel(nn.Module):
    """An encoder with the attributes that HEAR asks for.

    Args:
        encoder: an encoder in evaluation mode.

    Attributes:
        sample_rate: of the sounds that it takes, in Hz.
        scene_embedding_size: of a sound, D of `AudioEncoder.embed`.
        timestamp_embedding_size: of a crop.
    """

    def __init__(self, encoder: AudioEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.sample_rate = encoder.config.log_mel.sample_rate_hz
        self.scene_embedding_size = encoder.embedding_dim
        self.timestamp_embedding_size = encoder.crop_embedding_dim

    def forward(self, audio: Tensor) -> Tensor:
        """Scene embeddings, see `get_scene_embeddings`."""
        return get_scene_embeddings(audio, self)

    def follow_weights(self) -> AudioEncoder:
        """The encoder, on the device that the model was moved to."""
        self.encoder.device = next(self.encoder.parameters()).device
        return self.encoder


def load_model(model_file_path: str = "") -> HearModel:
    """Load an encoder.

    Args:
        model_file_path: folder of an encoder, with `encoder.json` and `encoder.safetensors`.

    Raises:
        FileNotFoundError, ValueError: see `AudioEncoder.load`.
    """
    if not model_file_path:
        raise ValueError("model_file_path is missing; give the folder of an encoder of echopair")
    return HearModel(AudioEncoder.load(model_file_path))


def get_scene_embeddings(audio: Tensor, model: HearModel) -> Tensor:
    """Embed whole sounds as `AudioEncoder.embed` does.

    Args:
        audio: (n_sounds, n_samples) float32 within -1..1, at `model.sample_rate`.
        model: of `load_model`.

    Returns:
        (n_sounds, scene_embedding_size) float32, on the device of `audio`.
    """
    return model.follow_weights().embed(list(audio), model.sample_rate).to(audio.device)


@torch.no_grad()
def get_timestamp_embeddings(
    audio: Tensor, model: HearModel, hop_ms: float = HOP_MS
) -> tuple[Tensor, Tensor]:
    """Embed a crop around each of many moments; at both ends the sound is mirrored, so that crops are full.

    Args:
        audio: (n_sounds, n_samples) float32 within -1..1, at `model.sample_rate`.
        model: of `load_model`.
        hop_ms: time between two crops, above 0; the time that it takes is in proportion to 1 / hop_ms.

    Returns:
        Embeddings (n_sounds, t, timestamp_embedding_size) float32, and the times of the centres of their crops in
        milliseconds (n_sounds, t): 0, hop_ms, ... up to the end of the sound. Both on the device of `audio`.
    """
    encoder = model.follow_weights()
    sounds, samples = audio.shape
    moments = int(samples * 1000 // (hop_ms * model.sample_rate)) + 1
    times = torch.arange(moments, dtype=torch.float64) * hop_ms
    centres = (
        (times * model.sample_rate / 1000).round().long()
    )  # each by itself, so that no error accumulates
    crop_samples = encoder.config.crop_samples
    offsets = torch.arange(crop_samples) - crop_samples // 2
    embeddings = []
    for numbers in torch.split(torch.arange(sounds * moments), CROPS_PER_BATCH):
        sound, centre = numbers // moments, centres[numbers % moments]  # (B,)
        places = _mirrored(centre[:, None] + offsets, samples)  # (B, L)
        crops = audio[sound[:, None].to(audio.device), places.to(audio.device)]
        embeddings.append(encoder.embed_crops(crops, sound, centre))
    of_sounds = torch.cat(embeddings).view(sounds, moments, -1)
    return of_sounds.to(audio.device), times.float().repeat(sounds, 1).to(audio.device)


def _mirrored(places: Tensor, samples: int) -> Tensor:
    """Places within a sound for places before and behind it, as in a mirror at either end."""
    places = places.remainder(2 * samples)
    return torch.minimum(places, 2 * samples - 1 - places)
