"""What an evaluation leaves: the page, the table of scores, runs in MLflow, and what the terminal shows."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echopair.pipeline.evaluate.comparison import difference, mean_ranks, overview
from echopair.pipeline.evaluate.suites import SUITES
from echopair.pipeline.evaluation.base import ResultTable
from echopair.pipeline.figure_style import DOTS_PER_INCH
from echopair.pipeline.pages import embedded_png, render_page
from echopair.pipeline.results import rich_table
from echopair.pipeline.run_record import named_folder
from echopair.pipeline.stages import digest_values, file_name, write_atomically
from echopair.pipeline.tracking import KIND_TAG, TrackedRun

if TYPE_CHECKING:
    from rich.console import Console

    from echopair.pipeline.evaluate.run import Evaluated

PAGE_FILE, SCORES_FILE = "evaluation.html", "scores.csv"
EVALUATION_KIND = "evaluation"


def write_evaluation(done: Evaluated) -> Path:
    """Write `evaluation.html` and `scores.csv`, and record each encoder in MLflow; returns their folder."""
    config = done.settings.run
    key = digest_values("evaluate", config.run_name, done.keys)
    folder = named_folder(config, "evaluation_pages", key)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        page = render_page(Path(__file__).parent / "page.html.jinja", **_content(done, Path(temporary)))
    write_atomically(folder / PAGE_FILE, page)
    with (folder / SCORES_FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["corpus", "suite", "encoder", "metric", "value", "low", "high"])
        writer.writerows(_scores(done))
    _record(done, key, folder)
    return folder


def lines_of(done: Evaluated) -> Iterator[str]:
    """What the terminal says below the tables."""
    for sentence in done.skipped:
        yield f"left out  {sentence}"
    if not done.did:
        yield f"Nothing to do: everything was done before ({done.seconds:.1f} s)."


def print_tables(output: Console, done: Evaluated) -> None:
    """The overview of each corpus."""
    for corpus in done.results:
        table = overview(done, corpus)
        output.print(table.title, style="bold", soft_wrap=True, highlight=False, markup=False)
        output.print(rich_table(table))


def _content(done: Evaluated, temporary: Path) -> dict[str, Any]:
    corpora = []
    for corpus, results in done.results.items():
        task, sections = done.tasks[corpus], []
        for suite, of_suite in results.items():
            config, file = done.settings.of(suite), temporary / f"{file_name(corpus)}-{suite}.png"
            SUITES[suite].figure(task, of_suite, config, file)
            sections.append(
                {
                    "suite": SUITES[suite],
                    "tables": SUITES[suite].tables(task, of_suite, config),
                    "figure": embedded_png(file.read_bytes(), DOTS_PER_INCH) if file.is_file() else None,
                    "undefined": [
                        f"{name}: {sentence}" for name, one in of_suite.items() for sentence in one.undefined
                    ],
                }
            )
        corpora.append({"name": corpus, "overview": overview(done, corpus), "sections": sections})
    ranks = mean_ranks(done, "linear") if len(done.results) > 1 else {}
    return {
        "title": ", ".join(one.name for one in done.encoders if not one.baseline),
        "sentences": list(_sentences(done)),
        "corpora": corpora,
        "ranks": _rank_table(done, ranks) if ranks else None,
        "skipped": done.skipped,
        "encoders": [(one.name, one.address) for one in done.named],
    }


def _sentences(done: Evaluated) -> Iterator[tuple[str, str]]:
    """What a person should know first, with the kind of each sentence: each encoder beside a baseline.

    That is mel statistics, or the first of those that a suite takes.
    """
    baselines = [encoder.name for encoder in done.encoders if encoder.baseline]
    for encoder in done.encoders:
        if encoder.baseline:
            continue
        for corpus, results in done.results.items():
            of: dict[tuple[str, str], list[str]] = {}
            for suite in results:
                pairs = (difference(done, corpus, suite, encoder.name, one) for one in baselines)
                found = next((one for one in pairs if one is not None), None)
                if found is None:
                    continue
                kind = "same" if not found.clear else "better" if found.gain > 0 else "worse"
                name = f"{suite.replace('_', ' ')} ({100 * found.gain:+.1f})"
                of.setdefault((kind, found.other), []).append(name)
            for (kind, baseline), names in of.items():
                words = {
                    "better": "clearly better than",
                    "worse": "clearly worse than",
                    "same": "not clearly different from",
                }[kind]
                yield kind, f"On {corpus}, {encoder.name} is {words} {baseline} at {', '.join(names)}."


def _rank_table(done: Evaluated, ranks: dict[str, float]) -> ResultTable:
    headings = ["features", *done.results, "mean rank"]
    rows = [
        [name, *(_linear(done, corpus, name) for corpus in done.results), f"{rank:.2f}"]
        for name, rank in sorted(ranks.items(), key=lambda one: one[1])
    ]
    return ResultTable(
        "Linear classifier on each corpus, and the mean of the ranks, 1 the best", headings, rows
    )


def _linear(done: Evaluated, corpus: str, name: str) -> str:
    result = done.results[corpus]["linear"].get(name)
    return "" if result is None else f"{result.metrics['score'].value:.1%}"


def _scores(done: Evaluated) -> Iterator[list[Any]]:
    for corpus, results in done.results.items():
        for suite, of_suite in results.items():
            for name, result in of_suite.items():
                for metric, one in result.metrics.items():
                    low, high = one.interval or ("", "")
                    yield [corpus, suite, name, metric, one.value, low, high]


def _record(done: Evaluated, key: str, folder: Path) -> None:
    """A run in MLflow for each encoder that was named, with its metrics and the page."""
    config = done.settings.run
    for encoder in done.encoders:
        if encoder.baseline:
            continue
        address = next(one.address for one in done.named if one.name == encoder.name)
        tracked = TrackedRun.open(
            config.tracking,
            config.work_folder.absolute(),
            digest_values(key, encoder.name),
            f"evaluation of {encoder.name}",
            tags={KIND_TAG: EVALUATION_KIND},
        )
        with tracked.until_end():
            tracked.log_parameters(
                {"encoder": address, "corpora": ", ".join(done.results), "seed": config.seed}
                | {f"suites.{name}": str(done.settings.of(name)) for name in done.settings.suites.suites}
            )
            tracked.log_metrics(
                {
                    f"{corpus}/{suite}/{metric}{ending}": value
                    for corpus, suite, name, metric, *values in _scores(done)
                    if name == encoder.name
                    for ending, value in zip(("", "_low", "_high"), values, strict=True)
                    if value != ""
                }
            )
            tracked.log_artifacts(folder / PAGE_FILE)
            tracked.log_artifacts(folder / SCORES_FILE)
