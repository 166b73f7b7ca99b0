"""Trials on nodes that do not see the work folder: what they read is brought to them, and what they write comes back.

An actor on the driver's node gives and takes the files of the work folder. On another node a sweep has a folder of
its own:

    clips/<corpus>-<key>/     copied once, for all trials there
    trials/00007/             a trial's work folder, while it is at work

A trial begins with what the driver has of it, wherever it was worked on before. Its files are brought to the driver
before each report, so that whatever the driver has heard of lies on its own disk, and every minute: a node that dies
takes no more with it than a killed process.
"""

import shutil
import socket
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
import yaml
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from echopair.pipeline.config import RunConfig
from echopair.pipeline.errors import UserError
from echopair.pipeline.progress import console
from echopair.pipeline.run import training_folder
from echopair.pipeline.stages import MARKER_FILE, fingerprint, locked, read_done, write_atomically
from echopair.pipeline.training.checkpoints import CHECKPOINT_FILE, CHECKPOINTS_FOLDER
from echopair.pipeline.training.identity import sounds
from echopair.tuning.cluster import RayConfig, nodes_share
from echopair.tuning.course import READINGS_PREFIX
from echopair.tuning.depot import (
    PARTIAL,
    Depot,
    Listing,
    Stamp,
    check_room,
    check_space,
    copy_changes,
    copy_folder,
    everything,
    make_node_folder,
    remove_node_folder,
)
from echopair.tuning.task import Report, TrialTask, clips_of, trial_config
from echopair.tuning.trial import Inherited, lineage_of
from echopair.tuning.trial_folder import (
    CONFIG_FILE,
    ERROR_FILE,
    KEPT_MILESTONES,
    MILESTONE_PREFIX,
    refuse,
    trial_folder,
)

ANSWER_SECONDS = 300.0  # in which the driver's node takes or gives a piece, however many nodes ask
PUSH_SECONDS = 60.0
FREE_SECONDS = 30.0
STAGES_AFTER_TRAINING = ("embeddings", "evaluations")


