"""Many calls of a function as tasks of a Ray cluster that was joined: on all nodes, again where a node is lost."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from echopair.pipeline.errors import UserError

RETRIES = 3  # of a task whose process or node was lost

Key = TypeVar("Key")
Value = TypeVar("Value")


def run_tasks(
    function: Callable[..., Value],
    calls: Iterator[tuple[Key, tuple[Any, ...]]],
    at_once: int,
    *,
    what: str,
    cpus: int = 1,
    gpus: int = 0,
) -> Iterator[tuple[Key, Value]]:
    """Call a function on all nodes.

    Plain tasks of Ray and no dataset of Ray Data: what comes back is small, and its order is that of the keys.

    Args:
        function: of a module of echopair, which runs again where its node is lost.
        calls: a key and the arguments of each call; as many are taken as there is room for.
        at_once: calls that run or wait.
        what: names a call in a message, as "corpus 'birds': a block of recordings".
        cpus, gpus: that a call takes of its node.

    Yields:
        The key and the value of each call, in the order of their ends.

    Raises:
        UserError: raised by the function, or a call was lost with its process or node again and again.
    """
    import ray

    task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES, scheduling_strategy="SPREAD")(
        function
    )
    pending: dict[Any, Key] = {}
    while True:
        while len(pending) < at_once and (call := next(calls, None)) is not None:
            key, arguments = call
            pending[task.remote(*arguments)] = key
        if not pending:
            return
        (ended, *_), _ = ray.wait(list(pending))
        try:
            value = ray.get(ended)
        except (
            ray.exceptions.RayTaskError
        ) as error:  # raised in the task; of a lost node it is another RayError
            raise error.cause if isinstance(error.cause, UserError) else error from None
        except ray.exceptions.RayError as error:
            reason = " ".join(str(error).split())[:300]
            raise UserError(
                f"{what} was lost with its process {RETRIES + 1} times ({reason}); look at `ray status` and the memory "
                "of the nodes, and start again"
            ) from error
        yield pending.pop(ended), value
