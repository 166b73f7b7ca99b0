"""What a suite is: one question about encoders, its settings, metrics, table and picture."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from echopair.lazy import np
from echopair.pipeline.evaluate.task import Metric
from echopair.pipeline.evaluation.base import ResultTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.pipeline.evaluate.frozen_encoder import FrozenEncoder
    from echopair.pipeline.evaluate.task import Task
    from echopair.pipeline.store import ClipStore

CHANCE = "chance"
COLUMNS_WITH_INTERVALS = 4


class SuiteConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """The settings of a suite, below its name; this one has none."""


@dataclass(frozen=True)
class Subject:
    """An encoder on a corpus.

    Args:
        encoder: for suites that embed other sound than the clips.
        store: the clips at its rate, in the order of the task.
        embeddings: (N, D) of the clips.
        key: equal for equal embeddings.
    """

    encoder: FrozenEncoder
    store: ClipStore
    embeddings: NDArray[np.float32]
    key: str


@dataclass(frozen=True)
class Result:
    """What a suite found of an encoder on a corpus.

    Args:
        metrics: by key; the first one of `Suite.metrics` is what encoders are compared by.
        details: more, as JSON: curves, and what was chosen.
        undefined: metrics, or parts of one, that have no value, and why, a sentence each.
    """

    metrics: dict[str, Metric]
    details: dict[str, Any] = field(default_factory=dict)
    undefined: tuple[str, ...] = ()

    def save(self, file: Path) -> None:
        """Write JSON, and the resamples beside it (.npz)."""
        content = {
            "metrics": {
                key: {"value": one.value, "interval": one.interval} for key, one in self.metrics.items()
            },
            "details": self.details,
            "undefined": list(self.undefined),
        }
        resamples: dict[str, Any] = {key: one.resamples for key, one in self.metrics.items()}
        np.savez(file.with_suffix(".npz"), **resamples)
        file.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, file: Path) -> Result:
        """Read what `save` wrote."""
        content = json.loads(file.read_text(encoding="utf-8"))
        with np.load(file.with_suffix(".npz"), allow_pickle=False) as arrays:
            metrics = {
                key: Metric(one["value"], tuple(one["interval"]) if one["interval"] else None, arrays[key])
                for key, one in content["metrics"].items()
            }
        return cls(metrics, content["details"], tuple(content["undefined"]))


class Suite(ABC):
    """One question about what encoders have learned.

    Attributes:
        name: of the suite, of its settings, and of its files.
        question: that it answers, as the page asks it.
        method: how, in a sentence or two for the page, with the source.
        metrics: key and heading of each metric that the table shows; the first one is what encoders are compared by.
            The heading of `score` is accuracy or mean average precision.
        lower_is_better: keys of metrics of which less is better.
        config: model of the settings.
        code_version: raised whenever the code finds another result in the same inputs.
        libraries: distributions whose versions decide the result.
    """

    name: ClassVar[str]
    question: ClassVar[str]
    method: ClassVar[str]
    metrics: ClassVar[Mapping[str, str]]
    lower_is_better: ClassVar[frozenset[str]] = frozenset()
    config: ClassVar[type[SuiteConfig]] = SuiteConfig
    code_version: ClassVar[int] = 1
    libraries: ClassVar[tuple[str, ...]] = ("scikit-learn", "scipy")

    def lacks(self, task: Task, config: Any) -> str:
        """What the corpus lacks for this suite, as "clips with one label each"; empty if nothing."""
        return ""

    def takes(self, encoder: FrozenEncoder) -> bool:
        """Whether it can be asked of an encoder."""
        return True

    @abstractmethod
    def evaluate(self, task: Task, subject: Subject, config: Any) -> Result:
        """Ask it of an encoder."""

    def beside(self, task: Task, results: Mapping[str, Result]) -> Mapping[str, Result]:
        """The results of all encoders, by name, with metrics that compare them with one another; by default none."""
        return results

    def chance(self, task: Task, config: Any) -> dict[str, float]:
        """Metrics of one that does not listen, by key, where that is known."""
        return {}

    def columns(self, config: Any) -> Mapping[str, str]:
        """Key and heading of each metric of the table: `metrics`, and what the settings add to them."""
        return self.metrics

    def tables(self, task: Task, results: Mapping[str, Result], config: Any) -> list[ResultTable]:
        """What the page and the terminal show: a row for each encoder, chance first."""
        columns = self.columns(config)
        keys = [key for key in columns if any(key in one.metrics for one in results.values())]
        chance = self.chance(task, config)
        rows = []
        if chance:
            rows.append([CHANCE, *(percent(chance[key]) if key in chance else "" for key in keys)])
        for name, result in results.items():
            found = [(key, result.metrics.get(key)) for key in keys]
            # Of many columns the first alone has its interval, so that the table fits the page.
            wide = len(keys) > COLUMNS_WITH_INTERVALS
            rows.append(
                [
                    name,
                    *(
                        "" if one is None else percent(one.value) if wide and key != keys[0] else shown(one)
                        for key, one in found
                    ),
                ]
            )
        named = (self.heading(key, task) if key in self.metrics else columns[key] for key in keys)
        headings = ["features", *named]
        return [ResultTable(f"{task.corpus}: {self.title(task)}", headings, rows)]

    def heading(self, key: str, task: Task) -> str:
        """What a metric is called; `score` follows the labels of the corpus."""
        return task.score_name if key == "score" else self.metrics[key]

    def title(self, task: Task) -> str:
        """Of its table, behind the corpus."""
        return f"{self.name.replace('_', ' ')}, {len(task.tested)} clips, {task.protocol}"

    def figure(self, task: Task, results: Mapping[str, Result], config: Any, file: Path) -> None:
        """Draw its picture as PNG: by default the first metric of each encoder, with its interval."""
        from echopair.pipeline.evaluate.figures import interval_figure

        key = next(iter(self.metrics))
        metrics = {name: one.metrics[key] for name, one in results.items() if key in one.metrics}
        interval_figure(metrics, self.chance(task, config).get(key), self.heading(key, task), file)


def percent(value: float) -> str:
    """As tables show a share."""
    return f"{value:.1%}"


def shown(metric: Metric) -> str:
    """A metric with its interval, as tables show it."""
    if metric.interval is None:
        return percent(metric.value)
    low, high = metric.interval
    return f"{metric.value:.1%} ({low * 100:.1f} to {high * 100:.1f})"