class DistantDepot:
    """A depot on another node; see `depot.Files`.

    Args:
        actor: a Depot.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def listing(self, folder: str) -> Listing | None:
        listing: Listing | None = self._ask("listing", folder)
        return listing

    def read(self, folder: str, name: str, stamp: Stamp, start: int) -> bytes:
        piece: bytes = self._ask("read", folder, name, stamp, start)
        return piece

    def write(self, folder: str, sender: str, name: str, start: int, piece: bytes) -> None:
        self._ask("write", folder, sender, name, start, piece)

    def update(self, folder: str, sender: str, stamps: Listing) -> bool:
        return bool(self._ask("update", folder, sender, stamps))

    def place(self, folder: str, sender: str, stamps: Listing) -> None:
        self._ask("place", folder, sender, stamps)

    def remove(self, folder: str) -> None:
        self._ask("remove", folder)

    def _ask(self, method: str, *arguments: Any) -> Any:
        try:
            return ray.get(getattr(self._actor, method).remote(*arguments), timeout=ANSWER_SECONDS)
        except ray.exceptions.RayTaskError as error:  # whose text is a traceback
            raise error.cause from error


@contextmanager
def courier_for(
    config: RayConfig, run: RunConfig, sweep_folder: Path, clips: Sequence[Path]
) -> Iterator["Courier | None"]:
    """What trials need where not all nodes see the work folder; None where they do. Ray must have been joined.

    Args:
        config: says whether they do, or that it is to be found out.
        run: with the work folder.
        sweep_folder: below it.
        clips: folders of the prepared clips, below it.

    Raises:
        UserError: `ray.storage` is `shared`, and a node does not see the work folder; or what would have to be copied
            cannot be: clips behind a link, the user's own sounds.
    """
    work = run.work_folder.absolute()
    home = ray.get_runtime_context().get_node_id()
    others = _others(home)
    if config.storage != "copied":
        sees = not others or nodes_share(sweep_folder)
        if config.storage == "shared" and not sees:
            raise UserError(
                f"ray.storage=shared: not all {len(others) + 1} nodes of the cluster see {sweep_folder}; put "
                "work_folder on a disk that all of them mount at the same place, or set ray.storage=copied"
            )
        if sees:
            yield None
            return
    _check_sounds(run, others)
    depot = Depot(work)
    bytes_to_copy = sum(
        stamp.size_bytes
        for folder in clips
        for stamp in (depot.listing(folder.relative_to(work).as_posix()) or {}).values()
    )
    console.print(
        f"{work} is not on every node's disk: {bytes_to_copy / 1e9:.2f} GB of clips are copied once to each other node "
        f"({len(others)}), and what trials write comes back"
    )
    here = NodeAffinitySchedulingStrategy(home, soft=False)
    actor = ray.remote(num_cpus=0, max_restarts=-1)(Depot).options(scheduling_strategy=here).remote(work)
    name = f"echopair-{fingerprint(socket.gethostname(), str(sweep_folder))}"
    courier = Courier(actor, home, work, name, config.node_folder)
    try:
        # Each takes more of the trials the sooner it fails them.
        _ask_nodes(others, check_room, config.node_folder, name, bytes_to_copy)
        yield courier
    finally:
        _free(courier)


def _check_sounds(run: RunConfig, nodes: Sequence[str]) -> None:
    """Refuse sounds that other nodes do not see: a training is named after their path too, so copies would be others.

    Raises:
        UserError: a node has not the same.
    """
    ours = sounds(run)
    if not ours:
        return
    try:
        same = all(theirs == ours for theirs in _ask_nodes(nodes, sounds, run))
    except ValueError:  # there is no such folder
        same = False
    if not same:
        raise UserError(
            "augment.policy: the sounds of a folder are not copied, and not all nodes see the same; put them where all "
            "nodes mount them at the same place, or run the sweep on this machine alone"
        )


def _free(courier: "Courier") -> None:
    """Leave nothing on nodes that still answer, nor of copies that were broken off."""
    with suppress(Exception):  # whatever Ray says by now, it hides no error of the sweep
        tasks = _begin_on_nodes(_others(courier.home), remove_node_folder, courier.node_folder, courier.name)
        tasks.append(courier.actor.clear.remote())
        ray.wait(tasks, num_returns=len(tasks), timeout=FREE_SECONDS)
        ray.kill(courier.actor)


def _others(home: str) -> list[str]:
    return [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["NodeID"] != home]


def _ask_nodes(nodes: Sequence[str], function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What a function returns on each node, or raises on one."""
    try:
        answers: list[Any] = ray.get(_begin_on_nodes(nodes, function, *arguments), timeout=ANSWER_SECONDS)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    return answers


