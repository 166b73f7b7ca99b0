"""Statistics of a manifest's columns for the report of a corpus; vectorised, for millions of clips."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

LONG_TAIL_RATIO = 20.0
HISTOGRAM_BINS = 36
PARTITIONS_COUNTED = 20

Codes = NDArray[np.int64]
Json = dict[str, Any]


class StringColumn:
    """A string column as numbers: `codes` (one per clip, -1 for null) into `names`, an Arrow array."""

    def __init__(self, column: "pa.Array | pa.ChunkedArray") -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        encoded = pc.dictionary_encode(whole)
        self.names = encoded.dictionary
        self.codes: Codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)

    def in_order(self) -> list[tuple[int, str]]:
        """Code and name of each value in natural order: 2 before 10, train before test."""
        known = {"train": 0, "validation": 1, "test": 2}
        return sorted(
            enumerate(self.names.to_pylist()),
            key=lambda n: (known.get(n[1], 3), int(n[1]) if n[1].isdecimal() else math.inf, n[1]),
        )

    def counts(self) -> dict[str, int]:
        """Number of clips of each value; null is not counted."""
        counts = np.bincount(self.codes[self.codes >= 0], minlength=len(self.names))
        return {name: int(counts[code]) for code, name in self.in_order()}


class LabelColumn:
    """The labels of all clips as sorted, distinct pairs: `clips[k]` has the label `names[classes[k]]`.

    `per_clip` is the number of labels of each clip, `set_codes` a code of its set of labels (-1: no label).
    """

    def __init__(self, column: "pa.ChunkedArray") -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        lists = column.combine_chunks()
        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
        flat = StringColumn(pc.list_flatten(lists))
        self.names: list[str] = flat.names.to_pylist()
        width = max(1, len(self.names))
        pairs = np.unique(np.repeat(np.arange(len(lists)), lengths) * width + flat.codes)
        self.clips, self.classes = np.divmod(pairs, width)
        self.per_clip: Codes = np.bincount(self.clips, minlength=len(lists))

        ends = pa.array(np.concatenate([[0], np.cumsum(self.per_clip)]), pa.int32())
        class_numbers = pa.ListArray.from_arrays(ends, pa.array(self.classes).cast(pa.string()))
        self.set_codes: Codes = StringColumn(pc.binary_join(class_numbers, ",")).codes
        self.set_codes[self.per_clip == 0] = -1

    def class_rows(self, folds: StringColumn, splits: StringColumn) -> list[Json]:
        """Number of clips of each class, in total and by fold and split; the largest class first."""
        counts = np.bincount(self.classes, minlength=len(self.names))
        by_fold, by_split = self._counts_by(folds), self._counts_by(splits)
        rows = [
            {
                "label": label,
                "clips": int(counts[k]),
                "folds": {name: int(of_class[k]) for name, of_class in by_fold.items()},
                "splits": {name: int(of_class[k]) for name, of_class in by_split.items()},
            }
            for k, label in enumerate(self.names)
        ]
        return sorted(rows, key=lambda row: (-row["clips"], row["label"]))

    def _counts_by(self, partition: StringColumn) -> dict[str, Codes]:
        if len(partition.names) > PARTITIONS_COUNTED:  # too many columns to compare
            return {}
        parts = partition.codes[self.clips]
        return {
            name: np.bincount(self.classes[parts == code], minlength=len(self.names))
            for code, name in partition.in_order()
        }


def number_column(manifest: "pa.Table", name: str) -> NDArray[np.float64]:
    """A numeric column as float64, one number per clip; null becomes NaN."""
    return np.asarray(manifest[name].combine_chunks().to_numpy(zero_copy_only=False), dtype=np.float64)


def spread(keys: Codes, values: Codes) -> Codes:
    """Keys that occur with more than one value, ascending; -1 is no key, or no value."""
    known = (keys >= 0) & (values >= 0)
    width = int(values.max(initial=0)) + 1
    pairs = np.unique(keys[known] * width + values[known])
    return np.flatnonzero(np.bincount(pairs // width, minlength=1) > 1)


def nice_step(span: float, at_most: int) -> float:
    """The smallest of 1, 2, 5 times a power of ten that covers `span` (> 0) in `at_most` steps."""
    rough = span / at_most
    power = 10.0 ** math.floor(math.log10(rough))
    return next((n * power for n in (1, 2, 5) if n * power >= rough * (1 - 1e-9)), 10 * power)


def distribution(values: NDArray[np.float64], *, finest_step: float, long_tails: bool = False) -> Json:
    """Quantiles and a histogram with round edges; bins are half open, [edge, next edge).

    Args:
        values: any numbers; those that are not finite are left out.
        finest_step: smallest width of a bin.
        long_tails: values over 0 that span a wide range get edges 1, 2, 5, 10, 20, ... instead of equal bins.

    Returns:
        min, p05, median, p95, max, mean (None without values), edges, counts.
    """
    values = values[np.isfinite(values)]
    names = ("min", "p05", "median", "p95", "max")
    if not len(values):
        return {**dict.fromkeys((*names, "mean")), "edges": [], "counts": []}
    quantiles = np.quantile(values, [0, 0.05, 0.5, 0.95, 1])
    low, high = float(quantiles[0]), float(quantiles[-1])
    if long_tails and low > 0 and high / low > LONG_TAIL_RATIO:
        powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 2)
        edges = np.array([round(n * 10.0**power, 9) for power in powers for n in (1, 2, 5)])
        first, last = np.searchsorted(edges, [low, high], side="right")
        edges = edges[first - 1 : last + 1]
    else:
        step = max(finest_step, nice_step(max(high - low, finest_step), HISTOGRAM_BINS))
        edges = np.round(np.arange(math.floor(low / step), math.floor(high / step) + 2) * step, 9)
    counts, _ = np.histogram(values, edges)
    summary = {
        name: round(float(value), 4) + 0.0 for name, value in zip(names, quantiles, strict=True)
    }  # no -0.0
    summary["mean"] = round(float(values.mean()), 4)
    return {**summary, "edges": edges.tolist(), "counts": counts.tolist()}


def counted_values(values: NDArray[np.float64], name: str) -> list[Json]:
    """Integers and the number of clips that have them, the most frequent first."""
    found, counts = np.unique(values, return_counts=True)
    order: Sequence[int] = np.argsort(-counts, kind="stable").tolist()
    return [{name: int(found[n]), "clips": int(counts[n])} for n in order]
