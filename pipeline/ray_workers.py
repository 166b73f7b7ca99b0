"""Decodes the recordings of a corpus on all nodes of a Ray cluster.

A block of recordings is a plain task of Ray: decoded by `Workers` on some node into a shard of that process, on storage
that all nodes see. The driver gets what became of each recording, and no audio.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from echopair.pipeline.errors import UserError
from echopair.pipeline.ray_cluster import RayConfig, connect
from echopair.pipeline.ray_nodes import Node, check_nodes
from echopair.pipeline.ray_tasks import run_tasks
from echopair.pipeline.workers import File, Outcome, Workers, files_of, tasks_of

if TYPE_CHECKING:
    from echopair.pipeline.corpora.recording import Recording

RECORDINGS_PER_BLOCK = 64
BYTES_PER_BLOCK = 128 << 20
BLOCKS_PER_CORE = 2  # one is decoded and one waits; the list of a million recordings is not sent at once


class RayWorkers:
    """As `Workers`, with the cores of a cluster; as a context manager, joined at the first recordings.

    Args:
        config: of the cluster.
        processes: how many on all nodes; one a core for None.
        sample_rate_hz: rate of the clips.
        min_seconds: a shorter recording is refused.
        logs: folder for Ray's logs, if it is started here.
    """

    def __init__(
        self, config: RayConfig, processes: int | None, sample_rate_hz: int, min_seconds: float, logs: Path
    ) -> None:
        self._config = config
        self._processes = processes
        self._rate_hz = sample_rate_hz
        self._min_seconds = min_seconds
        self._logs = logs
        self._session = ExitStack()
        self._nodes: list[Node] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._session.close()

    def decode(self, corpus: str, recordings: "Sequence[Recording]", folder: Path) -> Iterator[Outcome]:
        """Decode recordings, in any order, into a shard of each worker process; see `Workers.decode`.

        Raises:
            UserError: the cluster cannot be joined, or a node cannot work for this process; or as `run_tasks` and
                `Workers.decode`.
        """
        for number, recording in enumerate(recordings):
            if recording.refusal:
                yield Outcome(number, None, recording.refusal, "", 0)
        files = files_of(recordings)
        if not files:
            return
        at_once = self._blocks_at_once(folder, Path(files[0].path))
        what = f"corpus {corpus!r}: a block of recordings"
        calls = self._calls(corpus, recordings, files, folder)
        for numbers, outcomes in run_tasks(decode_block, calls, at_once, what=what):
            for outcome in outcomes:
                yield outcome._replace(recording=numbers[outcome.recording])

    def _calls(
        self, corpus: str, recordings: "Sequence[Recording]", files: list[File], folder: Path
    ) -> Iterator[tuple[list[int], tuple[Any, ...]]]:
        """The numbers of the recordings of each block, and the arguments of `decode_block`."""
        for block in tasks_of(files, RECORDINGS_PER_BLOCK, BYTES_PER_BLOCK):
            numbers = [number for file in block for number in file.recordings]
            of_block = [recordings[number] for number in numbers]
            yield numbers, (corpus, of_block, folder, self._rate_hz, self._min_seconds)

    def _blocks_at_once(self, folder: Path, recording: Path) -> int:
        """Join the cluster, unless that is done, and check its nodes."""
        if not self._nodes:
            self._nodes = self._session.enter_context(connect(self._config, self._logs))
        check_nodes(folder, [recording])
        cores = sum(node.cpus for node in self._nodes)
        if not cores:
            raise UserError(
                f"ray.address={self._config.address}: no node has a CPU for tasks; add a node with `ray start "
                "--address=HOST:PORT`"
            )
        return self._processes or BLOCKS_PER_CORE * cores


def decode_block(
    corpus: str, recordings: "Sequence[Recording]", folder: Path, sample_rate_hz: int, min_seconds: float
) -> list[Outcome]:
    """Decode recordings, in a worker process of Ray, by a process below it: see `Workers.decode`."""
    return list(_workers(sample_rate_hz, min_seconds).decode(corpus, recordings, folder))


@cache
def _workers(sample_rate_hz: int, min_seconds: float) -> Workers:
    """Kept from one block to the next; they end with this process."""
    return Workers(1, sample_rate_hz, min_seconds)
