"""A short training by each objective that is killed by SIGKILL half way and resumed, and what each has learned.

    python -m tests.torture.objectives [--only moco ...] [--steps 60] [--clips 10]

The corpus is the built-in one. The resumed encoder must be that of an undisturbed training, to the byte. The table also
has the accuracy of the probe, beside that of the untrained encoder. The exit status is 1 if an encoder differs, or if a
run failed.
"""

import argparse
import hashlib
import json
import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from echopair.pipeline.objectives_comparison import objectives
from tests.processes import Started
from tests.torture.kills import start_stage, undisturbed

WEIGHTS = "encoder/encoder.safetensors"
LABELLED = ("corpora.others.name=synthetic", "corpora.others.seed=1", "pretrain.corpora=[others]")
# What an objective needs beside its name.
NEEDED = {
    "cpc": ("crops.positives.name=same_crop", "crops.crop_seconds=2"),
    "cross_entropy": (*LABELLED, "probe.corpora=[sound_events]"),
    "multi_format": ("objective.waveform_encoder.width=8",),
    "relative_position": ("crops.positives.name=apart",),
    "supervised_contrastive": (*LABELLED, "probe.corpora=[sound_events]"),
    "transformation": ("augment.policy.name=random",),
}


@dataclass
class Outcome:
    """What became of an objective: where it was killed and resumed, digests of its encoders and scores."""

    killed: int
    resumed: int
    undisturbed_sha256: str
    resumed_sha256: str
    pretrained: float
    untrained: float

    @property
    def equal(self) -> bool:
        """Whether the kill changed nothing."""
        return self.undisturbed_sha256 == self.resumed_sha256


def settings_of(objective: str, steps: int, clips: int) -> list[str]:
    """The overrides of the preset `synthetic`."""
    needed = NEEDED.get(objective, ())
    corpora = ["sound_events", *(["others"] if "corpora.others.name=synthetic" in needed else [])]
    return [
        "threads=1",
        "prepare.workers=1",
        "pretrain.epochs=null",
        f"pretrain.steps={steps}",
        "pretrain.batch_pairs=32",
        "pretrain.checkpoint_every_seconds=0",
        "pretrain.log_every_steps=1",
        "encoder.width=8",
        "encoder.stem=patch",
        "encoder.blocks=[1,1]",
        *(f"corpora.{corpus}.clips_per_kind={clips}" for corpus in corpora),
        f"objective.name={objective}",
        *needed,
    ]


def play(objective: str, steps: int, clips: int, work: Path) -> Outcome:
    """Train undisturbed, then killed and resumed, in one work folder, whose clips all objectives share."""
    settings = settings_of(objective, steps, clips)
    before = set(work.glob("e*/*/done.json"))
    undisturbed("run", "synthetic", work, settings)
    new = {marker.parent for marker in set(work.glob("e*/*/done.json")) - before}
    (encoder,) = (folder for folder in new if folder.parent.name == "encoders")
    (probe,) = (folder for folder in new if folder.name.startswith("probe-sound_events-"))
    features = json.loads((probe / "probe.json").read_text())["features"]
    expected = hashlib.sha256((encoder / WEIGHTS).read_bytes()).hexdigest()
    shutil.rmtree(encoder)

    killed = _kill_after(start_stage("pretrain", "synthetic", work, settings), encoder, steps // 2)
    process = undisturbed("pretrain", "synthetic", work, settings)
    resumed = re.search(r"continues after step (\d+)", process.errors.read_text())
    assert resumed, f"it did not continue: {process.said}"
    return Outcome(
        killed,
        int(resumed[1]),
        expected,
        hashlib.sha256((encoder / WEIGHTS).read_bytes()).hexdigest(),
        features["pretrained"]["score"],
        features["untrained"]["score"],
    )


def _kill_after(process: Started, encoder: Path, step: int) -> int:
    """Kill a training once it has logged a step; returns how many it has logged."""
    log = encoder.with_name(encoder.name + ".partial") / "metrics.jsonl"
    while True:
        assert not process.ended_within(0.02), (
            f"it ended before step {step}, status {process.status}: {process.said}"
        )
        if log.is_file() and log.read_bytes().count(b"\n") >= step:
            process.kill()
            process.wait()
            return log.read_bytes().count(b"\n")


def main() -> None:
    """Play all objectives, or some, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=objectives(), metavar="OBJECTIVE")
    parser.add_argument("--steps", type=int, default=60, help="of each training")
    parser.add_argument("--clips", type=int, default=10, help="of each of the twelve kinds of sound")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="objectives-"))
    table = Table(
        "objective", "killed after", "resumed after", "encoder", "probe", "untrained", "gain", "time"
    )
    violations = 0
    for objective in arguments.only or objectives():
        began = time.monotonic()
        try:
            outcome = play(objective, arguments.steps, arguments.clips, folder / "work")
        except AssertionError as error:
            violations += 1
            print(f"{objective}: VIOLATION, {error}", flush=True)
            table.add_row(objective, "", "", "[red]failed[/]")
            continue
        violations += not outcome.equal
        row = (
            objective,
            str(outcome.killed),
            str(outcome.resumed),
            outcome.resumed_sha256[:12] if outcome.equal else "[red]DIFFERS[/]",
            f"{outcome.pretrained:.1%}",
            f"{outcome.untrained:.1%}",
            f"{outcome.pretrained - outcome.untrained:+.1%}",
            f"{time.monotonic() - began:.0f} s",
        )
        print(*row, flush=True)
        table.add_row(*row)
    Console(width=110).print(table)
    if violations:
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
