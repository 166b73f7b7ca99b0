"""What a training leaves in its folder, and what it needs to continue exactly where it stopped."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echopair.lazy import torch
from echopair.models.processes import process_rank
from echopair.pipeline.stages import write_atomically

if TYPE_CHECKING:
    from echopair.models.log_mel import LogMelStatistics

PLAN_FILE = "plan.json"
CHECKPOINTS_FOLDER = "checkpoints"
CHECKPOINT_FILE = f"{CHECKPOINTS_FOLDER}/latest.pt"
METRICS_FILE = "metrics.jsonl"
ENCODER_FOLDER = "encoder"
PREVIEW_FOLDER = "preview"


@dataclass(frozen=True)
class Plan:
    """What is settled once, before the first step, and never measured again."""

    steps: int
    log_mel_mean: float
    log_mel_standard_deviation: float

    @property
    def statistics(self) -> LogMelStatistics:
        """Normalisation of the log-mel."""
        from echopair.models.log_mel import LogMelStatistics

        return LogMelStatistics(self.log_mel_mean, self.log_mel_standard_deviation)


def load_plan(folder: Path) -> Plan | None:
    """The plan that an earlier process settled, or None."""
    file = folder / PLAN_FILE
    return Plan(**json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


def save_plan(folder: Path, plan: Plan) -> None:
    """Settle the plan for this and every later process."""
    write_atomically(folder / PLAN_FILE, json.dumps(asdict(plan), indent=2) + "\n")


def steps_done(folder: Path) -> int:
    """Steps that a training's checkpoint holds, 0 without one; the weights stay on disk."""
    file = folder / CHECKPOINT_FILE
    if not file.is_file():
        return 0
    return int(torch.load(file, map_location="cpu", weights_only=True, mmap=True)["steps_done"])


class Checkpoints:
    """Saves and restores a training run: steps done, weights, and the optimiser's moments.

    No generator is saved, since randomness is counted (see `seeding`). Of several processes that train together, all
    restore what the first one saves.

    Args:
        folder: of the stage; the checkpoint lies below it.
        parts: named modules and the optimiser, each with a state dict.
    """

    def __init__(self, folder: Path, **parts: torch.nn.Module | torch.optim.Optimizer) -> None:
        self._file = folder / CHECKPOINT_FILE
        self._parts = parts
        self._file.parent.mkdir(exist_ok=True)

    def save(self, steps_done: int) -> None:
        """Replace the checkpoint in one step; a full disk leaves the one before."""
        if process_rank() > 0:
            return
        content = io.BytesIO()
        states: dict[str, Any] = {name: part.state_dict() for name, part in self._parts.items()}
        torch.save({"steps_done": steps_done, **states}, content)
        write_atomically(self._file, content.getvalue())

    def restore(self) -> int:
        """Load the checkpoint, if there is one; returns the steps already done, 0 without one."""
        if not self._file.is_file():
            return 0
        states = torch.load(self._file, map_location="cpu", weights_only=True)
        for name, part in self._parts.items():
            part.load_state_dict(states[name])
        return int(states["steps_done"])


class MetricsLog:
    """The training's metrics, a JSON object a line; the truth that tracking is fed from.

    Args:
        folder: of the stage.
        steps_done: rows of later steps, left by a process that died after its checkpoint, are dropped.
    """

    def __init__(self, folder: Path, steps_done: int) -> None:
        self._file = folder / METRICS_FILE
        self.rows = [row for row in read_metrics(folder) if row["step"] <= steps_done]
        if process_rank() == 0:
            write_atomically(self._file, "".join(json.dumps(row) + "\n" for row in self.rows))

    def append(self, row: dict[str, float]) -> None:
        """Add a row and bring it to disk, which the first of several processes does."""
        self.rows.append(row)
        if process_rank() > 0:
            return
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """The rows of a stage's metrics, but for a last line that a dying process left unfinished."""
    try:
        lines = (folder / METRICS_FILE).read_text(encoding="utf-8").split("\n")[:-1]
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]
