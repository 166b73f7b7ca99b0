"""How many copies of real clips `find_duplicates` finds, and which pairs of different sources it takes for copies.

python -m tests.benchmarks.duplicates FOLDER [CLIPS]    # FOLDER: audio below, labels.csv with path, fold and source
"""

import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
import soxr
from numpy.typing import NDArray

from echopair.pipeline.duplicates import find_duplicates

RATE_HZ = 16_000
Waveform = NDArray[np.float32]


def resampled(waveform: Waveform, rate_hz: int, to_rate_hz: int) -> Waveform:
    return np.asarray(soxr.resample(waveform, rate_hz, to_rate_hz), np.float32)


def encoded(waveform: Waveform, container: str, subtype: str, rate_hz: int = RATE_HZ) -> Waveform:
    file = io.BytesIO()
    soundfile.write(file, np.clip(waveform, -1, 1), rate_hz, format=container, subtype=subtype)
    file.seek(0)
    return np.asarray(soundfile.read(file, dtype="float32")[0])


def noisy(waveform: Waveform, ratio_db: float) -> Waveform:
    noise = np.random.default_rng(0).standard_normal(len(waveform)).astype(np.float32)
    return waveform + noise * np.sqrt(np.mean(waveform**2)) * np.float32(10 ** (-ratio_db / 20))


def low_rate_mp3(waveform: Waveform) -> Waveform:
    low = encoded(resampled(waveform, RATE_HZ, 11_025), "MP3", "MPEG_LAYER_III", 11_025)
    return resampled(low, 11_025, RATE_HZ)


def faded(waveform: Waveform) -> Waveform:
    return waveform * np.linspace(0, 1, len(waveform), dtype=np.float32)


COPIES: dict[str, Callable[[Waveform], Waveform]] = {
    "MP3": lambda x: encoded(x, "MP3", "MPEG_LAYER_III"),
    "Ogg Vorbis": lambda x: encoded(x, "OGG", "VORBIS"),
    "Opus": lambda x: encoded(x, "OGG", "OPUS"),
    "resampled to 8 kHz": lambda x: resampled(resampled(x, RATE_HZ, 8_000), 8_000, RATE_HZ),
    "MP3 at 11.025 kHz": low_rate_mp3,
    "12 dB quieter": lambda x: x / 4,
    "12 dB louder, clipped": lambda x: np.clip(4 * x, -1, 1),
    "opposite polarity": lambda x: -x,
    "0.3 s trimmed": lambda x: x[4_800:],
    "trimmed at both ends": lambda x: x[3_333:-2_777],
    "excerpt of 1 s": lambda x: x[len(x) // 2 - 8_000 : len(x) // 2 + 8_000],
    "excerpt of 0.5 s": lambda x: x[len(x) // 2 - 4_000 : len(x) // 2 + 4_000],
    "white noise at 20 dB": lambda x: noisy(x, 20),
    "white noise at 10 dB": lambda x: noisy(x, 10),
    "white noise at 5 dB": lambda x: noisy(x, 5),
    "faded in, 8 kHz": lambda x: resampled(resampled(faded(x), RATE_HZ, 8_000), 8_000, RATE_HZ),
    "excerpt of 2 s, MP3, noise at 20 dB": lambda x: noisy(
        encoded(x[12_345:44_345], "MP3", "MPEG_LAYER_III"), 20
    ),
}


def sounds_of(waveforms: list[Waveform], places: list[str]) -> NDArray[np.int64]:
    class Store:
        read = staticmethod(waveforms.__getitem__)
        samples = np.array([len(one) for one in waveforms])

        def __len__(self) -> int:
            return len(waveforms)

        def column(self, name: str) -> list[str | None]:
            numbers = range(len(waveforms))
            return [{"samples_sha256": str(n), "group": places[n]}.get(name) for n in numbers]

    store: Any = Store()
    return find_duplicates("benchmark", store)


def main() -> None:
    folder = Path(sys.argv[1])
    copied = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    table = pd.read_csv(folder / "labels.csv", dtype=str)
    waveforms = []
    for path in table["path"]:
        samples, rate_hz = soundfile.read(folder / path, dtype="float32", always_2d=True)
        waveforms.append(resampled(samples.mean(1), rate_hz, RATE_HZ))
    started = time.process_time()
    sounds = sounds_of(waveforms, list(table["source"]))
    seconds = time.process_time() - started
    print(
        f"{len(waveforms)} clips, {seconds / len(waveforms) * 1e3:.1f} ms of CPU each; pairs of two sources:"
    )
    for clip in np.flatnonzero(sounds != np.arange(len(sounds))):
        print("  ", table["path"][sounds[clip]], "=", table["path"][clip])

    long = [n for n, one in enumerate(waveforms) if len(one) >= 3 * RATE_HZ and np.abs(one).max() > 0.01]
    chosen = np.random.default_rng(0).choice(long, copied, replace=False).tolist()
    for kind, make in COPIES.items():
        copies = [make(waveforms[clip]) for clip in chosen]
        found = sounds_of(waveforms + copies, [*table["source"], *(f"copy {n}" for n in range(len(copies)))])
        hits = sum(found[clip] == found[len(waveforms) + n] for n, clip in enumerate(chosen))
        print(f"{kind:36} {hits} of {copied} found")


if __name__ == "__main__":
    main()
