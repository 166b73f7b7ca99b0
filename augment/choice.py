"""The union of all augmentations, of waveforms and of log-mels, as a list in a config names them."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, TypeAdapter

from echopair.augment.spectrogram import SpectrogramChoice
from echopair.augment.waveform import WaveformChoice


def _with_default_ranges(value: Any) -> Any:
    """A bare name in a list stands for that augmentation with its default ranges."""
    return {"name": value} if isinstance(value, str) else value


AugmentationChoice = Annotated[
    Annotated[WaveformChoice | SpectrogramChoice, Field(discriminator="name")],
    BeforeValidator(_with_default_ranges),
]
ORDER = "augmentations of waveforms are applied before those of log-mels, whatever the order of the list"

CHOICE: TypeAdapter[AugmentationChoice] = TypeAdapter(AugmentationChoice)
