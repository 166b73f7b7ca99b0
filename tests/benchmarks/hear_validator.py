"""The validator of HEAR 2021 on `echopair.models.hear`, for an untrained encoder at each rate that HEAR has.

    python -m tests.benchmarks.hear_validator [FOLDER OF AN ENCODER ...]

It is no test, as hearvalidator declares that it needs Python below 3.9 and TensorFlow. It is installed into a temporary
folder without either; of TensorFlow it uses only the class that models of TensorFlow have, which a stub has too.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from echopair.models.audio_encoder import AudioEncoder, AudioEncoderConfig
from echopair.models.encoders import ResNetConfig
from echopair.models.log_mel_config import LogMelConfig

REPOSITORY = Path(__file__).parents[2]
RATES_HZ = (16000, 22050, 32000, 44100, 48000)
PACKAGE = "hearvalidator==2021.0.6"
PROGRAM = """
import sys
from hearvalidator.validate import ValidateModel
ValidateModel("echopair.models.hear", sys.argv[1])()
"""


def untrained(rate_hz: int, folder: Path) -> Path:
    """The folder of an untrained encoder."""
    torch.manual_seed(0)
    config = AudioEncoderConfig(
        log_mel=LogMelConfig(sample_rate_hz=rate_hz),
        log_mel_mean=-9.0,
        log_mel_standard_deviation=3.0,
        encoder=ResNetConfig(width=16),
        crop_seconds=0.96,
        crop_hop_seconds=0.48,
    )
    AudioEncoder(config).save(folder)
    return folder


def main(*encoders: str) -> None:
    """Print what the validator prints, but for the model's layers; fails if it does."""
    with tempfile.TemporaryDirectory() as temporary:
        library = Path(temporary) / "library"
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--ignore-requires-python"]
        subprocess.run([*install, "--target", library, PACKAGE], check=True)
        (library / "tensorflow.py").write_text("class Module: ...\n")
        environment = {**os.environ, "PYTHONPATH": f"{library}:{REPOSITORY}"}
        folders = encoders or [untrained(rate, Path(temporary) / str(rate)) for rate in RATES_HZ]
        for folder in folders:
            done = subprocess.run(
                [sys.executable, "-W", "ignore", "-c", PROGRAM, str(folder)],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
                check=False,
            )
            print(*(line for line in done.stdout.splitlines() if line.startswith("  - ")), sep="\n")
            print(f"{folder}: {'refused' if done.returncode else 'valid'}\n", flush=True)
            if done.returncode:
                sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
