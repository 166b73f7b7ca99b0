from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from echopair.models.log_mel import LogMel
from echopair.models.log_mel_config import LogMelConfig
from echopair.pipeline.augmentation_page.wording import (
    applied_in_words,
    in_hz_and_seconds,
    numbers_of_row,
    purpose,
    quantity,
    ranges_in_words,
    value_in_words,
)


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "", "0"),
        (-0.0, "dB", "0"),
        (7, "", "7"),
        (12338, "", "12,338"),
        (-3.2489, "", "-3.25"),
        (999.7, "", "1,000"),
        (43210.9, "Hz", "43,211"),
        (0.00002134, "", "2.13e-05"),
        (-3.2489, "dB", "-3.2"),
        (5.0, "dB", "5"),
        (0.0312, "dB", "0.03"),
        (-0.04, "dB", "-0.04"),
    ],
)
def test_numbers_have_as_many_digits_as_are_read(value: float, unit: str, text: str) -> None:
    assert plain(quantity(value, unit)) == text


@pytest.mark.parametrize(
    ("key", "value", "label", "text"),
    [
        ("gain_db", -3.2489, "gain", "-3.2 dB"),
        ("center_hz", 423.4, "center", "423 Hz"),
        ("slope_db_per_octave", 12, "slope", "12 dB per octave"),
        ("semitones", -1.0, "", "-1 semitone"),
        ("background_share", 0.0312, "background share", "3.1 %"),
        ("azimuth_degrees", 30.0, "azimuth", "30°"),
        ("amplitude_ratio", 10.0, "amplitude", "20 dB"),
        ("mask", [], "mask", "none"),
        ("partner", 2, "partner crop", "3"),
        ("folder", Path("/home/somebody/noises"), "folder", "noises"),
    ],
)  # fmt: skip
def test_the_end_of_a_key_tells_the_unit(key: str, value: Any, label: str, text: str) -> None:
    found_label, found = value_in_words(key, value)
    assert (found_label, plain(found)) == (label, text)


@pytest.mark.parametrize(
    ("name", "numbers", "text"),
    [
        ("waveform_gain", {"gain_db": -3.2}, "-3.2 dB"),
        ("random_linear_fader", {"head_db": 8.65, "tail_db": -8.2}, "head 8.7 dB, tail -8.2 dB"),
        ("eq", {"band_1_gain_db": 1.0, "band_1_q": 0.5, "band_2_gain_db": -2.0, "band_2_q": 0.7},
         "band gain 1, -2 dB; band q 0.5, 0.7"),
        ("polarity", {}, ""),
    ],
)  # fmt: skip
def test_what_was_applied_is_said_shortly(name: str, numbers: dict[str, Any], text: str) -> None:
    assert plain(applied_in_words(name, numbers)) == text


@pytest.mark.parametrize(
    ("ranges", "texts"),
    [
        ({"min_snr_db": 5.0, "max_snr_db": 40.0}, ["snr 5 to 40 dB"]),
        ({"max_gain_db": 6.0}, ["gain at most 6 dB"]),
        ({"min_rate_hz": 4000.0}, ["rate at least 4,000 Hz"]),
        ({"min_bits": 1, "max_bits": 12}, ["1 to 12 bits"]),
        ({"min_slope_db_per_octave": -6, "max_slope_db_per_octave": 6}, ["slope -6 to 6 dB per octave"]),
        ({"min_share": 0.0, "max_share": 0.2}, ["share 0 to 20 %"]),
        ({"min_scale": 1.0, "max_scale": 1.0}, ["scale 1"]),
        ({"mask_count": 2, "max_share": 0.2, "folder": None}, ["mask count 2", "share at most 20 %"]),
    ],
)
def test_both_ends_of_a_range_are_one_text(ranges: dict[str, Any], texts: list[str]) -> None:
    assert [plain(text) for text in ranges_in_words(ranges)] == texts


@pytest.mark.parametrize(
    ("name", "numbers", "text"),
    [
        ("frequency_mask", {"starts": [0, 62, 7], "widths": [2, 2, 0]}, "74.2 to 134 Hz, 7,046 to 7,644 Hz"),
        ("time_mask", {"starts": [4, 40], "widths": [11, 7]}, "0.04 to 0.15 s, 0.4 to 0.47 s"),
        ("random_resized_crop", {"first_band": -9.0, "bands": 82.0, "first_frame": -10.0, "frames": 90.0},
         "0 to 10,956 Hz, -0.1 to 0.8 s"),
        ("time_shift", {"shift_frames": -21}, "-0.21 s"),
        ("frequency_shift", {"shift_bands": 2}, "189 Hz"),
        ("blur", {"deviation_bands": 2.0, "deviation_frames": 2.0}, "deviation 189 Hz, deviation 0.02 s"),
        ("waveform_time_mask", {"mask_samples": 1600, "start_samples": 800}, "mask 0.1 s, start 0.05 s"),
    ],
)  # fmt: skip
def test_bands_frames_and_samples_are_shown_in_hz_and_seconds(
    name: str, numbers: dict[str, Any], text: str
) -> None:
    converted = in_hz_and_seconds(name, numbers, LogMel(LogMelConfig()))
    assert plain(applied_in_words(name, converted)) == text


def test_a_band_is_shown_by_edges_halfway_to_the_centres_of_its_neighbours() -> None:
    log_mel = LogMel(LogMelConfig())
    centres = np.array(log_mel.band_centres_hz)[39:42]
    mels = 2595 * np.log10(1 + centres / 700)
    edges = 700 * (10 ** ((mels[:-1] + mels[1:]) / 2 / 2595) - 1)
    shown = in_hz_and_seconds("frequency_mask", {"starts": [40], "widths": [1]}, log_mel)["mask"][0]
    assert plain(shown) == f"{edges[0]:,.0f} to {edges[1]:,.0f} Hz"


def test_the_numbers_of_a_row_leave_out_values_of_each_bin() -> None:
    @dataclass(frozen=True)
    class Parameters:
        gain_db: Tensor
        starts: Tensor
        noise: Tensor

    parameters = Parameters(torch.tensor([1.5, 2.5]), torch.tensor([[1, 2], [3, 4]]), torch.zeros(2, 64, 96))
    assert numbers_of_row(parameters, 1) == {"gain_db": 2.5, "starts": [3, 4]}


def test_a_purpose_is_the_first_sentence() -> None:
    said = purpose("Drawn from -max_db to +max_db, as\nChen et al. 2020. More of it.\n\nArgs: x")
    assert plain(said) == "Drawn from -max_db to +max_db, as Chen et al. 2020."
    assert purpose("No end") == "No end"
