"""The report of a sweep: a page for people, a table for machines, and the pictures as files."""

import base64
import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from echopair.pipeline.evaluation.probe import probe_table
from echopair.pipeline.figure_style import DOTS_PER_INCH
from echopair.pipeline.stages import write_atomically
from echopair.tuning.report.findings import findings
from echopair.tuning.report.outcomes import best_first, steps_done, training_done, training_spent
from echopair.tuning.report.parameters import Parameter, as_tried, labels
from echopair.tuning.report.pictures import PICTURES, Picture
from echopair.tuning.report.words import whole_percent
from echopair.tuning.results import (
    TRIALS_FILE,
    duration_text,
    error_line,
    percent_text,
    ranked,
    status_words,
    summary_line,
    value_text,
)
from echopair.tuning.trials import Status, Trial

REPORT_HTML = "report.html"
CSS_DOTS_PER_INCH = 96


@dataclass(frozen=True)
class _Drawn:
    picture: Picture
    png: bytes

    @property
    def data_url(self) -> str:
        return "data:image/png;base64," + base64.b64encode(self.png).decode()

    @property
    def width(self) -> int:
        """Width on the page, in CSS pixels: letters are as large as those around the picture."""
        return round(int.from_bytes(self.png[16:20], "big") * CSS_DOTS_PER_INCH / DOTS_PER_INCH)


def write_report(
    trials: Sequence[Trial],
    parameters: Sequence[Parameter],
    folder: Path,
    title: str,
    *,
    about: str = "",
    tests: Sequence[Mapping[str, Any]] = (),
    seconds_of_wall_time: float | None = None,
) -> list[Path]:
    """Write `report.html`, `trials.csv` and the pictures, each in one step; those of an earlier report are replaced.

    Args:
        trials: all of them, in any state, with the values that they are to be judged by.
        parameters: those swept, in the order of the columns.
        folder: existing one to write to.
        title: of the page, such as the name of the sweep.
        about: what scores and readings are of.
        tests: what the best trial got on the test clips of each corpus, as probe.json holds it.
        seconds_of_wall_time: from the beginning of the sweep to its end, if known.

    Returns:
        The files: page, table, pictures. A picture that the trials have nothing to show in is not written.
    """
    parameters = [as_tried(parameter, trials) for parameter in parameters]
    drawn = _draw(trials, parameters)
    content = {
        REPORT_HTML: _page(trials, parameters, title, about, tests, seconds_of_wall_time, drawn),
        TRIALS_FILE: _table(trials, parameters),
        **{f"{one.picture.name}.png": one.png for one in drawn},
    }
    for picture in PICTURES:
        if f"{picture.name}.png" not in content:
            (folder / f"{picture.name}.png").unlink(missing_ok=True)
    for name, data in content.items():
        write_atomically(folder / name, data)
    return [folder / name for name in content]


def _draw(trials: Sequence[Trial], parameters: Sequence[Parameter]) -> list[_Drawn]:
    drawn = []
    with TemporaryDirectory() as scratch:
        for picture in PICTURES:
            path = Path(scratch) / f"{picture.name}.png"
            if picture.draw(trials, parameters, path):
                drawn.append(_Drawn(picture, path.read_bytes()))
    return drawn


def _table(trials: Sequence[Trial], parameters: Sequence[Parameter]) -> bytes:
    """One row a trial, in the order of proposal; values as JSON would write them, words without quotes."""
    keys = [parameter.key for parameter in parameters]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(
        ["trial", "status", "score", *keys, "last_reading", "last_reading_step", "steps_done", "steps", "seconds",
         "attempts", "error", "lineage"]
    )  # fmt: skip
    for trial in sorted(trials, key=lambda trial: trial.number):
        reading = trial.readings[-1] if trial.readings else None
        rows.writerow(
            [
                trial.number,
                trial.status.value,
                trial.score,
                *(_plain(trial.values[key]) if key in trial.values else "" for key in keys),
                reading.score if reading else None,
                reading.step if reading else None,
                steps_done(trial),
                trial.steps,
                round(trial.seconds, 3),
                trial.attempts,
                trial.error,
                _plain(trial.lineage) if trial.lineage else "",
            ]
        )
    return _bytes(text.getvalue())


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _page(
    trials: Sequence[Trial],
    parameters: Sequence[Parameter],
    title: str,
    about: str,
    tests: Sequence[Mapping[str, Any]],
    seconds_of_wall_time: float | None,
    drawn: Sequence[_Drawn],
) -> bytes:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    best = next(iter(best_first(trials)), None)
    spent = training_spent(trials)
    return _bytes(
        environment.get_template("report.html.jinja").render(
            title=title,
            summary=summary_line(trials),
            best=best,
            best_score=percent_text(best.score) if best else "",
            spent=None if spent is None else whole_percent(spent),
            worked=duration_text(sum(trial.seconds for trial in trials)),
            took=None if seconds_of_wall_time is None else duration_text(seconds_of_wall_time),
            about=about,
            tests=[tuple(probe_table(summary)) for summary in tests],
            findings=findings(trials, parameters),
            pictures=drawn,
            headings=labels(parameters),
            rows=[_row(trial, parameters) for trial in ranked(trials)],
            table_file=TRIALS_FILE,
        )
    )


def _row(trial: Trial, parameters: Sequence[Parameter]) -> dict[str, Any]:
    """A trial as the page shows it, in texts."""
    values = [trial.values.get(parameter.key, "") for parameter in parameters]
    return {
        "number": trial.number,
        "score": percent_text(trial.score) if trial.status is Status.FINISHED else "",
        "values": [{"text": value_text(value), "whole": _plain(value)} for value in values],
        "reading": percent_text(trial.readings[-1].score) if trial.readings else "",
        "done": whole_percent(training_done(trial)),
        "time": duration_text(trial.seconds),
        "attempts": trial.attempts,
        "status": trial.status.value,
        "status_words": status_words(trial.status),
        "error": error_line(trial.error) if trial.error else "",
    }


def _bytes(text: str) -> bytes:
    """Text as UTF-8; names of files that are no UTF-8 hold characters that it cannot, and those are spelled out."""
    return text.encode("utf-8", "backslashreplace")
