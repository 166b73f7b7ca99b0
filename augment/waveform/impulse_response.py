"""Impulse response: the crop as it would sound in a room or through a device that the user measured."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from echopair.augment.waveform.augmentation import Transform, Waveform
from echopair.augment.waveform.reverberation import ReverberationConfig, mix_reverberation
from echopair.augment.waveform.sound_folder import SoundReader, check_sounds, find_sounds, list_sounds

# A longer file is a recording, not the response of a room.
LONGEST_RESPONSE_SECONDS = 30.0


class ImpulseResponseConfig(ReverberationConfig, frozen=True, extra="forbid"):
    """A share of 0.1 to 0.5 of the crop as heard in another room; the rest stays dry, as of a nearer source.

    Collections such as OpenAIR or the MIT survey replace measurements of one's own.
    """

    name: Literal["impulse_response"] = "impulse_response"
    folder: Path = Field(description="folder of impulse responses (wav, flac, ...), in any depth")

    def contents(self) -> list[tuple[str, int, int]]:
        """The sounds of the folder."""
        return list_sounds(self.folder)

    def check(self, sample_rate_hz: int) -> None:
        """Open every impulse response and read its header.

        Raises:
            ValueError: there is no such folder, no sound in it, one that cannot be opened or is too long.
        """
        check_sounds(self.folder, LONGEST_RESPONSE_SECONDS)

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """Convolution with a response of the folder, mixed with the dry crop."""
        files = find_sounds(self.folder)
        return ImpulseResponse(files, SoundReader(files, sample_rate_hz), *self.wet_shares(strength))


class ImpulseResponse:
    """Convolves a crop with an impulse response and mixes the result with the dry crop.

    audiomentations' ApplyImpulseResponse decodes by librosa, whose result depends on whether ffmpeg is installed.
    It also brings every crop to a peak of 0.5, and delays it by the silence at the start of the response.

    Args:
        files: the impulse responses.
        reader: reader of the same files.
        min_wet_share: 0 to 1.
        max_wet_share: at least the smallest.
    """

    def __init__(
        self, files: Sequence[Path], reader: SoundReader, min_wet_share: float, max_wet_share: float
    ) -> None:
        self._files, self._reader = files, reader
        self._shares = (min_wet_share, max_wet_share)
        self._drawn: dict[str, Any] = {}

    def __call__(self, samples: Waveform, sample_rate: int) -> Waveform:
        """One crop (L,) in a freshly drawn room.

        Raises:
            ValueError: the impulse response cannot be read.
        """
        from scipy.signal import convolve

        random.random()  # ApplyImpulseResponse draws whether to apply: a seed keeps the room that it had with it
        file = random.choice(self._files)
        wet_share = random.uniform(*self._shares)
        self._drawn = {"impulse_response": file.name, "wet_share": wet_share}
        response = self._reader.whole(file)  # (M,)
        reverberated = convolve(samples, response)  # (L + M - 1,)
        return mix_reverberation(samples, reverberated, response, wet_share)

    def serialize_parameters(self) -> dict[str, Any]:
        """The parameters of the last call."""
        return self._drawn
