"""The built-in corpus: a folder of WAV files of generated sound events, with a table of labels."""

import csv
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, model_validator

from echopair.pipeline.cores import available_cores, end_with
from echopair.pipeline.corpora.recording import Recording
from echopair.pipeline.corpora.table import find_table_recordings
from echopair.pipeline.corpora.table_config import TableCorpusConfig
from echopair.pipeline.progress import progress_bar
from echopair.pipeline.stages import StageOutput, digest_files, read_done

SYNTHETIC_VERSION = 1
FOLDS = 5


class SyntheticCorpusConfig(BaseModel, frozen=True, extra="forbid"):
    """Generated sound events, determined by the seed."""

    name: Literal["synthetic"] = "synthetic"
    seed: int = Field(0, ge=0, description="seed of the corpus; it does not depend on the run's seed")
    clips_per_kind: int = Field(60, ge=5, le=100_000, description="clips of each kind of sound event")
    min_seconds: float = Field(2.0, ge=0.5, le=600, description="shortest clip")
    max_seconds: float = Field(3.0, ge=0.5, le=600, description="longest clip")
    min_snr_db: float = Field(
        0.0, ge=-10, le=60, description="lowest signal-to-noise ratio of event and background"
    )
    max_snr_db: float = Field(
        20.0, ge=-10, le=60, description="highest signal-to-noise ratio of event and background"
    )
    sample_rate_hz: int = Field(16000, ge=8000, le=192000, description="rate of the files")

    @model_validator(mode="after")
    def _ranges_are_ranges(self) -> "SyntheticCorpusConfig":
        for low, high in (("min_seconds", "max_seconds"), ("min_snr_db", "max_snr_db")):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low}={getattr(self, low):g} is above {high}={getattr(self, high):g}")
        return self


def find_synthetic_recordings(corpus: str, config: SyntheticCorpusConfig, folder: Path) -> list[Recording]:
    """List the recordings, after generating them unless they exist.

    Args:
        corpus: its name, for the progress bar.
        config: what to generate.
        folder: folder of generated corpora; each config has a subfolder.
    """
    stage = StageOutput(f"synthesise {corpus}", folder / "synthetic", [config], SYNTHETIC_VERSION)
    if read_done(stage.path) is None:

        def work(out: Path) -> dict[str, str]:
            _generate(corpus, config, out)
            return {"digest": digest_files(out / "labels.csv")}

        stage.make(work)
    return find_table_recordings(corpus, TableCorpusConfig(root=stage.path, label="label", fold="fold"))


def _generate(corpus: str, config: SyntheticCorpusConfig, folder: Path) -> None:
    from echopair.pipeline.corpora.synthesis import KINDS, fold_of_clip

    tasks = [(config, folder, kind) for kind in KINDS]
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "fold"])
        for kind in KINDS:
            for index in range(config.clips_per_kind):
                writer.writerow([_file_name(kind, index), kind, fold_of_clip(index, FOLDS) + 1])
    workers = min(available_cores(), len(tasks))
    with (
        ProcessPoolExecutor(
            workers, mp_context=get_context("spawn"), initializer=end_with, initargs=(os.getpid(),)
        ) as pool,
        progress_bar(f"generate {corpus}", len(tasks), "kinds of sound event") as advance,
    ):
        for _ in pool.map(_write_kind, tasks):
            advance()


def _write_kind(task: tuple[SyntheticCorpusConfig, Path, str]) -> None:
    from echopair.pipeline.corpora.synthesis import synthesise_clip, write_recording

    config, folder, kind = task
    (folder / kind).mkdir()
    for index in range(config.clips_per_kind):
        waveform = synthesise_clip(
            config.seed,
            kind,
            index,
            sample_rate_hz=config.sample_rate_hz,
            seconds_range=(config.min_seconds, config.max_seconds),
            snr_db_range=(config.min_snr_db, config.max_snr_db),
        )
        write_recording(folder / _file_name(kind, index), waveform, config.sample_rate_hz)


def _file_name(kind: str, index: int) -> str:
    return f"{kind}/{kind}-{index:04d}.wav"
