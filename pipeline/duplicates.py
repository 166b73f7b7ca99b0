"""Finds clips that hold the same sound: copies that were re-encoded, resampled, amplified, trimmed or mixed with noise.

Pairs of spectral peaks are compared first (A. Wang, "An industrial-strength audio search algorithm", ISMIR 2003): they
name pairs of clips and the shift between them. The waveforms of each such pair are then compared by cross-correlation
with the phase transform (Knapp and Carter, "The generalized correlation method for estimation of time delay", IEEE
TASSP 1976). It is large for copies of one recording alone: two recordings of similar sounds share no phase.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from echopair.lazy import np
from echopair.pipeline.cores import available_cores
from echopair.pipeline.progress import progress_bar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.pipeline.store import ClipStore

# Spectrogram of the peaks.
WINDOW_SAMPLES = 1024
HOP_SAMPLES = 256
LOWEST_BIN = 4
PEAK_BINS = 16  # a peak is the largest value within so many bins ...
PEAK_FRAMES = 12  # ... and frames to both sides,
PEAK_RANGE = 10**-3.5  # and no weaker than this part of the clip's largest value (70 dB)

# Landmarks: pairs of peaks.
NEXT_PEAKS = 17
FRAMES_APART = 64
BINS_APART = 128
MAX_LANDMARKS = 10_000_000  # a larger corpus is compared by an equal share of each clip's landmarks
SAME_LANDMARK = 30  # clips that share a landmark are compared with so many that follow
COMMON_LANDMARKS = 3  # at one shift
MAX_PAIRS = 2_000_000  # of equal landmarks, which are counted at once: about 150 MB

# Check on the waveforms.
BLOCK_SAMPLES = 2**18
MIN_OVERLAP_SAMPLES = 2048
TAPER_SAMPLES = 512
REACH_SAMPLES = 3 * HOP_SAMPLES
NOISE_FLOOR = 0.02  # of the mean spectral power; weaker bins count less
# In standard deviations of unrelated clips. The largest of unrelated clips of ESC-10 and three folds of UrbanSound8K
# was 14; the smallest between a clip of ESC-10 and a copy of it, as those in tests/benchmarks/duplicates.py, was 43.
MIN_CORRELATION = 20.0


class Landmarks(NamedTuple):
    """Pairs of spectral peaks of one clip.

    Args:
        codes: frequencies of both peaks and the time between them, (L,).
        frames: time of the first peak in hops, (L,).
    """

    codes: NDArray[np.uint32]
    frames: NDArray[np.int32]


def find_duplicates(corpus: str, store: ClipStore) -> NDArray[np.int64]:
    """Number the sounds of a corpus: clips that hold the same recording, or parts of it, have the same number.

    Clips of equal samples are found always. Other copies are found where at least about a second is shared.

    Args:
        corpus: its name, for the progress bar.
        store: the clips. Two of one source in one fold and split are not compared: they are never on both sides of a
            test.

    Returns:
        The number of the first clip of the same sound, for each clip, (clips,).
    """
    places = [
        (group or clip, fold, split)
        for clip, (group, fold, split) in enumerate(
            zip(*(store.column(name) for name in ("group", "fold", "split")), strict=True)
        )
    ]
    first_with: dict[object, int] = {}
    sound = np.arange(len(store))
    for clip, digest in enumerate(store.column("samples_sha256")):
        sound[clip] = first_with.setdefault(digest, clip)
    # Of shorter clips no correlation is computed.
    is_compared = (sound == np.arange(len(store))) & (store.samples >= MIN_OVERLAP_SAMPLES)
    distinct = np.flatnonzero(is_compared).tolist()
    threads = available_cores()
    with (
        ThreadPoolExecutor(threads) as pool,
        progress_bar(f"duplicates {corpus}", len(distinct), "clips") as advance,
    ):
        found: list[Landmarks] = []
        for first in range(0, len(distinct), 64 * threads):
            found += pool.map(
                lambda clip: landmarks(store.read(clip)), distinct[first : first + 64 * threads]
            )
            advance(len(found) - first)
    for one, other, shift in _candidates(found):
        a, b = distinct[one], distinct[other]
        roots = _root(sound, a), _root(sound, b)
        if roots[0] == roots[1] or places[a] == places[b]:
            continue
        if correlation(store.read(a), store.read(b), shift * HOP_SAMPLES) >= MIN_CORRELATION:
            sound[max(roots)] = min(roots)
    return np.array([_root(sound, clip) for clip in range(len(store))])


def _root(sound: NDArray[np.int64], clip: int) -> int:
    while sound[clip] != clip:
        clip = int(sound[clip])
    return clip


def landmarks(waveform: NDArray[np.float32]) -> Landmarks:
    """The landmarks of a clip.

    Args:
        waveform: (samples,) at any rate.
    """
    from scipy.fft import rfft

    padded = np.pad(waveform, (0, max(0, WINDOW_SAMPLES - len(waveform))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES]
    size = np.abs(rfft(frames * np.hanning(WINDOW_SAMPLES).astype(np.float32), axis=1)[:, LOWEST_BIN:])
    largest = _running_maximum(_running_maximum(size, PEAK_BINS, 1), PEAK_FRAMES, 0)
    time, frequency = np.nonzero((size == largest) & (size > PEAK_RANGE * size.max()))
    codes, starts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for following in range(1, min(NEXT_PEAKS, len(time) - 1) + 1):
        apart = time[following:] - time[:-following]
        step = frequency[following:] - frequency[:-following]
        near = (apart > 0) & (apart < FRAMES_APART) & (np.abs(step) < BINS_APART)
        first, step, apart = frequency[:-following][near], step[near] + BINS_APART, apart[near]
        codes.append((first >> 1) * (BINS_APART * FRAMES_APART) + (step >> 1) * FRAMES_APART + apart)
        starts.append(time[:-following][near])
    return Landmarks(np.concatenate(codes).astype(np.uint32), np.concatenate(starts).astype(np.int32))


def _running_maximum(values: NDArray[np.float32], reach: int, axis: int) -> NDArray[np.float32]:
    """The largest of 2 * reach + 1 values around each; by doubling, twice as fast as scipy's maximum_filter1d here."""
    width = 2 * reach + 1
    wide = np.moveaxis(np.pad(values, [(reach, reach) if n == axis else (0, 0) for n in range(2)]), axis, 0)
    covered = 1
    while 2 * covered <= width:
        wide = np.maximum(wide[:-covered], wide[covered:])
        covered *= 2
    rest = width - covered
    return np.moveaxis(np.maximum(wide[: len(wide) - rest], wide[rest:]), 0, axis)


