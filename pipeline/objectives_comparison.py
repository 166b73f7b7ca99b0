"""Trains one encoder per objective with one config and one budget, and compares their scores."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from rich.table import Table

from echopair.models.methods import MethodConfig, ObjectiveConfig
from echopair.pipeline.checks import Stage, check
from echopair.pipeline.config import RunConfig, compose
from echopair.pipeline.corpora import Recording
from echopair.pipeline.embed import MEL_STATISTICS, PRETRAINED, UNTRAINED
from echopair.pipeline.errors import UserError, did_you_mean
from echopair.pipeline.evaluation.probe import CHANCE
from echopair.pipeline.progress import console
from echopair.pipeline.run import RunResult, run
from echopair.pipeline.stages import read_done


@dataclass(frozen=True)
class ObjectiveResult:
    """What became of one objective: its run, or in words why there is none."""

    name: str
    learns_labels: bool
    run: RunResult | None
    failure: str = ""


def objectives() -> dict[str, type[MethodConfig]]:
    """The configs of all objectives by their name."""
    union, _ = get_args(ObjectiveConfig)
    return {one.model_fields["name"].default: one for one in get_args(union)}


def compare_objectives(
    sources: Sequence[str], overrides: Sequence[str], names: Sequence[str] = ()
) -> list[ObjectiveResult]:
    """Run the pipeline once for each objective; what was done before is not done again.

    Each run has a process of its own, so that its peak memory is its own.

    Args:
        sources: presets or YAML files, as of a run; give the budget as `pretrain.minutes` for equal time.
        overrides: `dotted.key=value`; keys of `objective` must exist in all objectives.
        names: of the objectives; by default all.

    Returns:
        A result for each objective. One that the config does not allow, such as one that would learn the labels
        that are evaluated, or whose run failed has the reason.

    Raises:
        UserError: an unknown objective, or a config that no objective allows.
    """
    known = objectives()
    for name in names:
        if name not in known:
            raise UserError(
                f"--only: there is no objective {name!r}{did_you_mean(name, known)}; they are {', '.join(known)}"
            )
    failures: dict[str, UserError] = {}
    configs: dict[str, RunConfig] = {}
    listed: dict[str, list[Recording]] = {}  # once, as an objective decides nothing of them
    for name in names or known:
        try:
            config = compose(sources, [*overrides, f"objective.name={name}"])
            check(config, Stage.EVALUATE, listed)
        except UserError as error:
            failures[name] = error
        else:
            configs[name] = config
    if not configs:
        raise next(iter(failures.values()))
    results = [
        ObjectiveResult(name, known[name].LEARNS_LABELS, None, str(one)) for name, one in failures.items()
    ]
    for number, (name, config) in enumerate(configs.items(), start=1):
        console.print(f"[bold]objective {number} of {len(configs)}: {name}[/]")
        command = [
            sys.executable,
            "-P",
            "-m",
            "echopair",
            "run",
            *sources,
            *overrides,
            f"objective.name={name}",
        ]
        status = subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode
        failure = f"its run ended with exit status {status}, see above" if status else ""
        done = None if status else _done_before(config)
        results.append(ObjectiveResult(name, known[name].LEARNS_LABELS, done, failure))
    return results


def _done_before(config: RunConfig) -> RunResult:
    """The result of a run whose stages are all done."""
    console.quiet = True
    try:
        return run(config)
    finally:
        console.quiet = False


def comparison_of_objectives(results: Sequence[ObjectiveResult]) -> Table:
    """The scores of each objective, best first, the baselines, and what each cost."""
    finished = [(one, one.run) for one in results if one.run is not None]
    corpora = list(finished[0][1].summaries("probe")) if finished else []
    table = Table()
    table.add_column("objective")
    for corpus in corpora:
        table.add_column(corpus, justify="right")
    for heading in ("steps", "pairs/s", "memory (MB)", "learns from"):
        table.add_column(heading, justify="right")

    def scores(result: RunResult, features: str) -> list[float]:
        return [one["features"][features]["score"] for one in result.summaries("probe").values()]

    for one, result in sorted(finished, key=lambda pair: scores(pair[1], PRETRAINED), reverse=True):
        assert result.encoder is not None
        done = read_done(result.encoder.parent)
        assert done is not None
        table.add_row(
            one.name,
            *(f"{score:.1%}" for score in scores(result, PRETRAINED)),
            str(done.marker["steps"]),
            f"{done.marker['pairs_per_second']:.0f}",
            str(done.marker.get("peak_memory_mb", "")),  # trainings of before have none
            "labels" if one.learns_labels else "sound alone",
        )
    for features in (UNTRAINED, MEL_STATISTICS, CHANCE) if finished else ():
        table.add_row(features, *(f"{score:.1%}" for score in scores(finished[0][1], features)), style="dim")
    return table
