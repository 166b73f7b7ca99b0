"""Pretraining in several processes on Ray Train: on this machine, or on a cluster."""

from __future__ import annotations

import json
import math
import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from echopair.lazy import torch
from echopair.pipeline import progress
from echopair.pipeline.cores import available_cores, cpu_threads
from echopair.pipeline.errors import UserError, counted
from echopair.pipeline.log_mel_clips import LogMelClips
from echopair.pipeline.progress import console, progress_bar
from echopair.pipeline.ray_cluster import connect
from echopair.pipeline.ray_nodes import Node, check_nodes
from echopair.pipeline.stages import write_atomically
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.callback import TrainingCallback
from echopair.pipeline.training.checkpoints import load_plan, read_metrics, steps_done
from echopair.pipeline.training.learner import LearningConfig

if TYPE_CHECKING:
    from echopair.pipeline.config import RunConfig

STORAGE_FOLDER = ".ray_train"  # in the training's folder: what Ray Train keeps of its own
REFUSAL_FILE = ".refusal.json"  # what a process found that a person can fix
OUTPUT_FILE = ".output.txt"  # what the first process says
REPLACED_PROCESSES = 10  # that were lost, before the training fails
POLL_SECONDS = 0.5
TRAIN_ENVIRONMENT = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_METRICS_ENABLED": "0",
}


class Placement(NamedTuple):
    """What each process gets."""

    gpu: bool
    cpus: int


def check_processes(config: RunConfig) -> None:
    """Find, before any long work, what would keep the processes of a training from starting.

    Raises:
        UserError: no cluster, a node that does not see the work folder or has other versions, too few cores or GPUs,
            or GPUs without NCCL.
    """
    if config.ray.address is None:
        _placement(config, [Node(available_cores(), torch.cuda.device_count(), 0)])
        return
    work = config.work_folder.absolute()
    with connect(config.ray, work, TRAIN_ENVIRONMENT) as nodes:
        check_nodes(work)
        _placement(config, nodes)


def _placement(config: RunConfig, nodes: Sequence[Node]) -> Placement:
    """A GPU for each process where they are asked for, or `auto` finds any; and as many cores as there are for all."""
    processes, device = config.pretrain.processes, config.pretrain.device
    gpu = device == "cuda" or (device == "auto" and any(node.gpus for node in nodes))
    room = sum(node.fits(1, int(gpu), 0) for node in nodes)
    if processes > room:
        kind = "GPU" if gpu else "CPU core"
        where = "this machine" if config.ray.address is None else f"the cluster {config.ray.address}"
        more = " or pretrain.device=cpu," if gpu else ""
        raise UserError(
            f"pretrain.processes={processes} is more than the {counted(room, kind)} of {where}; set "
            f"pretrain.processes={max(1, room)} or fewer,{more} or join a larger cluster by ray.address"
        )
    if gpu and not torch.distributed.is_nccl_available():
        raise UserError(
            f"pretrain.processes={processes}: processes with GPUs exchange gradients by NCCL, and this torch has none; "
            "install torch for CUDA on Linux, or set pretrain.device=cpu"
        )
    most = max(node.cpus for node in nodes)
    cpus = max(
        one for one in range(1, most + 1) if sum(node.fits(one, int(gpu), 0) for node in nodes) >= processes
    )
    return Placement(gpu, cpus)


def pretrain_together(
    config: RunConfig, stores: Sequence[ClipStore], folder: Path, callback: TrainingCallback | None = None
) -> dict[str, object]:
    """As `pretrain.pretrain`, in `pretrain.processes` processes.

    A process that is lost is replaced: all go on from the last checkpoint. The callback is called in this process, with
    the rows of metrics alone.

    Args:
        config: of the run.
        stores: clips to learn from.
        folder: of the training, which all nodes see.
        callback: follows the training.

    Raises:
        UserError: see `pretrain` and `check_processes`.
    """
    callback = callback or TrainingCallback()
    callback.on_begin()
    _check_pairs(config.learning, stores)
    _remove_own_files(folder)  # of a killed process; the checkpoint is all that a training goes on from
    work = config.work_folder.absolute()
    with connect(config.ray, work, TRAIN_ENVIRONMENT) as nodes:
        if config.ray.address is not None:
            check_nodes(work)
        fitting = _Fitting(config, _placement(config, nodes), stores, folder)
        fitting.start()
        _follow(fitting, config.pretrain.processes, folder, callback)
    if fitting.error is not None:
        raise fitting.error
    _remove_own_files(folder)
    return fitting.figures


def _remove_own_files(folder: Path) -> None:
    for name in (REFUSAL_FILE, OUTPUT_FILE):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / STORAGE_FOLDER, ignore_errors=True)


