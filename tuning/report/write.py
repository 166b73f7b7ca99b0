"""The report of a sweep: a page for people, a table for machines, and the figures as files."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from echopair.pipeline.csv_cells import csv_cell
from echopair.pipeline.evaluation.probe import probe_table
from echopair.pipeline.figure_style import DOTS_PER_INCH
from echopair.pipeline.pages import embedded_png, render_page
from echopair.pipeline.stages import write_atomically
from echopair.tuning.report.figures import FIGURES, draw_figures
from echopair.tuning.report.outcomes import Outcomes, summary
from echopair.tuning.report.paired_seeds import settings_table
from echopair.tuning.results import TRIALS_FILE, ranked
from echopair.tuning.texts import (
    done_share,
    duration_text,
    error_line,
    final_score,
    last_intermediate,
    percent_text,
    score_text,
    short_keys,
    status_words,
    value_text,
)
from echopair.tuning.trials import Status, Trial

REPORT_HTML = "report.html"


def write_report(
    outcomes: Outcomes,
    folder: Path,
    title: str,
    *,
    about: str = "",
    tests: Sequence[Mapping[str, Any]] = (),
    seconds_of_wall_time: float | None = None,
) -> list[Path]:
    """Write `report.html`, `trials.csv` and the figures, each in one step; those of an earlier report are replaced.

    Args:
        title: of the page, such as the name of the sweep.
        about: what scores and intermediate scores are of.
        tests: what the best trial got on the test clips of each corpus, as probe.json holds it.
        seconds_of_wall_time: from the beginning of the sweep to its end, if known.

    Returns:
        The files: page, table, figures. A figure that the trials have nothing to show in is not written.
    """
    figures = draw_figures(outcomes)
    content = {
        REPORT_HTML: _page(outcomes, title, about, tests, seconds_of_wall_time, figures),
        TRIALS_FILE: _table(outcomes),
        **{f"{name}.png": png for name, png in figures.items()},
    }
    for name in FIGURES:
        if f"{name}.png" not in content:
            (folder / f"{name}.png").unlink(missing_ok=True)
    for name, data in content.items():
        write_atomically(folder / name, data)
    return [folder / name for name in content]


def _table(outcomes: Outcomes) -> bytes:
    """One row a trial, in the order of proposal; values as JSON would write them, words without quotes."""

    def row(trial: Trial) -> dict[str, Any]:
        return {
            "trial": trial.number,
            "status": trial.status.value,
            "score": trial.score,
            **{key: _plain(trial.current[key]) if key in trial.current else "" for key in outcomes.space},
            "last_intermediate_score": last_intermediate(trial),
            "last_intermediate_step": trial.step if trial.intermediate_scores else None,
            "steps_done": trial.steps if trial.status is Status.FINISHED else trial.step,
            "steps": trial.steps,
            "seconds": round(trial.seconds, 3),
            "attempts": trial.attempts,
            "error": trial.error,
            "lineage": _plain(trial.lineage) if trial.lineage else "",
        }

    text = io.StringIO()
    rows = csv.DictWriter(text, row(Trial(number=0, values={})), lineterminator="\n")
    rows.writeheader()
    for trial in sorted(outcomes.trials, key=lambda trial: trial.number):
        rows.writerow({key: csv_cell(value) for key, value in row(trial).items()})
    return _bytes(text.getvalue())


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _page(
    outcomes: Outcomes,
    title: str,
    about: str,
    tests: Sequence[Mapping[str, Any]],
    seconds_of_wall_time: float | None,
    figures: Mapping[str, bytes],
) -> bytes:
    keys = list(outcomes.space)
    page = render_page(
        Path(__file__).with_name("page.html.jinja"),
        title=title,
        took=None if seconds_of_wall_time is None else duration_text(seconds_of_wall_time),
        about=about,
        tests=[probe_table(one) for one in tests],
        summary=summary(outcomes),
        settings=settings_table(outcomes.trials, keys),
        figures=[(embedded_png(png, DOTS_PER_INCH), FIGURES[name][0]) for name, png in figures.items()],
        headings=dict(zip(keys, short_keys(keys), strict=True)),
        rows=[_row(trial, outcomes) for trial in ranked(outcomes.trials)],
        changed=any(len(trial.lineage) > 1 for trial in outcomes.trials),
        table_file=TRIALS_FILE,
    )
    return _bytes(page)


def _row(trial: Trial, outcomes: Outcomes) -> dict[str, Any]:
    """A trial as the page shows it, in texts."""
    values = [trial.current.get(key, "") for key in outcomes.space]
    return {
        "number": trial.number,
        "score": score_text(final_score(trial), outcomes.sources),
        "values": [{"text": value_text(value), "whole": _plain(value)} for value in values],
        "intermediate": percent_text(last_intermediate(trial)),
        "done": percent_text(done_share(trial), digits=0),
        "time": duration_text(trial.seconds),
        "attempts": trial.attempts,
        "status": trial.status.value,
        "status_words": status_words(trial.status),
        "error": error_line(trial.error) if trial.error else "",
    }


def _bytes(text: str) -> bytes:
    """Text as UTF-8; surrogates, as in file names that are not UTF-8, are written as escapes."""
    return text.encode("utf-8", "backslashreplace")
