"""What is learned: log-mel front end, encoders, projection, objectives; knows no pipeline."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.audio_encoder import AudioEncoder

__all__ = ["AudioEncoder"]


def __getattr__(name: str) -> Any:
    # Loaded when asked for: worker processes that only resample need not import torch.
    if name == "AudioEncoder":
        from models.audio_encoder import AudioEncoder

        return AudioEncoder
    raise AttributeError(f"module 'models' has no attribute {name!r}")
