#!/usr/bin/env bash
# pip install hearvalidator gives the outdated 2021.0.2 on Python 3.9 and later, which fails on models of 32 kHz.
#
# HEAR 2021 lists 32,000 Hz among its sample rates (https://hearbenchmark.com/hear-api.html). The newest version, 2021.0.6,
# takes it, but declares python_requires ">=3.6, <3.9". Version 2021.0.2 declares no upper bound: pip on a newer Python goes
# back to it without a word. It does not know the rate, and its message about it fails, so that the user sees an
# AttributeError of the validator in place of a verdict. It also misses the newer checks of timestamps.
#
# Seen (Linux, Python 3.11.7, pip 23.2.1), a valid module at 32 kHz:
#   pip install --no-deps hearvalidator            version 2021.0.2
#   hear-validator                                 AttributeError: 'ValidateModel' object has no attribute 'sample_rate'
#   the same with 2021.0.6 (--ignore-requires-python)   Looks good!
#
# Both versions import tensorflow at the beginning and use its class Module alone; a stub has that, so that nothing of
# TensorFlow is installed. torch is, with its CUDA libraries, about 5 GB; needs no GPU.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
cd "$folder"
venv/bin/pip install --quiet torch==2.11.0 numpy==2.4.6
mkdir modules
echo "class Module: ..." > modules/tensorflow.py
cat > modules/level.py <<'PYTHON'
import torch


class Level(torch.nn.Module):
    sample_rate = 32000
    scene_embedding_size = timestamp_embedding_size = 1


def load_model(model_file_path=""):
    return Level()


def get_scene_embeddings(audio, model):
    return audio.square().mean(1, keepdim=True)


def get_timestamp_embeddings(audio, model):
    frames = audio.unfold(1, 800, 800).square().mean(2, keepdim=True)  # 25 ms each
    return frames, (torch.arange(frames.shape[1]) * 25.0 + 12.5).repeat(len(audio), 1)
PYTHON
venv/bin/pip install --quiet --no-deps hearvalidator
version=$(venv/bin/python -c "from importlib.metadata import version; print(version('hearvalidator'))")
echo "pip install hearvalidator: $version"
[ "$version" = 2021.0.2 ] || { echo "the behaviour has changed"; exit 1; }
PYTHONPATH=modules venv/bin/hear-validator level -d cpu > old.txt 2>&1 || true
tail -n 1 old.txt
grep -q "AttributeError: 'ValidateModel' object has no attribute 'sample_rate'" old.txt
venv/bin/pip install --quiet --no-deps --ignore-requires-python hearvalidator==2021.0.6
PYTHONPATH=modules venv/bin/hear-validator level -d cpu > new.txt 2> /dev/null
echo "2021.0.6: $(tail -n 1 new.txt)"
grep -q "Looks good!" new.txt
