"""Impulse response: the crop as it would sound in a room, or through a device, that the user measured."""

import random
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from echopair.augment.waveform.augmentation import Transform, Waveform
from echopair.augment.waveform.reverberation import ReverberationConfig, mix_reverberation
from echopair.augment.waveform.sound_folder import check_sounds, find_sounds, list_sounds

# What lasts longer is no response of a room but a recording.
LONGEST_RESPONSE_SECONDS = 30.0
CLICK = np.ones(1, np.float32)


class ImpulseResponseConfig(ReverberationConfig, frozen=True, extra="forbid"):
    """A tenth to a half of the crop as heard in another room; the rest stays dry, as of a nearer source.

    Collections such as OpenAIR or the MIT survey serve where there are no own measurements.
    """

    name: Literal["impulse_response"] = "impulse_response"
    folder: Path = Field(description="folder of impulse responses (wav, flac, ...), in any depth")

    def contents(self) -> list[tuple[str, int, int]]:
        """The sounds of the folder."""
        return list_sounds(self.folder)

    def check(self, sample_rate_hz: int) -> None:
        """Open every impulse response, headers only.

        Raises:
            ValueError: there is no such folder, no sound in it, one that cannot be opened or is too long.
        """
        check_sounds(self.folder, LONGEST_RESPONSE_SECONDS)

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' ApplyImpulseResponse, mixed with the dry crop."""
        return WetAndDry(find_sounds(self.folder), *self.wet_shares(strength))


class WetAndDry:
    """ApplyImpulseResponse mixed with the dry crop.

    Alone, the library brings every crop to a peak of 0.5 at most, and delays it by whatever silence the
    response begins with.

    Args:
        files: the impulse responses.
        min_wet_share: 0 to 1.
        max_wet_share: at least the smallest.
    """

    def __init__(self, files: Sequence[Path], min_wet_share: float, max_wet_share: float) -> None:
        from audiomentations import ApplyImpulseResponse

        self._files, self._shares = files, (min_wet_share, max_wet_share)
        self._transform = ApplyImpulseResponse(list(files), leave_length_unchanged=False, p=1.0)
        self._drawn: dict[str, Any] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        # Built anew in another process: pickled, the library's transform loses its cache of responses, and warns.
        return type(self), (self._files, *self._shares)

    def __call__(self, samples: Waveform, sample_rate: int) -> Waveform:
        """One crop (L,) in a freshly drawn room.

        Raises:
            ValueError: the impulse response cannot be read.
        """
        self._transform.randomize_parameters(samples, sample_rate)
        file = self._transform.parameters["ir_file_path"]
        wet_share = random.uniform(*self._shares)
        self._drawn = {"impulse_response": Path(file).name, "wet_share": wet_share}
        try:
            with warnings.catch_warnings():
                # It warns of every response that it resamples, once, as it keeps them.
                warnings.simplefilter("ignore")
                # What it makes of a click is the response itself.
                response = self._transform.apply(CLICK, sample_rate)  # (M,)
                reverberated = self._transform.apply(samples, sample_rate)  # (L + M - 1,)
        except Exception as error:  # whatever the library's readers raise
            raise ValueError(f"{file} cannot be read: {error}. Remove it, or convert it to WAV") from error
        if not np.isfinite(response).all():
            raise ValueError(f"{file} holds samples that are not finite: remove it")
        return mix_reverberation(samples, reverberated, response, wet_share)

    def serialize_parameters(self) -> dict[str, Any]:
        """What was drawn last."""
        return self._drawn
