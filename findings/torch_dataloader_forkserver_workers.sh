#!/usr/bin/env bash
# Workers of torch 2.11.0's DataLoader outlive a killed training if they are started by "forkserver", not otherwise.
#
# A worker ends itself within seconds once its parent is gone, which it notices by a changed parent process. A worker that is
# started by "forkserver" is a child of the fork server, which lives as long as its workers do: neither ends, and each keeps
# its memory and its open files. "forkserver" is the default of Python 3.14 on Linux, so that a training that is killed for
# its memory, or by a scheduler, then leaves its workers behind.
#
# Seen (Linux, Python 3.11.7, torch 2.11.0), after SIGKILL of the process that iterates over the loader:
#   fork: ended after 5.1 s    spawn: ended after 6.0 s    forkserver: alive after 30.1 s
# Expected for all of them: ended after some seconds.
#
# Installs torch with its CUDA libraries, about 5 GB; needs no GPU.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.11.0 numpy==2.4.6
cat >"$folder/training.py" <<'PYTHON'
import os
import sys
import time

import torch


class Processes(torch.utils.data.Dataset):
    def __len__(self):
        return 1_000_000

    def __getitem__(self, index):
        time.sleep(0.01)
        return os.getpid()


if __name__ == "__main__":
    loader = torch.utils.data.DataLoader(Processes(), num_workers=1, multiprocessing_context=sys.argv[1])
    batches = iter(loader)
    print(next(batches).item(), flush=True)
    time.sleep(600)
PYTHON
"$folder/venv/bin/python" - "$folder/training.py" <<'PYTHON'
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def runs(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


outlived = {}
for method in ("fork", "spawn", "forkserver"):
    command = [sys.executable, sys.argv[1], method]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as training:
        worker = int(training.stdout.readline())
        training.kill()
    killed = time.monotonic()
    while runs(worker) and time.monotonic() < killed + 30:
        time.sleep(0.1)
    outlived[method] = runs(worker)
    print(f"{method}: {'alive' if outlived[method] else 'ended'} after {time.monotonic() - killed:.1f} s", flush=True)
    if outlived[method]:
        os.kill(worker, signal.SIGKILL)
assert outlived == {"fork": False, "spawn": False, "forkserver": True}, "the behaviour has changed"
PYTHON
