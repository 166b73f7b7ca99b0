"""All of an evaluation in order: encoders -> clips -> embeddings -> suites -> page; what is done is not done again."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echopair.pipeline.checks import Stage, check, check_clips
from echopair.pipeline.config import RunConfig
from echopair.pipeline.cores import cpu_threads
from echopair.pipeline.embed import Embeddings, clip_ids, embed_stage
from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluate.config import (
    EvaluateSettings,
    chosen_suites,
    compose_evaluation,
    split_evaluate_arguments,
)
from echopair.pipeline.evaluate.encoders import NamedEncoder, open_encoders, with_baselines
from echopair.pipeline.evaluate.frozen_encoder import FrozenEncoder
from echopair.pipeline.evaluate.suites import SUITES, Suite
from echopair.pipeline.evaluate.suites.base import Result, Subject
from echopair.pipeline.evaluate.task import Task
from echopair.pipeline.evaluation.labels import ListedRecordings
from echopair.pipeline.progress import console
from echopair.pipeline.run import RunResult, prepare_corpora
from echopair.pipeline.stages import Done, StageOutput, digest_values, file_name
from echopair.pipeline.store import ClipStore

if TYPE_CHECKING:
    from echopair.pipeline.corpora import Recording


@dataclass
class Evaluated:
    """What an evaluation found.

    Args:
        settings: of the evaluation.
        named: the encoders that were named.
        encoders: these and their baselines, in the order of tables.
        tasks: by corpus.
        results: by corpus, suite and name of the encoder.
        skipped: suites that could not be done, and why, a sentence each.
        keys: of the results, which decide the page.
        did: stages that were worked on now.
        seconds: wall time.
    """

    settings: EvaluateSettings
    named: list[NamedEncoder]
    encoders: list[FrozenEncoder]
    tasks: dict[str, Task] = field(default_factory=dict)
    results: dict[str, dict[str, dict[str, Result]]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    did: list[str] = field(default_factory=list)
    seconds: float = 0.0


def evaluate(arguments: Sequence[str]) -> Evaluated:
    """Ask suites of encoders.

    Args:
        arguments: encoders, presets and YAML files with corpora, and overrides, as of `echopair evaluate`.

    Raises:
        UserError: anything a person can fix, before any long work.
    """
    began = time.monotonic()
    parts = split_evaluate_arguments(arguments)
    plain = compose_evaluation(parts.sources, parts.overrides, None)
    with ExitStack() as files, cpu_threads(plain.run.threads):
        named = open_encoders(parts.encoders, plain.run.embed, files)
        first = next((one.own[0].config for one in named if one.own is not None), None)
        settings = compose_evaluation(parts.sources, parts.overrides, first)
        done = Evaluated(settings, named, with_baselines(named, settings.run))
        _evaluate(done)
    done.seconds = time.monotonic() - began
    return done


def _evaluate(done: Evaluated) -> None:
    config = done.settings.run
    if not config.probe_corpora:
        raise UserError(
            "no corpus has labels, and an evaluation asks for them; name one, as echopair evaluate ENCODER esc10 "
            "corpora.esc10.root=PATH"
        )
    recordings = check(config, Stage.EVALUATE)
    _check_suites(
        done, {name: _task(name, ListedRecordings(recordings[name]), config) for name in recordings}
    )
    clips = _prepared(done, config, recordings)
    rate = config.log_mel.sample_rate_hz
    stores = {corpus: ClipStore(one.folder, rate) for corpus, one in clips[rate].items()}
    for note in check_clips(config, Stage.EVALUATE, stores):
        console.print(note, style="yellow", markup=False)
    done.tasks = {corpus: _task(corpus, stores[corpus], config) for corpus in config.probe_corpora}
    _check_suites(done, done.tasks)
    for corpus, task in done.tasks.items():
        annotations = clips[rate][corpus].marker["annotations_digest"]
        subjects = {
            one.name: _subject(one, corpus, clips[one.sample_rate_hz][corpus], task, config, done.did)
            for one in done.encoders
        }
        done.results[corpus] = {}
        for name, suite_config in chosen_suites(done.settings).items():
            suite = SUITES[name]
            if suite.lacks(task, suite_config):
                continue
            results = {
                encoder.name: _ask(suite, suite_config, task, subjects[encoder.name], annotations, done)
                for encoder in done.encoders
                if suite.takes(encoder)
            }
            done.results[corpus][name] = dict(suite.beside(task, results))


def _task(corpus: str, clips: Any, config: RunConfig) -> Task:
    return Task.of(corpus, clips, config.probe, config.seed)


def _check_suites(done: Evaluated, tasks: Mapping[str, Task]) -> None:
    """Refuse suites that were asked for and cannot be done; of all suites, say which are left out."""
    done.skipped = [
        f"{name.replace('_', ' ')} of {corpus}: it needs {lack}"
        for name, suite_config in chosen_suites(done.settings).items()
        for corpus, task in tasks.items()
        if (lack := SUITES[name].lacks(task, suite_config))
    ]
    if done.skipped and done.settings.asked:
        raise UserError(f"suites: {done.skipped[0]}; take it out of suites, or evaluate on another corpus")


def _prepared(
    done: Evaluated, config: RunConfig, recordings: Mapping[str, list[Recording]]
) -> dict[int, dict[str, Done]]:
    """The clips of each corpus at the rate of each encoder."""
    clips: dict[int, dict[str, Done]] = {}
    for rate in dict.fromkeys(
        [config.log_mel.sample_rate_hz, *(one.sample_rate_hz for one in done.encoders)]
    ):
        at_rate = {"sample_rate_hz": rate, "max_hz": min(config.log_mel.max_hz, rate / 2)}
        log_mel = config.log_mel.model_copy(update=at_rate)
        result = RunResult(config, did=done.did)
        prepare_corpora(config.model_copy(update={"log_mel": log_mel}), recordings, result)
        clips[rate] = result.clips
    return clips


def _subject(
    encoder: FrozenEncoder, corpus: str, clips: Done, task: Task, config: RunConfig, did: list[str]
) -> Subject:
    store = ClipStore(clips.folder, encoder.sample_rate_hz)
    if store.column("path") != task.paths:
        raise UserError(
            f"corpus {corpus!r}: other recordings are refused at {encoder.sample_rate_hz:,} Hz, the rate of "
            f"{encoder.name}, than at {config.log_mel.sample_rate_hz:,} Hz, so the encoders cannot be compared on it; "
            "take the refused recordings out of the corpus"
        )
    stage = embed_stage(config, clips, corpus, encoder.name, encoder.inputs)

    def work(folder: Path) -> dict[str, str]:
        return {"digest": encoder.embed_store(store, stage.title).save(folder)}

    embeddings = Embeddings.load(stage.make(work, did).folder)
    if embeddings.clips.tolist() != clip_ids(store).tolist():
        raise UserError(f"{stage.path} holds embeddings of other clips than its corpus; delete that folder")
    return Subject(encoder, store, embeddings.values, stage.key)


def _ask(
    suite: Suite, suite_config: Any, task: Task, subject: Subject, annotations: str, done: Evaluated
) -> Result:
    """The result of a suite, made now unless it is there."""
    config, encoder = done.settings.run, subject.encoder
    probe = config.probe.model_dump(mode="json", exclude={"corpora", "validation_corpora", "C"})
    stage = StageOutput(
        f"{suite.name} {task.corpus}, {encoder.name}",
        config.work_folder.absolute()
        / "evaluations"
        / file_name(f"{suite.name}-{task.corpus}-{encoder.name}"),
        [
            suite_config,
            annotations,
            probe,
            config.seed,
            subject.key,
        ],
        suite.code_version,
        (*suite.libraries, "torch"),
    )
    done.keys.append(stage.key)
    file = f"{suite.name}.json"

    def work(folder: Path) -> dict[str, Any]:
        result = suite.evaluate(task, subject, suite_config)
        result.save(folder / file)
        headline = next(iter(suite.metrics))
        figures = {headline: result.metrics[headline].value} if headline in result.metrics else {}
        return {"digest": digest_values((folder / file).read_text(encoding="utf-8")), **figures}

    return Result.load(stage.make(work, done.did).folder / file)
