#!/usr/bin/env bash
# torch.onnx.export fixes a dimension that was declared dynamic, and does not say so: a model exported with a free batch size
# takes the batch size of the example alone.
#
# A module that reads len(x) makes the dimension a constant of the graph. torch.export.export refuses that, with an error that
# names the constraint; torch.onnx.export with the same dynamic_shapes tries other ways after this refusal, and succeeds with
# a fixed shape. Who runs the model with another number of clips is the first to know.
#
# Seen (Linux, Python 3.11.7, torch 2.11.0, onnxscript 0.7.2, onnx 1.23.2), x.view(len(x), -1, 2) on an example of (3, 4):
#   torch.export.export    raises: constraints violated (n)
#   torch.onnx.export      input shape [3, 4] in place of ['n', 4]
#
# Installs torch with its CUDA libraries, about 5 GB; needs no GPU.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.11.0 onnxscript==0.7.2 onnx==1.23.2 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import contextlib
import io

import onnx
import torch


class Halves(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(len(x), -1, 2)


example, shapes = (torch.zeros(3, 4),), ({0: torch.export.Dim("n")},)
try:
    torch.export.export(Halves(), example, dynamic_shapes=shapes)
except Exception as error:
    print(f"torch.export.export raises: {str(error).strip().splitlines()[0]}")
else:
    raise AssertionError("the behaviour has changed: torch.export.export takes it")
with contextlib.redirect_stdout(io.StringIO()):
    torch.onnx.export(Halves(), example, "halves.onnx", dynamo=True, dynamic_shapes=shapes, verbose=False)
dimensions = onnx.load("halves.onnx").graph.input[0].type.tensor_type.shape.dim
shape = [one.dim_value or one.dim_param for one in dimensions]
print(f"torch.onnx.export: input shape {shape}")
assert shape == [3, 4], "the behaviour has changed"
PYTHON
