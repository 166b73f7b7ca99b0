"""Cells of the page: the views with their images and sounds embedded, and their drawn numbers as text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from echopair.augment.spectrogram.augmentation import LOG_POWER_PER_DECIBEL
from echopair.augment.waveform.augmentation import Waveform
from echopair.models.log_mel import LogMel
from echopair.pipeline.augmentation_page.figures import colour_scale, difference_png, log_mel_png
from echopair.pipeline.augmentation_page.views import PreviewClip, View
from echopair.pipeline.augmentation_page.wording import (
    applied_in_words,
    in_hz_and_seconds,
    quantity,
    spoken,
)
from echopair.pipeline.figure_style import shortened
from echopair.pipeline.pages import embedded, printable
from echopair.pipeline.pages.sound import flac, playing_gain, samples_played, turned_down_db

# A smaller mean change is hardly visible in the colours of a log-mel.
VISIBLE_DB = 1.5


@dataclass(frozen=True)
class Sound:
    """Content of a player, and by how many dB it is softer than the others; usually empty."""

    address: str
    softer_db: str


@dataclass(frozen=True)
class Cell:
    """A view: its image, its sound if its waveform was changed, and titles and numbers of what was applied.

    If the change is too small to see, it has an image of the difference and the mean change.
    """

    picture: str
    difference: str
    change_db: str
    sound: Sound | None
    applied: list[tuple[str, str]]


@dataclass(frozen=True)
class Original:
    """An unchanged crop, and the range of the colours of its images."""

    name: str
    short_name: str
    picture: str
    sound: Sound
    lowest_db: str
    highest_db: str


class Cells:
    """Makes cells of views, with one colour scale and one gain for each clip.

    Args:
        clips: crops of one length.
        log_mel: front end.
        players: number of players on the page.
    """

    def __init__(self, clips: Sequence[PreviewClip], log_mel: LogMel, players: int) -> None:
        self._clips = clips
        self._log_mel = log_mel
        self._sample_rate_hz = log_mel.config.sample_rate_hz
        self._log_mels = log_mel(torch.from_numpy(np.stack([clip.waveform for clip in clips]))).numpy()
        self._scales = [colour_scale(one) for one in self._log_mels]
        self._gains = [playing_gain(clip.waveform) for clip in clips]
        self.samples_played = samples_played(players, len(clips[0].waveform), self._sample_rate_hz)

    def original(self, clip: int) -> Original:
        """The unchanged crop of a clip."""
        scale = self._scales[clip]
        name = printable(self._clips[clip].name)
        return Original(
            name=name,
            short_name=shortened(name, 34),
            picture=embedded("image/png", log_mel_png(self._log_mels[clip], scale)),
            sound=self._sound(self._clips[clip].waveform, clip),
            lowest_db=quantity(round(scale.lowest / LOG_POWER_PER_DECIBEL)),
            highest_db=quantity(round(scale.highest / LOG_POWER_PER_DECIBEL)),
        )

    def cell(self, view: View, clip: int) -> Cell:
        """A view of a clip."""
        difference_db = (view.log_mel - self._log_mels[clip]) / LOG_POWER_PER_DECIBEL
        change_db = float(np.abs(difference_db).mean())
        return Cell(
            picture=embedded("image/png", log_mel_png(view.log_mel, self._scales[clip])),
            difference=(
                embedded("image/png", difference_png(difference_db)) if 0 < change_db < VISIBLE_DB else ""
            ),
            change_db=quantity(change_db, "dB"),
            sound=None if view.waveform is None else self._sound(view.waveform, clip),
            applied=[
                (spoken(name), applied_in_words(name, in_hz_and_seconds(name, numbers, self._log_mel)))
                for name, numbers in view.applied
            ],
        )

    def _sound(self, waveform: Waveform, clip: int) -> Sound:
        part = waveform[: self.samples_played]
        softer_db = turned_down_db(part, self._gains[clip])
        played = part * np.float32(self._gains[clip] * 10 ** (-softer_db / 20))
        return Sound(
            embedded("audio/flac", flac(played, self._sample_rate_hz)),
            quantity(softer_db, "dB") if softer_db >= 0.05 else "",
        )
