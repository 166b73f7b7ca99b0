#!/usr/bin/env bash
# openTSNE 1.0.4 gives another map with another number of threads, although random_state is the same.
#
# random_state fixes the initial positions and everything random. With n_jobs=2 the sums are made in another order than with
# n_jobs=1, and gradient descent amplifies the difference: after 100 iterations the two maps have nothing in common, point by
# point. With an equal n_jobs the result repeats bit for bit. Whoever caches or compares maps must record n_jobs too.
#
# Seen (Python 3.11, numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1), 3,000 points of 20 dimensions, 100 iterations:
#   n_jobs=1 twice: equal    n_jobs=1 and 2: the median point moves by 0.33 of the map's width
# Expected: the same map, or a note at random_state that n_jobs decides as well.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet openTSNE==1.0.4 numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import numpy as np
from openTSNE import TSNE

points = np.random.default_rng(0).normal(size=(3000, 20))


def mapped(n_jobs: int) -> np.ndarray:
    return np.asarray(TSNE(random_state=0, n_jobs=n_jobs, n_iter=100).fit(points))


one, again, two = mapped(1), mapped(1), mapped(2)
width = float(np.ptp(one[:, 0]))
moved = float(np.median(np.linalg.norm(one - two, axis=1)))
print(f"n_jobs=1 twice: equal {np.array_equal(one, again)}; n_jobs=1 and 2: median move {moved / width:.2f} of the width")
assert np.array_equal(one, again)
assert moved > 0.1 * width, "the behaviour has changed"
PYTHON
