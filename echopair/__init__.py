"""echopair: self-supervised audio representations from recordings without labels."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from echopair.pipeline.audio_encoder import AudioEncoder

__all__ = ["AudioEncoder", "__version__"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: the command line answers without importing torch.
    if name == "AudioEncoder":
        from echopair.pipeline.audio_encoder import AudioEncoder

        return AudioEncoder
    if name == "__version__":
        from importlib.metadata import version

        return version("echopair")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