def _candidates(found: Sequence[Landmarks]) -> Iterator[tuple[int, int, int]]:
    """Pairs of clips that share landmarks at one shift, those that share most first.

    Yields:
        One clip, a later one, and by how many hops the sound comes later in the first than in the second.
    """
    if not found:
        return
    codes = np.concatenate([one.codes for one in found])
    frames = np.concatenate([one.frames for one in found])
    clips = np.repeat(np.arange(len(found), dtype=np.int32), [len(one.codes) for one in found])
    if (share := -(-len(codes) // MAX_LANDMARKS)) > 1:
        kept = codes * np.uint32(2654435761) % np.uint32(share) == 0  # Knuth's multiplicative hash
        codes, frames, clips = codes[kept], frames[kept], clips[kept]
    order = np.lexsort((clips, codes))
    codes, frames, clips = codes[order], frames[order], clips[order]
    del order  # 80 MB of 10 million landmarks, as every array of positions below

    def are_equal(following: int) -> NDArray[np.bool_]:
        equal: NDArray[np.bool_] = codes[following:] == codes[:-following]
        equal &= clips[following:] != clips[:-following]
        return equal

    pairs = np.zeros(len(found), np.int64)  # of equal landmarks, by their first clip
    for following in range(1, SAME_LANDMARK):
        pairs += np.bincount(clips[:-following][are_equal(following)], minlength=len(found))
    # The first clips in ranges: the pairs of many short clips take gigabytes.
    range_of = (np.cumsum(pairs) // MAX_PAIRS).astype(np.int32)
    landmark_range = range_of[clips]
    middle = 1 << 24  # of the shifts, which are below: 2**24 hops are 74 h at 16 kHz
    best: dict[int, tuple[int, int]] = {}
    for number in np.unique(range_of):
        keys = [np.zeros(0, np.int64)]
        for following in range(1, SAME_LANDMARK):
            n = np.flatnonzero(are_equal(following) & (landmark_range[:-following] == number))
            pair = clips[n].astype(np.int64) * len(found) + clips[n + following]
            keys.append(pair * (2 * middle) + frames[n] - frames[n + following] + middle)
        # Shifts that differ by one hop count together: in bins of two hops, at both alignments.
        every = np.concatenate(keys)
        for offset in (0, 1):
            bins, counts = np.unique((every + offset) >> 1, return_counts=True)
            often = counts >= COMMON_LANDMARKS
            for one, count in zip(bins[often].tolist(), counts[often].tolist(), strict=True):
                two, shift = divmod(2 * one - offset, 2 * middle)
                best[two] = max(best.get(two, (0, 0)), (count, shift - middle))
    for two, (_, hops) in sorted(best.items(), key=lambda item: -item[1][0]):
        yield two // len(found), two % len(found), hops


def correlation(one: NDArray[np.float32], other: NDArray[np.float32], shift: int) -> float:
    """How surely two clips hold the same recording.

    The largest absolute cross-correlation with the phase transform near a shift, over its standard deviation for
    unrelated clips; of the blocks of 2**18 samples of their overlap the one with the largest.

    Args:
        one: (samples,).
        other: (samples,), of the same rate.
        shift: by how many samples the sound comes later in `one`.
    """
    from scipy.fft import irfft, next_fast_len, rfft

    one, other = one[max(0, shift) :], other[max(0, -shift) :]
    overlap = min(len(one), len(other))
    largest = 0.0
    for start in range(0, overlap, BLOCK_SAMPLES):
        samples = min(BLOCK_SAMPLES, overlap - start)
        if samples < MIN_OVERLAP_SAMPLES:
            break
        taper = np.ones(samples, np.float32)
        taper[:TAPER_SAMPLES] = np.sin(np.linspace(0, np.pi / 2, TAPER_SAMPLES)) ** 2
        taper[-TAPER_SAMPLES:] = taper[TAPER_SAMPLES - 1 :: -1]
        size = next_fast_len(samples + 2 * REACH_SAMPLES, real=True)
        spectra = []
        for waveform in (one, other):
            block = waveform[start : start + samples]
            spectrum = rfft((block - block.mean()) * taper, size)
            magnitude = np.abs(spectrum)
            floor = NOISE_FLOOR * np.sqrt(np.mean(magnitude**2))
            spectra.append(spectrum / (magnitude + floor + np.finfo(np.float32).tiny))
        cross = spectra[0] * spectra[1].conj()
        deviation = np.sqrt(np.mean(np.abs(cross) ** 2) / size)
        if deviation > 0:
            lags = irfft(cross, size)
            near = np.abs(np.concatenate([lags[: REACH_SAMPLES + 1], lags[-REACH_SAMPLES:]]))
            largest = max(largest, float(near.max() / deviation))
    return largest
