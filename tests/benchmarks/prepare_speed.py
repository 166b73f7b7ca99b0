"""How fast `prepare` is: recordings a second, beside a plain loop of librosa.load over the same files.

    python -m tests.benchmarks.prepare_speed FOLDER [FOLDER ...]

Both read every audio file below the folders once at 16 kHz, in turn, three times; the ratio is that of the medians.
Without a folder, the built-in corpus is generated and read.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import librosa

from echopair.pipeline.corpora import Recording, SyntheticCorpusConfig, find_recordings
from echopair.pipeline.corpora.folder import FolderCorpusConfig, find_folder_recordings
from echopair.pipeline.prepare import PrepareConfig, prepare

RATE = 16000
ROUNDS = 3


def main(folders: list[str]) -> None:
    """Measure and print a line for each round, then the medians and their ratio."""
    with tempfile.TemporaryDirectory() as temporary:
        recordings: list[Recording] = []
        for folder in folders:
            recordings += find_folder_recordings(
                "benchmark", FolderCorpusConfig(root=Path(folder), labels="none")
            )
        if not folders:
            recordings = find_recordings("benchmark", SyntheticCorpusConfig(), Path(temporary))
        librosa.load(recordings[0].path, sr=RATE)  # its first call imports and compiles
        ours, theirs = [], []
        for turn in range(ROUNDS):
            out = Path(temporary, f"store-{turn}")
            out.mkdir()
            started = time.perf_counter()
            prepare("benchmark", recordings, PrepareConfig(max_refused_share=1.0), RATE, out)
            ours.append(time.perf_counter() - started)
            started = time.perf_counter()
            for recording in recordings:
                librosa.load(recording.path, sr=RATE)
            theirs.append(time.perf_counter() - started)
            print(f"round {turn + 1}: prepare {ours[-1]:.1f} s, librosa.load {theirs[-1]:.1f} s")
    a, b = statistics.median(ours), statistics.median(theirs)
    count = len(recordings)
    print(f"{count} recordings: prepare {count / a:.0f}/s, librosa.load {count / b:.0f}/s, ratio {b / a:.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
