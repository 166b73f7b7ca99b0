"""Writes the page of a run from the outputs of its stages."""

import json
import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from echopair.pipeline.config import RunConfig, default_values
from echopair.pipeline.corpus_report.write import REPORT_HTML, REPORT_JSON
from echopair.pipeline.evaluation import EVALUATIONS, ResultTable, Summary
from echopair.pipeline.figure_style import DOTS_PER_INCH
from echopair.pipeline.layers import flatten
from echopair.pipeline.pages import EmbeddedPng, embedded, embedded_png, render_page
from echopair.pipeline.pages.sound import flac, samples_played
from echopair.pipeline.run_page.verdict import Verdict, advice, verdict
from echopair.pipeline.stages import write_atomically
from echopair.pipeline.training.checkpoints import ENCODER_FOLDER, PREVIEW_FOLDER, read_metrics

PAGE_FILE = "report.html"
PROBE = "probe"
# Paths and names, which change no result.
NOT_SETTINGS = ("run_name", "work_folder", "tracking.", "ray.")
REFUSALS_SHOWN = 3


def write_run_page(
    folder: Path,
    config: RunConfig,
    clips: Mapping[str, Path],
    training: Path,
    evaluations: Mapping[tuple[str, str], Summary],
) -> str:
    """Write `report.html` of a run: results first, then the training, pairs to listen to, data and settings.

    Args:
        folder: of the run; it holds run.yaml.
        config: of the run.
        clips: folders of the prepared clips by corpus.
        training: folder of the training, which holds metrics, preview and encoder.
        evaluations: summaries by evaluation and corpus, each with its `folder`; none if no corpus has labels.

    Returns:
        A summary as Markdown, for MLflow's description of the run.
    """
    metrics = read_metrics(training)
    verdicts = [verdict(one) for (name, _), one in evaluations.items() if name == PROBE]
    tables = _tables(evaluations)
    reports = {corpus: json.loads((path / REPORT_JSON).read_text("utf-8")) for corpus, path in clips.items()}
    places = {
        "report of the run": folder / PAGE_FILE,
        "settings": folder / "run.yaml",
        "encoder": training / ENCODER_FOLDER,
        **{f"report of {corpus}": path / REPORT_HTML for corpus, path in clips.items()},
        **{f"{name} of {corpus}": Path(one["folder"]) for (name, corpus), one in evaluations.items()},
    }
    page = render_page(
        Path(__file__).parent / "page.html.jinja",
        run_name=config.run_name,
        learned_from=[reports[corpus] for corpus in config.pretrain_corpora],
        steps=int(metrics[-1]["step"]) if metrics else 0,
        verdicts=verdicts,
        advice=[] if all(one.outcome == "helped" for one in verdicts) else advice(metrics),
        tables=tables,
        curves=_png(training / PREVIEW_FOLDER / "training_curves.png"),
        evaluation_figures=[
            (f"{name} of {corpus}: {path.stem.replace('_', ' ')}", _png(path))
            for (name, corpus), one in evaluations.items()
            for path in sorted(Path(one["folder"]).glob("*.png"))
        ],
        pairs=_png(training / PREVIEW_FOLDER / "pairs.png"),
        players=_players(training / PREVIEW_FOLDER),
        reports=[
            (one, os.path.relpath(clips[corpus] / REPORT_HTML, folder)) for corpus, one in reports.items()
        ],
        refusals_shown=REFUSALS_SHOWN,
        changed=_settings(config, changed=True),
        settings=_settings(config, changed=False),
        commands=_commands(config, folder),
        encoder=repr(str(training / ENCODER_FOLDER)),
        places=places.items(),
    )
    write_atomically(folder / PAGE_FILE, page)
    return _markdown(verdicts, tables, places)


def _tables(evaluations: Mapping[tuple[str, str], Summary]) -> list[ResultTable]:
    return [
        table
        for name, evaluation in EVALUATIONS.items()
        for table in evaluation.tables(
            {corpus: one for (of, corpus), one in evaluations.items() if of == name}
        )
    ]


def _png(path: Path) -> EmbeddedPng:
    return embedded_png(path.read_bytes(), DOTS_PER_INCH)


def _players(preview: Path) -> list[tuple[str, list[Any]]]:
    """Sound of the views of each pair; shortened if the page would become large."""
    import soundfile

    files = sorted(preview.glob("pair-*.wav"))
    pairs: dict[str, list[Any]] = {}
    for file in files:
        waveform, rate = soundfile.read(file, dtype="float32")
        played = waveform[: samples_played(len(files), len(waveform), rate)]
        number = file.stem.split("-")[1]
        pairs.setdefault(f"Pair {number}", []).append(embedded("audio/flac", flac(played, rate)))
    return list(pairs.items())


def _settings(config: RunConfig, *, changed: bool) -> list[tuple[str, str, str]]:
    """Key, value and default of all settings, or of those that differ from their default; corpora, which have no
    default, come last."""
    defaults = dict(flatten(default_values()))
    values = dict(flatten(config.model_dump(mode="json")))
    shown = [
        (key, _text(value), _text(defaults[key]) if key in defaults else "")
        for key, value in values.items()
        if not changed
        or (not key.startswith(NOT_SETTINGS) and (key not in defaults or defaults[key] != value))
    ]
    return sorted(shown, key=lambda setting: setting[0].startswith("corpora."))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _commands(config: RunConfig, folder: Path) -> list[tuple[str, Any]]:
    """Next steps, and the command of each, which works in any folder."""
    from markupsafe import escape

    place = f"work_folder={config.work_folder.absolute()}"
    tracking = dict(flatten({"tracking": config.tracking.model_dump(mode="json")}))
    usual = dict(flatten(default_values()))
    found = [place, *(f"{key}={value}" for key, value in tracking.items() if value != usual[key])]
    again = [str(folder / "run.yaml"), place]
    commands = {
        "Compare it with other runs": ["compare", *found],
        "See all runs in the browser": ["ui", *found],
        "Run it again with another setting": ["run", *again, f"seed={config.seed + 1}"],
        "See and hear what the augmentations do": ["preview", *again],
        "Search the strength of augmentation": [
            "sweep",
            again[0],
            "sweep.space.augment.strength=[0.5, 1, 1.5]",
            place,
        ],
    }
    if "temperature" in type(config.objective).model_fields:
        commands["Search temperature and strength"] = ["sweep", again[0], "temperature-strength", place]
    return [(title, escape(shlex.join(["echopair", *words]))) for title, words in commands.items()]


def _markdown(verdicts: Iterable[Verdict], tables: Iterable[ResultTable], places: Mapping[str, Path]) -> str:
    parts = [f"**{one.sentence}**" for one in verdicts]
    for table in tables:
        parts.append(table.title)
        if table.rows:
            parts.append(table.markdown())
    if not parts:
        parts = ["No corpus with labels was probed: the run ended with its encoder."]
    parts.append("\n".join(f"- {name}: `{path}`" for name, path in places.items()))
    return "\n\n".join(parts) + "\n"
