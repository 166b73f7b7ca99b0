from typing import Any

import numpy as np

from echopair.augment.waveform.augmentation import Waveform
from echopair.augment.waveform.wrapping import Faded, NonzeroOnly


class Tenfold:
    """Counts what it was shown, and makes it ten times as loud."""

    def __init__(self) -> None:
        self.shown, self.rate = 0, 0

    def __call__(self, samples: Waveform, sample_rate: int) -> Waveform:
        self.shown, self.rate = self.shown + len(samples), sample_rate
        return samples * np.float32(10)

    def serialize_parameters(self) -> dict[str, Any]:
        return {"shown": self.shown, "rate": self.rate}


def test_the_share_is_that_of_the_result(crop: Waveform) -> None:
    for share, factor in [(0.0, 1.0), (0.25, 3.25), (1.0, 10.0)]:
        faded = Faded(Tenfold(), share)(crop, 16000)
        assert faded.dtype == np.float32, (share, factor)
        np.testing.assert_allclose(faded, factor * crop, rtol=1e-6, err_msg=str((share, factor)))


def test_silence_is_neither_shown_nor_changed() -> None:
    samples = np.array([0, 1, 0, -2, 0], np.float32)
    transform = NonzeroOnly(Tenfold())
    assert transform(samples, 16000).tolist() == [0, 10, 0, -20, 0]
    assert transform.serialize_parameters() == {"shown": 2, "rate": 16000}


def test_of_nothing_but_silence_nothing_is_shown() -> None:
    transform = NonzeroOnly(Tenfold())
    assert transform(np.zeros(5, np.float32), 16000).tolist() == [0] * 5
    assert transform.serialize_parameters() == {}
