import numpy as np
import pytest

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.reverberation import mix_reverberation

# Silence, a weak precursor, the direct sound upside down, two echoes.
RESPONSE = np.zeros(400, np.float32)
RESPONSE[[95, 100, 180, 333]] = 0.01, -0.2, 0.1, 0.04


def power(waveform: Waveform) -> float:
    return float(np.square(waveform, dtype=np.float64).sum())


def test_the_wet_crop_is_in_step_upright_and_as_loud(crop: Waveform) -> None:
    for wet_share in [0.0, 0.3, 1.0]:
        for level in [1e-4, 1.0, 50.0]:
            reverberated = np.convolve(crop, RESPONSE)
            mixed = mix_reverberation(crop, reverberated * level, RESPONSE, wet_share)
            wet = -reverberated[100 : 100 + len(crop)]
            expected = (1 - wet_share) * crop + wet_share * wet * np.sqrt(power(crop) / power(wet))
            expected *= np.sqrt(power(crop) / power(expected))
            assert mixed.dtype == np.float32, (wet_share, level)
            np.testing.assert_allclose(mixed, expected, atol=1e-5, err_msg=str((wet_share, level)))
            assert power(mixed) == pytest.approx(power(crop), rel=1e-4), (wet_share, level)


def test_a_delay_alone_changes_nothing(crop: Waveform) -> None:
    delay = np.zeros(50, np.float32)
    delay[-1] = -0.3
    mixed = mix_reverberation(crop, np.convolve(crop, delay), delay, 0.7)
    np.testing.assert_allclose(mixed, crop, atol=1e-6)


@pytest.mark.parametrize("response", [RESPONSE, np.zeros(400, np.float32)])
def test_silence_on_either_side_leaves_the_crop(response: Waveform, crop: Waveform) -> None:
    silence = np.zeros_like(crop)
    assert np.array_equal(mix_reverberation(silence, np.convolve(silence, response), response, 0.5), silence)
    nothing = np.zeros(len(crop) + 399, np.float32)
    assert np.array_equal(mix_reverberation(crop, nothing, response, 0.5), crop)
