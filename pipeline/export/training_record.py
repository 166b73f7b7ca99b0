"""What a work folder has on record of an encoder: its training, its recordings, and its scores."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from echopair.pipeline.config import RunConfig
from echopair.pipeline.corpus_report.write import REPORT_JSON
from echopair.pipeline.encoder_source import RECORD_FILE
from echopair.pipeline.evaluation import Summary
from echopair.pipeline.evaluation.probe import LinearProbe
from echopair.pipeline.progress import console


@dataclass(frozen=True)
class TrainingRecord:
    """Of an encoder that a run trained.

    Args:
        config: of the latest run with this encoder.
        figures: of the training, as `steps` and `parameters`.
        reports: `report.json` of the corpora that it learned from, by name; without those that are not on record.
        probes: summaries of the linear probe, one for each corpus.
    """

    config: RunConfig
    figures: dict[str, Any]
    reports: dict[str, dict[str, Any]]
    probes: list[Summary]


def training_record(encoder: Path) -> TrainingRecord | None:
    """The record of an encoder in its work folder; None if it lies in none, or no run recorded it.

    Folders are found by their names, so that a work folder may have moved.

    Args:
        encoder: folder of the encoder.
    """
    training = encoder.resolve().parent
    work = training.parent.parent
    done = training / "done.json"
    runs = [run for run in _runs(work) if Path(run["encoder"]).parent.name == training.name]
    if not runs or not done.is_file():
        return None
    reports: dict[str, dict[str, Any]] = {}
    probes: dict[str, Summary] = {}
    for run in runs:
        for corpus in run["config"].pretrain_corpora:
            report = work / "clips" / Path(run.get("clips", {}).get(corpus, "")).name / REPORT_JSON
            if report.is_file():
                reports[corpus] = json.loads(report.read_text(encoding="utf-8"))
        for folder in run["evaluations"]:
            file = work / "evaluations" / Path(folder).name / f"{LinearProbe.name}.json"
            if file.is_file():
                summary = json.loads(file.read_text(encoding="utf-8"))
                probes[summary["corpus"]] = summary
    figures = json.loads(done.read_text(encoding="utf-8"))
    return TrainingRecord(runs[-1]["config"], figures, reports, list(probes.values()))


def _runs(work: Path) -> list[dict[str, Any]]:
    """Content of `run.json` of each run, the latest last, with its `config`."""
    found = []
    for file in sorted((work / "runs").glob(f"*/{RECORD_FILE}"), key=lambda file: file.stat().st_mtime):
        settings = file.with_name("run.yaml")
        try:
            config = RunConfig.model_validate(yaml.safe_load(settings.read_text(encoding="utf-8")))
        except ValidationError:
            console.print(
                f"export: {settings} is of another version of echopair, and is left out",
                style="yellow",
                markup=False,
            )
            continue
        found.append({**json.loads(file.read_text(encoding="utf-8")), "config": config})
    return found
