#!/usr/bin/env bash
# NTXentLoss of pytorch-metric-learning 2.9.0 needs memory and time that grow with the cube of the number of pairs.
#
# NT-Xent compares 2 N projections with each other, so its matrix of similarities has (2 N)^2 values: 1 MB for 256 pairs in
# float32. This loss holds a row of all pairs of negatives, 2 N (2 N - 2), for each of its 2 N positive pairs: 0.5 GB for 256
# pairs, several times. A batch of 256 pairs, small for contrastive learning, takes seconds and gigabytes.
#
# Seen (Linux, Python 3.11.7, torch 2.11.0, one thread of an AMD EPYC), forward and backward, 128 dimensions:
#   128 pairs: 272 MB, 0.9 s    256 pairs: 2,175 MB, 8.9 s
# Expected: four times as much for twice the pairs.
#
# Installs torch with its CUDA libraries, about 5 GB; needs no GPU, and 4 GB of memory.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.11.0 numpy==2.4.6 pytorch-metric-learning==2.9.0
cat >"$folder/loss.py" <<'PYTHON'
import resource
import sys
import time

import torch
from pytorch_metric_learning.losses import NTXentLoss

torch.set_num_threads(1)


def loss(pairs):
    projections = torch.randn(2 * pairs, 128, requires_grad=True)
    NTXentLoss(temperature=0.2)(projections, torch.arange(pairs).repeat(2)).backward()


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


loss(8)
before, started = peak_mb(), time.process_time()
loss(int(sys.argv[1]))
print(f"{peak_mb() - before:.0f} {time.process_time() - started:.2f}")
PYTHON
read -r small_mb small_seconds < <("$folder/venv/bin/python" "$folder/loss.py" 128)
read -r large_mb large_seconds < <("$folder/venv/bin/python" "$folder/loss.py" 256)
echo "128 pairs: $small_mb MB, $small_seconds s    256 pairs: $large_mb MB, $large_seconds s"
[ "$large_mb" -gt $((6 * small_mb)) ] || { echo "the behaviour has changed"; exit 1; }
