"""An excerpt as pages show and play it: its log-mel as a picture, and its sound at a safe level."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from echopair.augment.spectrogram.augmentation import LOG_POWER_PER_DECIBEL
from echopair.models.resample import resample
from echopair.pipeline.augmentation_page.figures import colour_scale, log_mel_png
from echopair.pipeline.pages import embedded
from echopair.pipeline.pages.sound import flac, playing_gain, samples_played

if TYPE_CHECKING:
    from markupsafe import Markup

    from echopair.models.log_mel import LogMel
    from echopair.pipeline.search.excerpt import Excerpt


class PictureAndSound(NamedTuple):
    """An excerpt for a page.

    Args:
        picture: its log-mel, as the address of an image.
        sound: as the address of a FLAC file.
        range_db: of the colours of the picture, as "-60 to -18 dB".
        seconds: that they have, if the page has no room for all; otherwise None.
    """

    picture: Markup
    sound: Markup
    range_db: str
    seconds: float | None


def picture_and_sound(excerpt: Excerpt, log_mel: LogMel, players: int) -> PictureAndSound:
    """Read an excerpt and make its picture and its sound.

    Args:
        excerpt: a part of a recording.
        log_mel: front end of the encoder.
        players: number of players on the page, which share its room.

    Raises:
        UserError: it cannot be read.
    """
    waveform, own_rate = excerpt.read()
    rate = log_mel.config.sample_rate_hz
    heard = resample(waveform, own_rate, rate)
    samples = samples_played(players, len(heard), rate)
    seconds = samples / rate if samples < len(heard) else None
    heard = heard[:samples]
    values = log_mel(torch.from_numpy(heard)[None].to(log_mel.window.device))[0].cpu().numpy()  # (F, T)
    scale = colour_scale(values)
    lowest, highest = (round(level / LOG_POWER_PER_DECIBEL) for level in (scale.lowest, scale.highest))
    return PictureAndSound(
        embedded("image/png", log_mel_png(values, scale)),
        embedded("audio/flac", flac(heard * np.float32(playing_gain(heard)), rate)),
        f"{lowest} to {highest} dB",
        seconds,
    )
