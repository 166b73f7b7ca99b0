"""Recordings of random lengths, rates and formats: none is lost, and each has the samples that one-go resampling gives.

    python -m tests.torture.random_lengths [--recordings 1000] [--seed 0]

Lengths go from 0.05 to 65 s, many of them within milliseconds of a multiple of 10 s, where a recording is decoded in
blocks; rates go from 8 to 384 kHz, where the format has them. The folder takes about 1 GB. `prepare` decodes it; then
each clip is compared with what soundfile reads at once and soxr resamples at once. The exit status is 1 if a recording
was refused or lost, or has other samples.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import soundfile
import soxr

from echopair.models.resample import RESAMPLING_QUALITY
from echopair.pipeline.corpora import Recording
from echopair.pipeline.decoding.decode import Refused, decode
from echopair.pipeline.prepare import PrepareConfig, prepare
from echopair.pipeline.store import ClipStore

RATE_HZ = 16000
LOW_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
HIGH_RATES = (88200, 96000, 176400, 192000, 250000, 256000, 300000, 384000)
LARGEST_FRAMES = 4_000_000  # 10 s at 384 kHz; a higher product of rate and length is drawn again
WRITTEN_FRAMES = 1 << 16
# Subtypes for soundfile, and the highest rate that the format has.
FORMATS: dict[str, tuple[tuple[str, ...], int]] = {
    "wav": (("PCM_16", "PCM_24", "FLOAT", "PCM_U8"), 384000),
    "flac": (("PCM_16", "PCM_24"), 384000),
    "aiff": (("PCM_16", "PCM_24", "FLOAT"), 384000),
    "ogg": (("VORBIS",), 192000),
    "mp3": (("MPEG_LAYER_III",), 48000),
}


def draw_seconds(draw: random.Random) -> float:
    """Mostly short, often around a multiple of 10 s, sometimes anything."""
    kind = draw.random()
    if kind < 0.6:
        return 0.051 * (2 / 0.051) ** draw.random()
    if kind < 0.9:
        return draw.choice((10, 10, 10, 20, 20, 30, 40, 50, 60)) + draw.choice(
            (0, draw.uniform(-0.005, 0.005))
        )
    return draw.uniform(2, 65)


def write(path: Path, noise: np.ndarray, draw: random.Random) -> None:  # type: ignore[type-arg]
    """Write a recording of random length, rate and channels."""
    subtypes, highest_rate_hz = FORMATS[path.suffix[1:]]
    while True:
        seconds = draw_seconds(draw)
        rate_hz = draw.choice([rate for rate in LOW_RATES + HIGH_RATES if rate <= highest_rate_hz])
        if seconds * rate_hz <= LARGEST_FRAMES:
            break
    frames = round(seconds * rate_hz) + draw.choice((0, 0, -1, 1, 2))
    channels = 2 if draw.random() < 0.2 and frames < LARGEST_FRAMES / 4 else 1
    first = draw.randrange(len(noise))
    waveform = np.resize(noise[first:], (frames, channels))
    with soundfile.SoundFile(path, "w", rate_hz, channels, draw.choice(subtypes)) as file:
        for begin in range(0, frames, WRITTEN_FRAMES):  # libsndfile can crash on minutes of Vorbis at once
            file.write(waveform[begin : begin + WRITTEN_FRAMES])


def main() -> None:
    """Write the folder, prepare it, and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recordings", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    noise = np.random.default_rng(arguments.seed).normal(scale=0.1, size=1 << 20).astype(np.float32)
    with tempfile.TemporaryDirectory(prefix="random-lengths-") as temporary:
        folder = Path(temporary)
        out = folder / "clips"
        out.mkdir()
        recordings = []
        for number in range(arguments.recordings):
            draw = random.Random(f"{arguments.seed} {number}")
            path = folder / f"{number:04d}.{draw.choice(list(FORMATS))}"
            write(path, noise, draw)
            recordings.append(Recording(path, path.name))
        megabytes = sum(one.path.stat().st_size for one in recordings) / 1e6
        began = time.monotonic()
        prepare("lengths", recordings, PrepareConfig(max_refused_share=1), RATE_HZ, out)
        print(
            f"{len(recordings)} recordings of {megabytes:.0f} MB prepared in {time.monotonic() - began:.0f} s"
        )
        counts = compare(recordings, ClipStore(out, RATE_HZ))
    for verdict, count in counts.most_common():
        print(f"{count:>6}  {verdict}")
    sys.exit(0 if set(counts) == {"right"} else 1)


def compare(recordings: list[Recording], store: ClipStore) -> Counter[str]:
    """How many recordings have which verdict; all but the right ones are printed."""
    clips = {name: clip for clip, name in enumerate(store.column("path"))}
    counts = Counter[str]()
    for recording in recordings:
        clip = clips.get(recording.name)
        verdict = why_missing(recording) if clip is None else verdict_of(recording.path, store, clip)
        counts[verdict] += 1
        if verdict != "right":
            print(f"{recording.name}: {soundfile.info(recording.path).duration:.4f} s: {verdict}", flush=True)
    return counts


def verdict_of(path: Path, store: ClipStore, clip: int) -> str:
    """Compare a clip with soundfile and soxr."""
    waveform, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    expected = soxr.resample(waveform.mean(axis=1), rate_hz, RATE_HZ, quality=RESAMPLING_QUALITY)
    found = store.read(clip)
    if len(found) != len(expected):
        return f"other number of samples: {len(found) - len(expected):+d}"
    step = np.abs(expected).max() / 32767
    return "right" if np.abs(found - expected).max() <= 0.6 * step else "other values of samples"


def why_missing(recording: Recording) -> str:
    """The reason of a refusal; `lost` if there is none."""
    with tempfile.TemporaryFile() as sink:
        try:
            decode(recording.path, RATE_HZ, sink, min_seconds=PrepareConfig().min_seconds)
        except Refused as refusal:
            return f"refused: {refusal}"
    return "lost"


if __name__ == "__main__":
    main()
