"""Against scipy.signal, with its compiled part alone and without."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.signal

from echopair.pipeline.decoding import sosfilt as module
from echopair.pipeline.decoding.loudness import k_weighting


@pytest.mark.parametrize("compiled", [module.COMPILED, "scipy.signal._no_such_module"])
def test_pieces_are_filtered_as_by_scipy(monkeypatch: pytest.MonkeyPatch, compiled: str) -> None:
    monkeypatch.setattr(module, "COMPILED", compiled)
    sections, state = k_weighting(44100), np.zeros((2, 2))
    waveform = np.random.default_rng(0).normal(size=5000)
    filtered = waveform.copy()
    for piece in np.split(filtered, [1, 100, 4000]):
        module.sosfilt(sections, piece, state)
    np.testing.assert_array_equal(filtered, scipy.signal.sosfilt(sections, waveform))


def test_a_worker_does_not_import_the_rest_of_scipy_signal() -> None:
    program = "import sys, numpy\nfrom echopair.pipeline.decoding.loudness import LoudnessMeter\n"
    program += "LoudnessMeter(16000).add(numpy.ones(100, numpy.float32))\n"
    program += "print('scipy.signal' in sys.modules)\nimport scipy.signal; scipy.signal.sosfilt"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"
