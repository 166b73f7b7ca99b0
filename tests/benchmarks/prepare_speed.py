"""CPU and wall time of `prepare` and of a loop of librosa.load over the same recordings, as Ogg Vorbis, WAV and FLAC.

    python -m tests.benchmarks.prepare_speed [FOLDER ...]

Each recording below the folders, or of the built-in corpus at 44.1 kHz, is saved in the three containers to a temporary
folder, at its own rate. Then both read them at 16 kHz, in turn, three times: `prepare` with a process a core, whose
start counts, and the loop in this process. Printed are the medians in milliseconds, and the ratio of the loop to
`prepare`.
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

# What else is imported is in the functions, since the worker processes import this module.
if TYPE_CHECKING:
    from echopair.pipeline.corpora import Recording
    from tests.benchmarks.measuring import Figure

RATE = 16000
ROUNDS = 3
CONTAINERS = {"ogg": "VORBIS", "wav": "PCM_16", "flac": "PCM_16"}


def main(folders: list[str]) -> None:
    """Measure and print two lines for each container."""
    from echopair.pipeline.corpora.folder import FolderCorpusConfig, find_folder_recordings

    with tempfile.TemporaryDirectory() as temporary:
        found: list[Recording] = []
        for folder in folders:
            found += find_folder_recordings("benchmark", FolderCorpusConfig(root=Path(folder), labels="none"))
        for one in figures(Path(temporary), ROUNDS, "cpu", found):
            print(
                f"{one.what}: {one.ours:.0f} ms, {one.reference} {one.theirs:.0f} ms, ratio {one.ratio:.2f}"
            )


def figures(work: Path, rounds: int, device: str, found: "Sequence[Recording]" = ()) -> "Iterator[Figure]":
    """CPU and wall time of recordings, by default those of the built-in corpus, in each container."""
    import librosa

    from echopair.pipeline.corpora import SyntheticCorpusConfig, find_recordings
    from echopair.pipeline.prepare import PrepareConfig, prepare
    from tests.benchmarks.measuring import Figure, in_turns

    found = found or find_recordings("benchmark", SyntheticCorpusConfig(sample_rate_hz=44100), work)
    for container, subtype in CONTAINERS.items():
        recordings = [
            _copy(recording.path, work / f"{number}.{container}", subtype)
            for number, recording in enumerate(found)
        ]

        def ours(recordings: "list[Recording]" = recordings) -> None:
            out = Path(tempfile.mkdtemp(dir=work))
            prepare("benchmark", recordings, PrepareConfig(), RATE, out)

        def theirs(recordings: "list[Recording]" = recordings) -> None:
            for recording in recordings:
                librosa.load(recording.path, sr=RATE)

        a, b = in_turns([ours, theirs], rounds)
        for kind, first, second in zip(("CPU", "wall time"), a, b, strict=True):
            what = f"prepare, {len(recordings)} {container} files, {kind}"
            yield Figure(what, "librosa.load", "ms", first, second)


def _copy(path: Path, to: Path, subtype: str) -> "Recording":
    import soundfile

    from echopair.pipeline.corpora import Recording

    samples, rate_hz = soundfile.read(path, dtype="float32")
    soundfile.write(to, samples, rate_hz, subtype)
    return Recording(to, to.name)


if __name__ == "__main__":
    main(sys.argv[1:])
