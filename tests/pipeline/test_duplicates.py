from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from echopair.pipeline import duplicates
from echopair.pipeline.duplicates import MIN_CORRELATION, correlation, find_duplicates
from tests.benchmarks.duplicates import COPIES

RATE_HZ = 16_000
Waveform = NDArray[np.float32]


class Clips:
    """Clips in memory: nothing else of a store is read."""

    def __init__(self, *waveforms: Waveform, **columns: list[str | None]) -> None:
        self.read = waveforms.__getitem__
        self.samples = np.array([len(waveform) for waveform in waveforms])
        self._columns = {"samples_sha256": [str(n) for n in range(len(waveforms))], **columns}

    def __len__(self) -> int:
        return len(self._columns["samples_sha256"])

    def column(self, name: str) -> list[str | None]:
        return self._columns.get(name, [None] * len(self))


def calls(seed: int, seconds: float = 4.0) -> Waveform:
    """Whistles at random times and frequencies over noise, as a bird in the wind."""
    generator = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    sound = 0.01 * generator.standard_normal(len(time))
    for begin, pitch, slide in zip(
        generator.uniform(0, seconds, 40),
        generator.uniform(500, 3500, 40),
        generator.normal(0, 3000, 40),
        strict=True,
    ):
        at = time - begin
        sound += 0.1 * np.exp(-((at / 0.05) ** 2)) * np.sin(2 * np.pi * (pitch * at + slide * at**2))
    return sound.astype(np.float32)


@pytest.fixture(scope="module")
def recordings() -> list[Waveform]:
    return [calls(seed) for seed in range(1, 13)]


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES.keys())
def test_a_copy_is_found_and_nothing_else(
    recordings: list[Waveform], copy: Callable[[Waveform], Waveform]
) -> None:
    sounds = find_duplicates("birds", Clips(*recordings, copy(recordings[5])))  # type: ignore[arg-type]
    assert sounds.tolist() == [*range(12), 5]


def test_copies_are_found_where_pairs_of_landmarks_are_counted_in_ranges(
    recordings: list[Waveform], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "MAX_PAIRS", 1000)
    clips = Clips(*recordings, recordings[5] / 2, recordings[0][RATE_HZ:])
    assert find_duplicates("birds", clips).tolist() == [*range(12), 5, 0]  # type: ignore[arg-type]


def test_recordings_of_like_sounds_are_not_copies() -> None:
    time = np.arange(4 * RATE_HZ) / RATE_HZ
    generator = np.random.default_rng(0)
    hums = [
        sum(np.sin(2 * np.pi * 50 * n * time + generator.uniform(0, 6)) / n for n in range(1, 20))
        + 0.05 * generator.standard_normal(len(time))
        for _ in range(4)
    ]
    silence = np.zeros(RATE_HZ, np.float32)
    clips = [np.float32(0.1) * hum.astype(np.float32) for hum in hums]
    sounds = find_duplicates("hums", Clips(*clips, silence, silence[:100], silence[:0]))  # type: ignore[arg-type]
    assert sounds.tolist() == list(range(7))
    assert correlation(clips[0], clips[1], 0) < MIN_CORRELATION


def test_equal_samples_are_one_sound_and_excerpts_of_one_recording_too() -> None:
    whole = calls(3, 8.0)
    parts = [whole, whole[: 4 * RATE_HZ], whole[4 * RATE_HZ :], calls(4)]
    clips = Clips(*parts, parts[3], samples_sha256=["a", "b", "c", "d", "d"])
    assert find_duplicates("birds", clips).tolist() == [0, 0, 0, 3, 3]  # type: ignore[arg-type]


def test_clips_of_one_source_in_one_fold_are_not_compared() -> None:
    whole = calls(3)
    clips = [whole, whole / 2, whole / 3]
    of_one_source = Clips(*clips, group=["a", "a", "a"], fold=["1", "1", "2"])
    assert find_duplicates("birds", of_one_source).tolist() == [0, 0, 0]  # type: ignore[arg-type]
    alone = Clips(*clips[:2], group=["a", "a"], fold=["1", "1"])
    assert find_duplicates("birds", alone).tolist() == [0, 1]  # type: ignore[arg-type]
