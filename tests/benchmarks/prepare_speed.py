"""CPU and wall time of `prepare` and of a loop of librosa.load over the same recordings, as Ogg Vorbis, WAV and FLAC.

    python -m tests.benchmarks.prepare_speed [FOLDER ...]

Each recording below the folders, or of the built-in corpus, is saved in the three containers to a temporary folder, at
its own rate. Then both read them at 16 kHz, in turn, three times: `prepare` with a process a core, whose start counts,
and the loop in this process. Printed are the medians in milliseconds a recording, and how many times as fast
`prepare` is.
"""

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

# What else is imported is in the functions, since the worker processes import this module.
if TYPE_CHECKING:
    from echopair.pipeline.corpora import Recording

RATE = 16000
ROUNDS = 3
CONTAINERS = {"ogg": "VORBIS", "wav": "PCM_16", "flac": "PCM_16"}


def main(folders: list[str]) -> None:
    """Measure and print two lines for each container."""
    from echopair.pipeline.corpora import SyntheticCorpusConfig, find_recordings
    from echopair.pipeline.corpora.folder import FolderCorpusConfig, find_folder_recordings

    with tempfile.TemporaryDirectory() as temporary:
        found: list[Recording] = []
        for folder in folders:
            found += find_folder_recordings("benchmark", FolderCorpusConfig(root=Path(folder), labels="none"))
        if not folders:
            found = find_recordings("benchmark", SyntheticCorpusConfig(), Path(temporary))
        for container, subtype in CONTAINERS.items():
            recordings = [
                _copy(recording.path, Path(temporary, f"{number}.{container}"), subtype)
                for number, recording in enumerate(found)
            ]
            _compare(container, recordings, Path(temporary))


def _compare(container: str, recordings: "list[Recording]", folder: Path) -> None:
    import librosa

    from echopair.pipeline.prepare import PrepareConfig, prepare

    librosa.load(recordings[0].path, sr=RATE)  # its first call imports and compiles
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    for turn in range(ROUNDS):
        out = folder / f"{container}-store-{turn}"
        out.mkdir()
        with _measured(ours):
            prepare("benchmark", recordings, PrepareConfig(), RATE, out)
        with _measured(theirs):
            for recording in recordings:
                librosa.load(recording.path, sr=RATE)
    for kind, name in enumerate(("CPU", "wall")):
        a, b = (
            1000 * statistics.median(seconds[kind] for seconds in side) / len(recordings)
            for side in (ours, theirs)
        )
        print(f"{container} {name}: prepare {a:.2f} ms, librosa.load {b:.2f} ms, {b / a:.2f} times as fast")


def _copy(path: Path, to: Path, subtype: str) -> "Recording":
    import soundfile

    from echopair.pipeline.corpora import Recording

    samples, rate_hz = soundfile.read(path, dtype="float32")
    soundfile.write(to, samples, rate_hz, subtype)
    return Recording(to, to.name)


@contextmanager
def _measured(seconds: list[tuple[float, float]]) -> Iterator[None]:
    """Append the CPU time, with that of the processes that start and end meanwhile, and the wall time."""

    def cpu_seconds() -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(one.ru_utime + one.ru_stime for one in used)

    cpu, wall = cpu_seconds(), time.perf_counter()
    yield
    seconds.append((cpu_seconds() - cpu, time.perf_counter() - wall))


if __name__ == "__main__":
    main(sys.argv[1:])
