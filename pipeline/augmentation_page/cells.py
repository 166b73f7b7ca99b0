"""Views as the page shows them: pictures and sound as addresses within the page, numbers as words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from echopair.augment.waveform.augmentation import Waveform
from echopair.models.log_mel import LogMel
from echopair.pipeline.augmentation_page.figures import DECIBELS, colour_scale, difference_png, log_mel_png
from echopair.pipeline.augmentation_page.views import PreviewClip, View
from echopair.pipeline.augmentation_page.wording import applied_in_words, quantity, spoken
from echopair.pipeline.figure_style import shortened
from echopair.pipeline.pages import embedded, printable
from echopair.pipeline.pages.sound import flac, playing_gain, samples_played, turned_down_db

# A mean change below this is hardly seen in the colours of a log-mel.
VISIBLE_DB = 1.5


@dataclass(frozen=True)
class Sound:
    """What a player plays, and by how many dB softer than its neighbours; empty as a rule."""

    address: str
    softer_db: str


@dataclass(frozen=True)
class Cell:
    """A view: its picture, its sound if its waveform was changed, and what was applied: titles and numbers.

    Where it differs from its crop too little to be seen, it has a picture of the difference, and the mean of that.
    """

    picture: str
    difference: str
    change_db: str
    sound: Sound | None
    applied: list[tuple[str, str]]


@dataclass(frozen=True)
class Original:
    """A crop as it is, and the ends of the colours of its pictures."""

    name: str
    short_name: str
    picture: str
    sound: Sound
    lowest_db: str
    highest_db: str


class Cells:
    """Makes cells of views, on one scale of colours and at one gain for each clip.

    Args:
        clips: crops of one length.
        log_mel: front end.
        players: how many sounds the page will hold.
    """

    def __init__(self, clips: Sequence[PreviewClip], log_mel: LogMel, players: int) -> None:
        self._clips = clips
        self._sample_rate_hz = log_mel.config.sample_rate_hz
        self._log_mels = log_mel(torch.from_numpy(np.stack([clip.waveform for clip in clips]))).numpy()
        self._scales = [colour_scale(one) for one in self._log_mels]
        self._gains = [playing_gain(clip.waveform) for clip in clips]
        self.samples_played = samples_played(players, len(clips[0].waveform), self._sample_rate_hz)

    def original(self, clip: int) -> Original:
        """A clip's crop as it is."""
        scale = self._scales[clip]
        name = printable(self._clips[clip].name)
        return Original(
            name=name,
            short_name=shortened(name, 34),
            picture=embedded("image/png", log_mel_png(self._log_mels[clip], scale)),
            sound=self._sound(self._clips[clip].waveform, clip),
            lowest_db=quantity(round(scale.lowest * DECIBELS)),
            highest_db=quantity(round(scale.highest * DECIBELS)),
        )

    def cell(self, view: View, clip: int) -> Cell:
        """A view of a clip."""
        difference_db = DECIBELS * (view.log_mel - self._log_mels[clip])
        change_db = float(np.abs(difference_db).mean())
        return Cell(
            picture=embedded("image/png", log_mel_png(view.log_mel, self._scales[clip])),
            difference=(
                embedded("image/png", difference_png(difference_db)) if 0 < change_db < VISIBLE_DB else ""
            ),
            change_db=quantity(change_db, "dB"),
            sound=None if view.waveform is None else self._sound(view.waveform, clip),
            applied=[(spoken(name), applied_in_words(name, numbers)) for name, numbers in view.applied],
        )

    def _sound(self, waveform: Waveform, clip: int) -> Sound:
        part = waveform[: self.samples_played]
        softer_db = turned_down_db(part, self._gains[clip])
        played = part * np.float32(self._gains[clip] * 10 ** (-softer_db / 20))
        return Sound(
            embedded("audio/flac", flac(played, self._sample_rate_hz)),
            quantity(softer_db, "dB") if softer_db >= 0.05 else "",
        )
