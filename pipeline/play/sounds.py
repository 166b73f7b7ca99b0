"""Picture and sound of a part of a recording, small enough for some hundred of them on a page."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import soundfile
import torch

from echopair.models.resample import resample
from echopair.pipeline.augmentation_page.figures import colour_scale, log_mel_png
from echopair.pipeline.errors import UserError
from echopair.pipeline.pages import embedded
from echopair.pipeline.pages.sound import playing_gain

if TYPE_CHECKING:
    from echopair.augment.waveform.augmentation import Waveform
    from echopair.models.log_mel import LogMel
    from echopair.pipeline.search.excerpt import Excerpt

MOST_SECONDS = 5.0
MP3_RATES_HZ = (16000, 32000)  # the second one for recordings with more than 8 kHz
MP3_COMPRESSION = 0.8  # about 24 kbit/s at 16 kHz


class Shown(NamedTuple):
    """What the page has of a sound: addresses with their content, or in place of them why it cannot be read."""

    picture: str
    sound: str
    reason: str


def show(excerpt: Excerpt, log_mel: LogMel) -> Shown:
    """The first seconds of a part of a recording, at most 5, as the encoder hears them and as MP3.

    Args:
        excerpt: the part.
        log_mel: of the encoder.
    """
    end = min(excerpt.end_seconds, excerpt.start_seconds + MOST_SECONDS)
    try:
        waveform, own_rate = excerpt._replace(end_seconds=end).read()
    except UserError as error:
        return Shown("", "", str(error))
    rate = log_mel.config.sample_rate_hz
    heard = resample(waveform, own_rate, rate)
    values = log_mel(torch.from_numpy(heard)[None])[0].numpy()  # (F, T)
    mp3_rate = MP3_RATES_HZ[rate > MP3_RATES_HZ[0]]
    played = resample(waveform, own_rate, mp3_rate)
    return Shown(
        embedded("image/png", log_mel_png(values, colour_scale(values))),
        embedded("audio/mpeg", _mp3(played * np.float32(playing_gain(played)), mp3_rate)),
        "",
    )


def _mp3(waveform: Waveform, rate_hz: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, waveform, rate_hz, format="MP3", compression_level=MP3_COMPRESSION)
    return file.getvalue()
