"""Background noise: a section of the user's own recordings mixed into the crop."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from echopair.augment.waveform.augmentation import Transform, Waveform
from echopair.augment.waveform.noise import HIGHEST_SNR_DB, LOWEST_SNR_DB, NoiseConfig
from echopair.augment.waveform.sound_folder import SoundReader, check_sounds, find_sounds, list_sounds
from echopair.lazy import np


class BackgroundNoiseConfig(NoiseConfig, frozen=True, extra="forbid"):
    """A background 5 to 30 dB below the crop: at 5 dB a busy street behind a voice that is still understood.

    Record some minutes without events, with the recorders and at the places of the clips.
    """

    name: Literal["background_noise"] = "background_noise"
    folder: Path = Field(
        description="folder of the sounds (wav, flac, ogg, mp3, aiff, au, caf ...), in any depth"
    )
    min_snr_db: float = Field(
        5.0,
        ge=LOWEST_SNR_DB,
        le=HIGHEST_SNR_DB,
        description="lowest signal-to-noise ratio in dB: the loudest background",
    )
    max_snr_db: float = Field(
        30.0,
        ge=LOWEST_SNR_DB,
        le=HIGHEST_SNR_DB,
        description="highest signal-to-noise ratio in dB: the softest background",
    )

    def contents(self) -> list[tuple[str, int, int]]:
        """The sounds of the folder."""
        return list_sounds(self.folder)

    def check(self, sample_rate_hz: int) -> None:
        """Open every sound and read its header.

        Raises:
            ValueError: there is no such folder, no sound in it, or one that cannot be opened.
        """
        check_sounds(self.folder)

    def transform(self, strength: float, sample_rate_hz: int) -> Transform:
        """audiomentations' AddBackgroundNoise that reads sounds by `SoundReader`."""
        from audiomentations import AddBackgroundNoise

        files = find_sounds(self.folder)
        low, high = self.snr_range_db(strength)
        transform = AddBackgroundNoise(files, min_snr_db=low, max_snr_db=high, p=1.0)
        return BackgroundNoise(transform, SoundReader(files, sample_rate_hz))


class BackgroundNoise:
    """AddBackgroundNoise that reads sounds by `SoundReader`.

    The library opens and resamples a file for every crop with a warning each time, warns of silent sections
    too, and never returns from a damaged file that contains less than it declares.

    Args:
        transform: AddBackgroundNoise, which draws sound, start and level.
        reader: reader of the same sounds.
    """

    def __init__(self, transform: Any, reader: SoundReader) -> None:
        self._transform, self._reader = transform, reader

    def __call__(self, samples: Waveform, sample_rate: int) -> Waveform:
        """One crop (L,) with a freshly drawn background; a silent background changes nothing."""
        self._transform.randomize_parameters(samples, sample_rate)
        drawn = self._transform.parameters
        background = self._reader.section(Path(drawn["noise_file_path"]), drawn["offset"], len(samples))
        size = np.linalg.norm(background)
        if size == 0:
            return samples
        gain = np.linalg.norm(samples) / size * 10 ** (-drawn["snr_db"] / 20)
        return samples + background * np.float32(gain)

    def serialize_parameters(self) -> dict[str, Any]:
        """The parameters of the last call."""
        drawn = self._transform.parameters
        return {
            "snr_db": drawn["snr_db"],
            "background": Path(drawn["noise_file_path"]).name,
            "start_seconds": drawn["offset"],
        }