def _begin_on_nodes(nodes: Sequence[str], function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Begin a function on each node; whatever runs there, it need not wait for a core."""
    return [
        ray.remote(num_cpus=0, max_retries=0)(function)
        .options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))
        .remote(*arguments)
        for node in nodes
    ]


@dataclass(frozen=True)
class Courier:
    """What a trial of a sweep needs to work away from the driver's disk; does nothing on the driver's own node.

    Args:
        actor: a Depot of the work folder, on the driver's node.
        home: id of that node in Ray.
        work_folder: there, absolute.
        name: of the sweep's folder on every other node.
        node_folder: in which that lies; None is the node's folder for temporary files.
    """

    actor: Any
    home: str
    work_folder: Path
    name: str
    node_folder: Path | None

    @property
    def at_home(self) -> bool:
        """Whether this process sees the work folder."""
        return bool(ray.get_runtime_context().get_node_id() == self.home)

    @property
    def depot(self) -> DistantDepot:
        """The driver's files."""
        return DistantDepot(self.actor)

    def name_of(self, path: Path) -> str:
        """What a path on the driver's node is called in its depot."""
        return path.relative_to(self.work_folder).as_posix()

    def folder_here(self) -> Path:
        """The sweep's folder on this node, made if it is not there.

        Raises:
            UserError: it cannot be, or is somebody else's.
        """
        return make_node_folder(self.node_folder, self.name)

    def clips(self, folder: Path) -> Path:
        """Prepared clips as this node sees them, copied unless they are there.

        Args:
            folder: of the clips on the driver's node.

        Raises:
            UserError: too little space for them.
        """
        if self.at_home:
            return folder
        here, name = Depot(self.folder_here()), self.name_of(folder)
        copied = here.path(name)
        with locked(copied):
            there = self.depot.listing(name) or {}
            stamp = there.get(MARKER_FILE)
            marker = self.depot.read(name, MARKER_FILE, stamp, 0) if stamp else b""
            done = copied / MARKER_FILE
            if not done.is_file() or done.read_bytes() != marker:
                here.remove(name)
                check_space(here.root, sum(stamp.size_bytes for stamp in there.values()))
                copy_folder(self.depot, here, name, "copy")
        return copied

    @contextmanager
    def away(self, task: TrialTask, number: int) -> Iterator["Away"]:
        """Let a trial work on this node, and leave nothing of it.

        Args:
            task: the sweep's, with the driver's paths.
            number: of the trial.

        Raises:
            Exception: what the body raises, after it is written to the trial's `error.txt` on the driver's disk.
        """
        work = self.folder_here() / "trials" / f"{number:05d}"
        with locked(work):  # an attempt that was paused may still be at its end
            shutil.rmtree(work, ignore_errors=True)
            trial = Away(self, task, number, work)
            try:
                trial.folder.mkdir(parents=True)
                yield trial
            except Exception:
                with suppress(Exception):
                    (trial.folder / ERROR_FILE).write_text(traceback.format_exc(), encoding="utf-8")
                    trial.push()
                raise
            finally:
                trial.stop()
                shutil.rmtree(work, ignore_errors=True)


def _of_trial(name: str) -> bool:
    return not name.startswith(MILESTONE_PREFIX)


def _of_stage(name: str) -> bool:
    return not name.startswith(f"{CHECKPOINTS_FOLDER}/")  # those only a training under way needs


class Away:
    """A trial at work on a node that does not see the driver's disk.

    Args:
        courier: the sweep's.
        task: the sweep's, with the driver's paths.
        number: of the trial.
        work: its work folder on this node, which has the names of the driver's.
    """

    def __init__(self, courier: Courier, task: TrialTask, number: int, work: Path) -> None:
        self._courier = courier
        self._driver_task = task
        self._number = number
        self._sender = f"{number:05d}"
        self._here, self._there = Depot(work), courier.depot
        self._training: Path | None = None
        self._pushing = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep_up, name="courier", daemon=True)
        clips = courier.folder_here()
        settings = task.settings
        run = settings.run.model_copy(update={"work_folder": work})
        self.task = replace(
            task,
            settings=settings.model_copy(update={"run": run}),
            clips={
                rate: {corpus: clips / courier.name_of(folder) for corpus, folder in folders.items()}
                for rate, folders in task.clips.items()
            },
            folder=work / courier.name_of(task.folder),
        )
        self.folder = trial_folder(self.task.folder, number)

    def fetch(self, values: Mapping[str, Any], inherited: Inherited | None) -> None:
        """Bring what the trial reads, and what the driver has of it; then keep the driver up to date.

        Args:
            values: of the swept keys.
            inherited: the training to go on with, with this node's paths.
        """
        try:
            self._fetch(values, inherited)
        except UserError as error:
            # It would be the same again: `run_trial` says so, and the driver has it.
            refuse(self.task.folder, self._number, str(error))
        self._thread.start()

    def _fetch(self, values: Mapping[str, Any], inherited: Inherited | None) -> None:
        first, *changes = lineage_of(values, inherited)
        config = trial_config(self.task, self._number, first["values"], changes)
        for folder in self._driver_task.clips[config.log_mel.sample_rate_hz].values():
            self._courier.clips(folder)
        self._bring(self.folder, _of_trial)
        self._there.remove(f"{self._name(self.folder)}/{ERROR_FILE}")
        training = training_folder(config, clips_of(self.task, config))
        partial = training.with_name(training.name + PARTIAL)
        begun = self._bring(training, _of_stage) or self._bring(partial)
        if inherited is not None and not begun:
            self._bring(inherited.files)
        self._training = training

    def _bring(self, folder: Path, wanted: Callable[[str], bool] = everything) -> bool:
        return copy_folder(self._there, self._here, self._name(folder), self._sender, wanted)

    def reporting(self, report: Report) -> Report:
        """A report that is made once all that the trial has written is on the driver's disk."""

        def reported(row: dict[str, Any]) -> None:
            with self._pushing:
                self._push()
                if "status" in row:
                    self._stopping.set()
                try:
                    report(row)
                except BaseException:  # so Ray ends a trial; what the driver removes then stays removed
                    self._stopping.set()
                    raise

        return reported

    def push(self) -> None:
        """Bring the driver what it has not."""
        with self._pushing:
            self._push()

    def _push(self) -> None:
        self._write_down_the_driver_s_work_folder()
        self._push_changes(self.folder, _of_trial)
        if self._training is not None:
            partial = self._training.with_name(self._training.name + PARTIAL)
            # A checkpoint counts on the rows before it.
            self._push_changes(partial, last=CHECKPOINT_FILE)
            self._push_stage(self._training)
            # A training that was done before may be read anew.
            self._push_changes(self._training, lambda name: name.startswith(READINGS_PREFIX))
        for stage in STAGES_AFTER_TRAINING:
            for folder in sorted((self._here.root / stage).glob("[!.]*")):
                self._push_stage(folder)
        self._push_milestones()

    def stop(self) -> None:
        """Push no more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _keep_up(self) -> None:
        while not self._stopping.wait(PUSH_SECONDS):
            # A file may just be written; and where the driver does not answer, the next report says so.
            with suppress(Exception), self._pushing:
                if not self._stopping.is_set():
                    self._push()

    def _write_down_the_driver_s_work_folder(self) -> None:
        """The run that a trial is can be run again where the driver is."""
        file = self.folder / CONFIG_FILE
        if file.is_file():
            config = yaml.safe_load(file.read_text(encoding="utf-8"))
            work = str(self._driver_task.settings.run.work_folder)
            if config["work_folder"] != work:
                write_atomically(file, yaml.safe_dump({**config, "work_folder": work}, sort_keys=False))

    def _push_changes(
        self, folder: Path, wanted: Callable[[str], bool] = everything, last: str | None = None
    ) -> None:
        copy_changes(self._here, self._there, self._name(folder), self._sender, wanted, last)

    def _push_stage(self, folder: Path) -> None:
        """Bring the driver a stage that is finished, unless it has it."""
        name = self._name(folder)
        if read_done(folder) is not None and MARKER_FILE not in (self._there.listing(name) or {}):
            copy_folder(self._here, self._there, name, self._sender, _of_stage)

    def _push_milestones(self) -> None:
        """What other members of a population may go on from; the driver keeps as many as the trial would."""
        here = {kept.name for kept in self.folder.glob(f"{MILESTONE_PREFIX}*")}
        if not here:
            return
        trial = self._name(self.folder)
        files = self._there.listing(trial) or {}
        there = {name.split("/")[0] for name in files if name.startswith(MILESTONE_PREFIX)}
        for kept in sorted(here - there):
            copy_folder(self._here, self._there, f"{trial}/{kept}", self._sender)
        for older in sorted(here | there)[:-KEPT_MILESTONES]:
            self._there.remove(f"{trial}/{older}")

    def _name(self, path: Path) -> str:
        return path.relative_to(self._here.root).as_posix()
