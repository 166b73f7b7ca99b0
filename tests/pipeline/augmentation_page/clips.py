"""Three short synthetic crops, the first of a name that means harm."""

import numpy as np

from echopair.pipeline.augmentation_page import PreviewClip

RATE = 16000
HOSTILE = "birds/<script>alert('\"owl\"')</script>&\udce9.wav"


def synthetic_clips(samples: int = 4800) -> list[PreviewClip]:
    time = np.arange(samples) / RATE
    generator = np.random.default_rng(3)
    tone = 0.3 * np.sin(2 * np.pi * 1000 * time) * (time > 0.1)
    noise = 0.05 * generator.normal(size=samples)
    glide = 0.2 * np.sin(2 * np.pi * (300 + 4000 * time) * time)
    waveforms = [
        (one + 1e-4 * generator.normal(size=samples)).astype(np.float32) for one in (tone, noise, glide)
    ]
    return [
        PreviewClip(name, waveform)
        for name, waveform in zip((HOSTILE, "rain.wav", "glide.wav"), waveforms, strict=True)
    ]
