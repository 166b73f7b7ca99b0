#!/usr/bin/env bash
# torch.onnx.export leaves out the floor of a logarithm: log(x + 1e-9) is exported as log(x), which is -inf at silence.
#
# With dynamo=True, the default, the graph is optimised by onnxscript, whose rules take a constant as small as 1e-9 for the 0 of
# "x + 0" and remove the addition. There is no warning. Log-mel front ends have such a floor, so the exported model gives -inf or
# NaN for digital silence, and other values for soft sounds, while noise at a usual level agrees. With optimize=False the
# addition stays.
#
# Seen (Linux, Python 3.11.7, torch 2.11.0, onnxscript 0.7.2, onnx 1.23.2, onnxruntime 1.32.0):
#   torch                          log(0 + 1e-9) = -20.72
#   exported, optimize=True        operators Log        -inf
#   exported, optimize=False       operators Add, Log   -20.72
#
# Installs torch with its CUDA libraries, about 5 GB; needs no GPU.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.11.0 onnxscript==0.7.2 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
import torch


class LogPower(torch.nn.Module):
    def forward(self, power: torch.Tensor) -> torch.Tensor:
        return (power + 1e-9).log()


silence = torch.zeros(1, 4)
print(f"torch: {LogPower()(silence)[0, 0]:.2f}")
seen = {}
for optimize in (True, False):
    torch.onnx.export(LogPower(), (silence,), "log.onnx", dynamo=True, optimize=optimize, verbose=False)
    operators = [node.op_type for node in onnx.load("log.onnx").graph.node if node.op_type != "Constant"]
    session = onnxruntime.InferenceSession("log.onnx")
    (output,) = session.run(None, {session.get_inputs()[0].name: silence.numpy()})
    seen[optimize] = float(output[0, 0])
    print(f"optimize={optimize}: operators {operators}, {seen[optimize]:.2f}")
assert np.isneginf(seen[True]), "the behaviour has changed"
assert abs(seen[False] + 20.72) < 0.01
PYTHON
