"""What the stages of a small run leave on disk, made up."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from echopair.pipeline.config import RunConfig, compose
from echopair.pipeline.corpora.recording import Refusal
from echopair.pipeline.corpus_report import write_report
from echopair.pipeline.figures import (
    accuracy_bars_figure,
    confusion_matrix_figure,
    positive_pairs_figure,
    training_curves_figure,
)
from tests.pipeline.corpus_report.manifests import manifest_of

RATE = 16000
CLASSES = ["bell", "dog", "rain", "rooster"]


@dataclass(frozen=True)
class MadeRun:
    """Arguments of `write_run_page`."""

    folder: Path
    config: RunConfig
    clips: dict[str, Path]
    training: Path
    evaluations: dict[tuple[str, str], dict[str, Any]]


def features(pretrained: list[float], untrained: list[float]) -> dict[str, Any]:
    """Features of a probe by the scores of their folds."""
    scores = {
        "chance": [0.25] * len(pretrained),
        "mel statistics": [score - 0.04 for score in untrained],
        "untrained": untrained,
        "pretrained": pretrained,
    }
    return {
        name: {
            "score": float(np.mean(per_fold)),
            "interval": None if name == "chance" else [np.mean(per_fold) - 0.05, np.mean(per_fold) + 0.05],
            "macro_accuracy": float(np.mean(per_fold)),
            "per_fold": per_fold,
        }
        for name, per_fold in scores.items()
    }


def probe_summary(pretrained: list[float], untrained: list[float]) -> dict[str, Any]:
    return {
        "corpus": "sound_events",
        "metric": "accuracy",
        "protocol": f"{len(pretrained)} folds of the corpus",
        "clips": 96,
        "clips_tested": 96,
        "test_clips_with_copies": 0,
        "classes": CLASSES,
        "features": features(pretrained, untrained),
    }


def metrics(steps: int = 400) -> list[dict[str, float]]:
    draw = np.random.default_rng(0)
    return [
        {
            "step": step,
            "loss": 5.5 * np.exp(-step / 150) + 1.2 + 0.1 * draw.normal(),
            "loss_chance_level": 5.54,
            "retrieval_top1": 0.9 * (1 - np.exp(-step / 120)),
            "retrieval_top1_chance_level": 0.004,
            "effective_rank": 40 + step / 10,
            "alignment": 0.6,
            "uniformity": -2.5,
            "embedding_spread": 0.4,
            "learning_rate": 0.001,
        }
        for step in range(5, steps + 1, 5)
    ]


def made_run(folder: Path, probe: dict[str, Any] | None) -> MadeRun:
    """Write the files of a run whose probe found this, or which had no labels to probe."""
    corpus, training = folder / "clips" / "sound_events", folder / "encoders" / "resnet"
    run, preview = folder / "runs" / "a run", training / "preview"
    for made in (corpus, preview, run):
        made.mkdir(parents=True)
    clips = [{"labels": [CLASSES[n % 4]]} for n in range(96)]
    write_report(corpus, "sound_events", manifest_of(*clips), [Refusal("x.wav", "x.wav: no audio in it")])
    draw = np.random.default_rng(0)
    time = np.arange(RATE) / RATE
    for pair in range(2):
        for letter in "ab":
            tone = 0.5 * np.sin(2 * np.pi * 600 * (pair + 1) * time) + 0.01 * draw.normal(size=RATE)
            soundfile.write(preview / f"pair-{pair + 1}-{letter}.wav", tone, RATE)
    views = draw.normal(size=(2, 2, 64, 96))
    centres_hz = np.geomspace(60, 7800, 64)
    positive_pairs_figure(views, ["dog.wav", "rain.wav"], preview / "pairs.png", 0.01, centres_hz.tolist())
    training_curves_figure(metrics(), preview / "training_curves.png")
    (training / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in metrics()))
    evaluations: dict[tuple[str, str], dict[str, Any]] = {}
    if probe is not None:
        scores = folder / "evaluations" / "probe-sound_events"
        scores.mkdir(parents=True)
        results = probe["features"].values()
        accuracy_bars_figure(
            list(probe["features"]),
            [one["score"] for one in results],
            [one["interval"] for one in results],
            scores / "accuracy.png",
        )
        confusions = draw.integers(0, 4, (4, 4)) + 20 * np.eye(4, dtype=int)
        confusion_matrix_figure(confusions, CLASSES, scores / "confusion_matrix.png", "sound_events")
        evaluations["probe", "sound_events"] = {**probe, "folder": str(scores)}
    config = compose("synthetic", ["augment.strength=0.5", f"work_folder={folder}"])
    return MadeRun(run, config, {next(iter(config.corpora)): corpus}, training, evaluations)
