import io

import numpy as np
import pytest
import soundfile

from echopair.pipeline.pages.sound import (
    BYTES_A_SAMPLE,
    SOUND_BYTES,
    flac,
    playing_gain,
    samples_played,
    turned_down_db,
)
from tests.pipeline.augmentation_page.clips import RATE


def test_flac_keeps_every_sample_to_16_bits() -> None:
    waveform = np.random.default_rng(0).uniform(-1, 1, 3000).astype(np.float32)
    read, rate = soundfile.read(io.BytesIO(flac(waveform, RATE)), dtype="float32")
    assert rate == RATE
    assert np.abs(read - waveform).max() <= 1 / 32768


def test_a_crop_plays_at_a_peak_of_minus_12_dbfs_and_near_silence_stays_quiet() -> None:
    assert playing_gain(np.array([0.1, -0.5], np.float32)) == pytest.approx(0.5)
    assert playing_gain(np.zeros(9, np.float32)) == 100
    assert playing_gain(np.full(9, 1e-6, np.float32)) == 100


def test_only_a_view_too_loud_to_be_safe_is_turned_down() -> None:
    assert turned_down_db(np.array([0.4, -0.89], np.float32), 1.0) == pytest.approx(0, abs=1e-5)
    assert turned_down_db(np.array([0.2], np.float32), 4.0) == 0
    assert turned_down_db(np.array([8.9], np.float32), 1.0) == pytest.approx(20)


def test_players_share_the_room_for_sound() -> None:
    assert samples_played(150, 15360, 16000) == 15360
    samples = samples_played(150, 48000 * 5, 48000)
    assert 12000 < samples < 48000
    assert 150 * samples * BYTES_A_SAMPLE <= SOUND_BYTES
