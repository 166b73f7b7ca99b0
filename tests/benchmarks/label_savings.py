"""How many labels the suggestions of `echopair explore` save: accuracy by number of labels, against random rows.

    python -m tests.benchmarks.label_savings TABLE SOURCES [ROWS_PER_STEP]

TABLE is the table of a run (`embeddings-esc10.parquet`), with a label for each row, and SOURCES a CSV with the columns
`path` and `source`. In each of 10 seeds a quarter of the sources is the test set, and labels are given to rows of the
others, 10 at a time, as a strategy chooses; the classifier is tested after each step. Counted are the labels that the
mean accuracy needs for 95 % of that with all labels, and the same for each seed.
"""

import csv
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.cluster import KMeans
from sklearn.model_selection import StratifiedGroupKFold

from echopair.pipeline.explore.suggestions import probe_scores, spread, suggest
from echopair.pipeline.explore.table import read_table
from echopair.pipeline.search.excerpt import Excerpt

SEEDS = range(10)
PARTS = 4
MOST_LABELS = 240
SHARE = 0.95
SHOWN = (10, 20, 30, 50, 80, 120, 160, 240)
# Among so many times the wanted rows, the least sure, one of each cluster is taken: the rule that is compared.
LEAST_SURE_TIMES = 5

# Chooses rows of (rows, D), of which some have labels.
Strategy = Callable[[NDArray[np.float32], Sequence[tuple[str, ...]], int, np.random.Generator], Sequence[int]]


def at_random(
    directions: NDArray[np.float32],
    labels: Sequence[tuple[str, ...]],
    count: int,
    generator: np.random.Generator,
) -> Sequence[int]:
    """Any rows without a label."""
    free = [row for row, one in enumerate(labels) if not one]
    return generator.permutation(free)[:count].tolist()


def suggested(
    directions: NDArray[np.float32],
    labels: Sequence[tuple[str, ...]],
    count: int,
    generator: np.random.Generator,
) -> Sequence[int]:
    """Those that the page shows."""
    apart = [Excerpt(str(row), 0, 1) for row in range(len(labels))]
    return [one.row for one in suggest(directions, labels, apart, count)]


def random_start(
    directions: NDArray[np.float32],
    labels: Sequence[tuple[str, ...]],
    count: int,
    generator: np.random.Generator,
) -> Sequence[int]:
    """Random rows first, then the least sure."""
    choose = suggested if any(labels) else at_random
    return choose(directions, labels, count, generator)


def spread_at_random(
    directions: NDArray[np.float32],
    labels: Sequence[tuple[str, ...]],
    count: int,
    generator: np.random.Generator,
) -> Sequence[int]:
    """Rows spread over the table first, then random ones."""
    choose = at_random if any(labels) else suggested
    return choose(directions, labels, count, generator)


def diverse(
    directions: NDArray[np.float32],
    labels: Sequence[tuple[str, ...]],
    count: int,
    generator: np.random.Generator,
) -> Sequence[int]:
    """Of each cluster of many least sure rows the least sure one.

    Source: Zhdanov, Diverse mini-batch Active Learning, 2019, without its weights.
    """
    rows = np.array(suggested(directions, labels, LEAST_SURE_TIMES * count, generator))
    if not any(labels):
        return rows[spread(directions[rows], count)].tolist()
    clusters = KMeans(count, n_init=1, random_state=0).fit_predict(directions[rows])
    return rows[
        np.unique(clusters, return_index=True)[1]
    ].tolist()  # ordered by margin: the first is the least sure


STRATEGIES: dict[str, Strategy] = {
    "random": at_random,
    "spread first, then random": spread_at_random,
    "random first, then least sure": random_start,
    "spread first, then least sure (the page)": suggested,
    "the same, one of each cluster": diverse,
}


def accuracy(
    directions: NDArray[np.float32],
    labels: Sequence[tuple[str, ...]],
    learn: Sequence[int],
    test: Sequence[int],
) -> float:
    """Of the page's classifier."""
    if len({labels[row] for row in learn}) < 2:
        return float(np.mean([labels[row] == labels[learn[0]] for row in test]))
    classes, scores, _ = probe_scores(directions, learn, [labels[row] for row in learn], test)
    return float(
        np.mean([labels[row] == (classes[n],) for row, n in zip(test, scores.argmax(1), strict=True)])
    )


def main(table_file: str, sources_file: str, step: str = "10") -> None:
    """Simulate all strategies and print the table."""
    table = read_table(Path(table_file))
    with Path(sources_file).open(encoding="utf-8", newline="") as lines:
        source_of = {Path(row["path"]).name: row["source"] for row in csv.DictReader(lines)}
    sources = [source_of[Path(one.path).name] for one in table.excerpts]
    names = [one[0] for one in table.labels]
    steps = np.arange(int(step), MOST_LABELS + 1, int(step))
    curves: dict[str, list[list[float]]] = {name: [] for name in STRATEGIES}
    full = []
    for seed in SEEDS:
        splitter = StratifiedGroupKFold(PARTS, shuffle=True, random_state=seed)
        pool, test = next(iter(splitter.split(names, names, sources)))
        full.append(accuracy(table.directions, table.labels, pool.tolist(), test.tolist()))
        for name, strategy in STRATEGIES.items():
            generator = np.random.default_rng(seed)
            learned: list[int] = []
            curve = []
            for _ in steps:
                known = [table.labels[row] if n in learned else () for n, row in enumerate(pool)]
                learned += strategy(table.directions[pool], known, int(step), generator)
                curve.append(accuracy(table.directions, table.labels, pool[learned].tolist(), test.tolist()))
            curves[name].append(curve)
        print(f"seed {seed} done", file=sys.stderr, flush=True)
    shown = [n for n, labels in enumerate(steps) if labels in SHOWN]
    printed = Table(
        "rows chosen", f"labels for {SHARE:.0%}", "by seed", *(f"{steps[n]} labels" for n in shown)
    )
    for name, found in curves.items():
        values = np.array(found)  # (seeds, steps)
        mean = values.mean(0)
        each = [needed(curve, SHARE * one, steps) for curve, one in zip(values, full, strict=True)]
        printed.add_row(
            name,
            str(needed(mean, SHARE * float(np.mean(full)), steps)),
            f"{min(each)} to {max(each)}",
            *(f"{mean[n]:.1%}" for n in shown),
        )
    Console(width=150).print(printed)
    print(f"all labels ({len(pool)} rows): {np.mean(full):.1%}; {len(SEEDS)} seeds, {step} labels a step")


def needed(curve: NDArray[np.float64], wanted: float, steps: NDArray[np.int64]) -> float:
    """The labels at which an accuracy is first reached; infinity if it never is."""
    reached = np.flatnonzero(curve >= wanted)
    return int(steps[reached[0]]) if len(reached) else float("inf")


if __name__ == "__main__":
    main(*sys.argv[1:])
