import base64
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echopair.models.log_mel import LogMel
from echopair.models.log_mel_config import LogMelConfig
from echopair.pipeline.play.sounds import show
from echopair.pipeline.search.excerpt import Excerpt


@pytest.mark.parametrize(("encoder_hz", "played_hz"), [(16000, 16000), (48000, 32000)])
def test_five_seconds_are_heard_at_minus_12_dbfs(tmp_path: Path, encoder_hz: int, played_hz: int) -> None:
    time = np.arange(9 * 44100) / 44100
    soundfile.write(tmp_path / "a.wav", 0.01 * np.sin(2 * np.pi * 1000 * time), 44100)
    shown = show(Excerpt(str(tmp_path / "a.wav"), 1, 8), LogMel(LogMelConfig(sample_rate_hz=encoder_hz)))
    content = base64.b64decode(shown.sound.removeprefix("data:audio/mpeg;base64,"))
    waveform, rate = soundfile.read(io.BytesIO(content))
    assert rate == played_hz
    assert len(waveform) / rate == pytest.approx(5, abs=0.1)
    assert np.abs(waveform[rate : 4 * rate]).max() == pytest.approx(0.25, rel=0.1)
    assert np.abs(np.fft.rfft(waveform[rate : 2 * rate])).argmax() == 1000
    assert shown.picture.startswith("data:image/png;base64,")
    assert len(content) < 40_000
