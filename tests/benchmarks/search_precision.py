"""Of the ten sounds most similar to a labelled one, from other sources, how many have its label.

    python -m tests.benchmarks.search_precision us8k-to-esc10 corpora.us8k.root=PATH corpora.esc10.root=PATH ...

The arguments are those of the run. Embeddings are compared as `echopair search` does it.
"""

import sys

import numpy as np
from sklearn.preprocessing import StandardScaler

from echopair.pipeline.config import compose
from echopair.pipeline.embed import FEATURES, Embeddings
from echopair.pipeline.evaluation.labels import sources_of
from echopair.pipeline.layers import split_arguments
from echopair.pipeline.run import run
from echopair.pipeline.search.similarity import directions
from echopair.pipeline.store import ClipStore

NEIGHBOURS = 10


def main() -> None:
    """Print a row for each corpus and features."""
    config = compose(*split_arguments(sys.argv[1:]))
    result = run(config)
    print("| corpus | features | precision at 10 | chance |\n|---|---|---|---|")
    for corpus in config.probe_corpora:
        store = ClipStore(result.clips[corpus].folder, config.log_mel.sample_rate_hz)
        labels = np.array([names[0] for names in store.labels()])
        sources = np.array(sources_of(store.column("group"), store.column("sound")))
        other = sources[:, None] != sources[None]
        alike = labels[:, None] == labels[None]
        chance = float(np.mean([row[rest].mean() for row, rest in zip(alike, other, strict=True)]))
        for name in FEATURES:
            values = Embeddings.load(result.embeddings[corpus, name].folder).values
            vectors = directions(StandardScaler().fit(values), values)
            similarities = np.where(other, vectors @ vectors.T, -np.inf)
            nearest = np.argsort(-similarities, axis=1, kind="stable")[:, :NEIGHBOURS]
            precision = np.take_along_axis(alike, nearest, axis=1).mean()
            print(f"| {corpus} | {name} | {precision:.1%} | {chance:.1%} |")


if __name__ == "__main__":
    main()
