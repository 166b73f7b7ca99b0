import io
import math

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from echopair.models.log_mel import LogMel
from echopair.models.log_mel_config import LogMelConfig
from echopair.pipeline.augmentation_page.figures import (
    ColourScale,
    SpectrumChart,
    colour_scale,
    difference_png,
    frequency_ticks,
    log_mel_png,
    long_term_spectrum,
)
from tests.pipeline.augmentation_page.clips import RATE

DECIBELS = 10 / math.log(10)  # of natural-log power
FIRST, LAST = (tuple(colormaps["magma"](end, bytes=True)[:3]) for end in (0, 255))


def pixels(log_mel: np.ndarray, scale: ColourScale) -> np.ndarray:
    with Image.open(io.BytesIO(log_mel_png(log_mel, scale))) as image:
        return np.array(image.convert("RGB"))


def test_a_pixel_is_a_bin_and_low_bands_are_at_the_bottom() -> None:
    log_mel = np.full((8, 12), -10.0, dtype=np.float32)
    log_mel[0, 3] = 0.0
    shown = pixels(log_mel, ColourScale(-10, 0))
    assert shown.shape == (8, 12, 3)
    assert tuple(shown[7, 3]) == LAST
    shown[7, 3] = FIRST
    assert (shown == FIRST).all()


def test_values_beyond_the_scale_get_its_last_colours() -> None:
    shown = pixels(np.array([[-99.0, 99.0]]), ColourScale(-10, 0))
    assert (tuple(shown[0, 0]), tuple(shown[0, 1])) == (FIRST, LAST)


def test_many_frames_and_bands_become_means_of_neighbours() -> None:
    log_mel = np.full((192, 385), -10.0)
    log_mel[:2, :3] = 0.0  # the first of 96 rows, of which two make one, and of columns of three
    log_mel[0, 3:6] = 0.0
    shown = pixels(log_mel, ColourScale(-10, 0))
    assert shown.shape == (96, 129, 3)
    assert tuple(shown[95, 0]) == LAST
    assert tuple(shown[95, 1]) == tuple(colormaps["magma"](128, bytes=True)[:3])
    assert tuple(shown[94, 0]) == tuple(shown[95, 2]) == FIRST


def test_a_colour_scale_ends_above_the_loudest_and_spans_42_to_72_db() -> None:
    steady = colour_scale(np.full((4, 4), -5.0))
    assert steady.highest * DECIBELS == pytest.approx(-5 * DECIBELS + 3)
    assert (steady.highest - steady.lowest) * DECIBELS == pytest.approx(42)
    deep = colour_scale(np.array([[0.0, -40.0], [-40.0, -40.0]]))
    assert (deep.highest - deep.lowest) * DECIBELS == pytest.approx(72)


def test_frequency_ticks_stand_at_their_band() -> None:
    ticks = {tick.label: tick.percent for tick in frequency_ticks(LogMel(LogMelConfig()))}
    centres = LogMel(LogMelConfig()).band_centres_hz
    nearest = int(np.abs(np.array(centres) - 1000).argmin())
    assert ticks["1k"] == pytest.approx(100 * (nearest + 0.5) / 64, abs=100 / 64)
    assert list(ticks.values()) == sorted(ticks.values())


def test_a_full_scale_sine_has_0_db_in_its_band() -> None:
    bin_hz = RATE / 2048
    sine = np.sin(2 * np.pi * 8 * bin_hz * np.arange(2048 * 4) / RATE).astype(np.float32)
    centres_hz, levels_db = long_term_spectrum(sine, RATE)
    loudest = int(levels_db.argmax())
    assert centres_hz[loudest] == pytest.approx(8 * bin_hz, rel=0.07)
    assert levels_db[loudest] == pytest.approx(0, abs=0.01)
    _, softer_db = long_term_spectrum(sine / 2, RATE)
    assert softer_db[loudest] == pytest.approx(-6.02, abs=0.02)


def test_the_spectrum_of_white_noise_is_flat_from_band_to_band() -> None:
    noise = np.random.default_rng(0).normal(size=RATE * 20).astype(np.float32)
    _, levels_db = long_term_spectrum(noise, RATE)
    assert np.abs(levels_db - levels_db.mean()).max() < 1.5


def test_a_crop_shorter_than_the_window_has_a_spectrum() -> None:
    centres_hz, levels_db = long_term_spectrum(np.ones(100, np.float32), RATE)
    assert np.isfinite(levels_db).all()
    assert centres_hz[-1] < RATE / 2


def test_a_gain_moves_the_line_of_a_chart_by_as_many_db() -> None:
    noise = (0.05 * np.random.default_rng(0).normal(size=RATE)).astype(np.float32)
    chart = SpectrumChart(noise, RATE)
    before, after = (
        np.array([[float(number) for number in point.split(",")] for point in line.split()])
        for line in (chart.original, chart.points(noise * np.float32(10 ** (-6 / 20))))
    )
    assert (before[:, 0] == after[:, 0]).all()
    moved_db = (after[:, 1] - before[:, 1]) / chart.height * (chart.highest_db - chart.lowest_db)
    assert moved_db == pytest.approx(6, abs=0.2)
    assert (before[:, 1] > 0).all()
    assert (before[:, 1] < chart.height).all()


def test_a_difference_is_white_where_nothing_changed_red_where_louder_and_blue_where_softer() -> None:
    rows = np.repeat([[-20.0], [0.0], [20.0]], 8, axis=1)
    with Image.open(io.BytesIO(difference_png(rows))) as image:
        loud, same, soft = np.asarray(image.convert("RGB"))[:, 0].astype(int)
    assert loud[0] > 2 * loud[2]
    assert same.min() > 240
    assert soft[2] > 2 * soft[0]