def _check_pairs(config: LearningConfig, stores: Sequence[ClipStore]) -> None:
    """Refuse batches that are smaller than asked for, for want of clips, and cannot be shared."""
    from echopair.pipeline.training.batches import Phase

    processes = config.pretrain.processes
    pairs = Phase(stores, config.config_at(0), torch.device("cpu")).crops.pairs
    if pairs % processes:
        fewer = pairs - pairs % processes
        remedy = (
            f"pretrain.batch_pairs={fewer}"
            if fewer >= 2
            else f"pretrain.processes={math.gcd(pairs, processes)}"
        )
        raise UserError(
            f"pretrain.processes={processes}: the clips give batches of {pairs} pairs, which do not divide by it; set "
            f"{remedy}, or add recordings"
        )


class _Fitting(threading.Thread):
    """Ray Train at work, in a thread, so that the main one can follow it and be interrupted.

    Attributes:
        figures: what the first process returned.
        error: why it failed.
    """

    def __init__(
        self, config: RunConfig, placement: Placement, stores: Sequence[ClipStore], folder: Path
    ) -> None:
        super().__init__(name="Ray Train", daemon=True)
        device = "cuda" if placement.gpu else "cpu"
        learning = config.learning
        learning = learning.model_copy(
            update={"pretrain": learning.pretrain.model_copy(update={"device": device})}
        )
        self._placement = placement
        self._arguments = {
            "learning": learning.model_dump(mode="json"),
            "clips": [str(store.folder) for store in stores],
            "log_mels": [str(store.log_mels.folder) for store in stores if store.log_mels],
            "folder": str(folder),
            "threads": config.threads or placement.cpus,
        }
        self._folder = folder
        self._processes = config.pretrain.processes
        self.figures: dict[str, object] = {}
        self.error: BaseException | None = None

    def run(self) -> None:
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        trainer = TorchTrainer(
            _work,  # type: ignore[arg-type]
            train_loop_config=self._arguments,
            scaling_config=ScalingConfig(
                num_workers=self._processes,
                use_gpu=self._placement.gpu,
                resources_per_worker={"CPU": self._placement.cpus, "GPU": int(self._placement.gpu)},
            ),
            run_config=RunConfig(
                name="pretrain",
                storage_path=str(self._folder / STORAGE_FOLDER),
                failure_config=FailureConfig(max_failures=REPLACED_PROCESSES),
            ),
            torch_config=TorchConfig(backend="nccl" if self._placement.gpu else "gloo"),
        )
        try:
            self.figures = trainer.fit().return_value or {}  # type: ignore[attr-defined]
        except BaseException as error:
            self.error = error


def _follow(fitting: _Fitting, processes: int, folder: Path, callback: TrainingCallback) -> None:
    """Show and record what the processes do, until they have ended."""
    shown = steps_done(folder)
    with console.status(f"pretrain: starting {processes} processes"):
        while fitting.is_alive() and load_plan(folder) is None:
            fitting.join(POLL_SECONDS)
            _raise_refusal(folder)
    plan = load_plan(folder)
    said = seen = 0
    with progress_bar("pretrain", plan.steps if plan else 0, "steps", done=shown) as advance:
        alive = True
        while alive:
            fitting.join(POLL_SECONDS)
            alive = fitting.is_alive()  # before the files are read for the last time
            said = _say(folder, said)
            rows = [row for row in read_metrics(folder) if row["step"] > seen]
            if rows:
                callback.on_metrics(rows)
                seen = int(rows[-1]["step"])
                advance(seen - shown, note=f"loss {rows[-1]['loss']:#.3g}")
                shown = seen
            _raise_refusal(folder)


def _say(folder: Path, said: int) -> int:
    """Print what the first process has said since; returns how many characters there are."""
    file = folder / OUTPUT_FILE
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole[said:]:
        console.print(whole[said:], end="", markup=False)
    return max(said, len(whole))


def _raise_refusal(folder: Path) -> None:
    from echopair.pipeline.training.pretrain import Diverged

    file = folder / REFUSAL_FILE
    if file.is_file():
        refusal = json.loads(file.read_text(encoding="utf-8"))
        file.unlink()
        raise (Diverged if refusal["diverged"] else UserError)(refusal["message"])


def _work(arguments: dict[str, Any]) -> dict[str, object]:
    """One of the processes, which Ray Train has joined to a group."""
    from echopair.models.processes import process_rank
    from echopair.pipeline.training.pretrain import Diverged, pretrain

    config = LearningConfig.model_validate(arguments["learning"])
    folder = Path(arguments["folder"])
    stores = [ClipStore(Path(clips), config.log_mel.sample_rate_hz) for clips in arguments["clips"]]
    for store, log_mels in zip(stores, arguments["log_mels"], strict=False):  # none, or those of all
        store.log_mels = LogMelClips(Path(log_mels), store, config.log_mel)
    progress.SECONDS_PER_LINE = math.inf  # the bar is that of the driver
    leads = process_rank() == 0
    with Path(folder / OUTPUT_FILE if leads else os.devnull).open("a", encoding="utf-8", buffering=1) as file:
        console.file = file
        try:
            with cpu_threads(arguments["threads"]):
                return pretrain(stores, config, folder)
        except UserError as error:
            refusal = {"message": str(error), "diverged": isinstance(error, Diverged)}
            write_atomically(folder / REFUSAL_FILE, json.dumps(refusal))
            raise
