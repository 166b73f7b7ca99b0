#!/usr/bin/env bash
# The first optimiser of torch.optim imports torch's compiler, though nothing is compiled: SGD([weight]) takes more than half
# as long as `import torch` itself.
#
# `Optimizer.add_param_group`, which the constructor calls, is wrapped so that the compiler leaves it alone; the wrapper
# imports torch._dynamo at its first call, and with it sympy and torch.distributed.fsdp. Every process that trains pays
# for it once, such as each worker of a hyper-parameter search; one that only applies a model does not.
#
# Seen (Linux, Python 3.11.7, torch 2.11.0, one thread of an AMD EPYC):
#   import torch         1073 modules, 2.6 s of CPU
#   SGD([weight])         881 modules more, 1.6 s of CPU; torch._dynamo, sympy and torch.distributed.fsdp among them
#   another SGD             0 modules more
#
# Installs torch with its CUDA libraries, about 5 GB; needs no GPU.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.11.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import time

start = time.process_time()
import torch

imported, seconds = len(sys.modules), time.process_time() - start
compiler = {"torch._dynamo", "sympy", "torch.distributed.fsdp"}
assert not compiler & set(sys.modules), compiler & set(sys.modules)
print(f"import torch: {imported} modules, {seconds:.1f} s of CPU")

weight = torch.nn.Parameter(torch.ones(1))
start = time.process_time()
torch.optim.SGD([weight], lr=0.1)
more, seconds = len(sys.modules) - imported, time.process_time() - start
print(f"SGD([weight]): {more} modules more, {seconds:.1f} s of CPU")
assert compiler <= set(sys.modules), "the optimiser imports the compiler no longer"
assert more > 500, more

torch.optim.SGD([weight], lr=0.1)
assert len(sys.modules) == imported + more
print("another SGD: 0 modules more")
PYTHON
