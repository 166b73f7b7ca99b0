"""All stages in order: the file to read first.

    prepare    recordings -> clips                     work/clips/
    pretrain   clips -> encoder                        work/encoders/
    embed      clips + encoder -> embeddings           work/embeddings/
    validate   embeddings + labels -> score            work/validations/   with probe.held_out alone
    probe      embeddings + labels -> accuracy         work/probes/

Each stage writes to a folder that its input and config name (see `stages`), so what is done is not done again
and runs that agree on a stage share it. The run itself is recorded in MLflow.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from rich.markup import escape

from echopair.augment.policy import augmentations_of
from echopair.models.audio_encoder import AudioEncoder
from echopair.models.log_mel import LogMel
from echopair.pipeline.checks import Stage, check, scored_corpora
from echopair.pipeline.config import RunConfig, flatten
from echopair.pipeline.cores import cpu_threads
from echopair.pipeline.corpora import Recording
from echopair.pipeline.embed import EMBED_VERSION, EMBEDDINGS_FILE, Embeddings, embed, mel_statistics
from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluation.probe import PRETRAINED, PROBE_VERSION, probe
from echopair.pipeline.evaluation.validation import (
    VALIDATION_FILE,
    VALIDATION_VERSION,
    validation_score,
    validation_sets,
)
from echopair.pipeline.prepare import PREPARE_VERSION, prepare
from echopair.pipeline.progress import console
from echopair.pipeline.stages import (
    Done,
    digest_files,
    fingerprint,
    locked,
    read_done,
    stage_work,
    write_atomically,
)
from echopair.pipeline.store import ClipStore
from echopair.pipeline.tracking import TrackedRun, tracking_uri
from echopair.pipeline.tracking.outputs import log_outputs, log_training
from echopair.pipeline.training.callback import TrainingCallback
from echopair.pipeline.training.learner import initial_encoder
from echopair.pipeline.training.pretrain import ENCODER_FOLDER, PRETRAIN_VERSION, pretrain

MEL_STATISTICS = "mel statistics"
UNTRAINED = "untrained"
RECORD_FILE = "run.json"


@dataclass
class RunResult:
    """What a run left behind.

    Args:
        config: of the run.
        folder: the run's record, `run.yaml` and `run.json`.
        did: stages that were worked on now; empty if everything was done already.
        encoder: folder of the pretrained encoder, once there is one.
        embeddings: folders by corpus and features, as ("esc10", "pretrained").
        validations: what each corpus's validation.json holds, with `probe.held_out`.
        probes: what each corpus's probe.json holds.
        seconds: wall time.
    """

    config: RunConfig
    folder: Path | None = None
    did: list[str] = field(default_factory=list)
    clips: dict[str, Done] = field(default_factory=dict)
    encoder: Path | None = None
    embeddings: dict[tuple[str, str], Path] = field(default_factory=dict)
    validations: dict[str, dict[str, Any]] = field(default_factory=dict)
    probes: dict[str, dict[str, Any]] = field(default_factory=dict)
    run_id: str | None = None
    seconds: float = 0.0

    @property
    def score(self) -> float:
        """Mean validation score of the corpora that were validated, 0 to 1."""
        return fmean(validation["score"] for validation in self.validations.values())


class _TrackingCallback(TrainingCallback):
    """Logs a training to the run in MLflow."""

    def __init__(self, config: RunConfig, tracked: TrackedRun) -> None:
        self._config = config
        self._tracked = tracked

    def on_begin(self) -> None:
        self._tracked.log_parameters(dict(flatten(self._config.model_dump(mode="json"))))

    def on_metrics(self, rows: list[dict[str, float]]) -> None:
        log_training(self._tracked, rows)


def run(config: RunConfig, until: Stage = Stage.PROBE) -> RunResult:
    """Run the stages up to one, doing only what is not done.

    Args:
        config: of the run.
        until: last stage; from `pretrain` on, the run is recorded in MLflow.

    Raises:
        UserError: anything a person can mend; whatever can be known beforehand is found before any long work.
    """
    started = time.monotonic()
    recordings = check(config, until)
    work = config.work_folder.absolute()
    result = RunResult(config)

    prepare_corpora(config, recordings, result)
    if until >= Stage.PRETRAIN:
        identity = fingerprint(
            "run",
            config.run_name,
            _results_config(config),
            sounds(config),
            {name: [done.digest, done.marker["annotations_digest"]] for name, done in result.clips.items()},
        )
        result.folder = named_folder(config, "runs", identity)
        result.folder.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
        with locked(result.folder):  # the same run may be started twice at once
            write_atomically(result.folder / "run.yaml", text)
        tracked = TrackedRun.open(config.tracking, work, identity, config.run_name)
        result.run_id = tracked.run_id
        with tracked.until_end(), cpu_threads(config.threads):
            learn(config, until, result, _TrackingCallback(config, tracked))
            _record(config, until, result, tracked)
    result.seconds = time.monotonic() - started
    return result


def prepare_corpora(config: RunConfig, recordings: Mapping[str, list[Recording]], result: RunResult) -> None:
    """Stage 1 for each corpus; fills `result.clips`."""
    for corpus, found in recordings.items():
        result.clips[corpus] = _prepare(config, corpus, found, result)


def _prepare(config: RunConfig, corpus: str, recordings: list[Recording], result: RunResult) -> Done:
    rate = config.log_mel.sample_rate_hz
    listed = [
        [one.name, list(one.labels), one.fold, one.split, one.group, *_size_and_time(one.path)]
        for one in recordings
    ]
    key = fingerprint("prepare", PREPARE_VERSION, rate, config.prepare.min_seconds, listed)
    folder = config.work_folder.absolute() / "clips" / f"{corpus}-{key}"
    work = partial(prepare, corpus, recordings, config.prepare, rate)
    done = _do(f"prepare {corpus}", folder, key, work, result)
    refused = int(done.marker["refused"])
    if refused:
        console.print(
            f"  [yellow]{refused} of {len(recordings)} recordings refused[/]: "
            f"{escape(str(folder / 'report.html'))}"
        )
    return done


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (-1, 0)  # refused by name when it is read
    return (status.st_size, status.st_mtime_ns)


def training_folder(config: RunConfig, clips: Mapping[str, Done]) -> tuple[Path, str]:
    """Where the encoder of a config is trained, and the fingerprint that the folder's name ends with."""
    learns_labels = config.crops.positives.name == "same_label"
    learnt_from = [clips[corpus] for corpus in config.pretrain_corpora]
    key = fingerprint(
        "pretrain",
        PRETRAIN_VERSION,
        config.learning.identity(),
        sounds(config),
        [done.digest for done in learnt_from],
        [done.marker["annotations_digest"] for done in learnt_from] if learns_labels else None,
    )
    return config.work_folder.absolute() / "encoders" / f"{config.encoder.name}-{key}", key


def learn(
    config: RunConfig, until: Stage, result: RunResult, callback: TrainingCallback | None = None
) -> None:
    """The stages from `pretrain` on, of clips that are prepared; fills the result.

    Args:
        config: of the run.
        until: last stage.
        result: its `clips` name the prepared clips.
        callback: follows the training.
    """
    rate = config.log_mel.sample_rate_hz
    stores = {corpus: ClipStore(done.folder, rate) for corpus, done in result.clips.items()}
    if config.crops.positives.name == "same_label":
        _check_disjoint(config, stores, scored_corpora(config, until))
    trained = _pretrain(config, [stores[corpus] for corpus in config.pretrain_corpora], result, callback)
    if until < Stage.EMBED:
        return
    encoder = AudioEncoder.load(
        trained.folder / ENCODER_FOLDER, device=config.embed.device, precision=config.embed.precision
    )
    embedder = _Embedder(config, encoder, trained.digest, result)
    if config.probe.held_out and until >= Stage.VALIDATE:
        for corpus, (store, clips) in validation_sets(stores, config.probe, config.probe_corpora).items():
            _validate(config, corpus, store, clips, embedder.pretrained(corpus, store), result)
    if until == Stage.VALIDATE:
        return
    for corpus in config.probe_corpora:
        store = stores[corpus]
        features = {
            MEL_STATISTICS: embedder.mel_statistics(corpus, store),
            UNTRAINED: embedder.untrained(corpus, store),
            PRETRAINED: embedder.pretrained(corpus, store),
        }
        if until == Stage.PROBE:
            _probe(config, corpus, store, features, result)


def _pretrain(
    config: RunConfig, stores: Sequence[ClipStore], result: RunResult, callback: TrainingCallback | None
) -> Done:
    learning = config.learning

    def train(folder: Path) -> dict[str, Any]:
        from echopair.pipeline.training.preview import write_preview

        notes = pretrain(stores, learning, folder, callback)
        write_preview(stores, learning, folder)
        return {**notes, "digest": digest_files(*sorted((folder / ENCODER_FOLDER).iterdir()))}

    folder, key = training_folder(config, result.clips)
    trained = _do("pretrain", folder, key, train, result, keep_partial=True)
    result.encoder = trained.folder / ENCODER_FOLDER
    return trained


class _Embedder:
    """Stage 3 for one encoder: embeddings of a corpus by the features' name, done once."""

    def __init__(self, config: RunConfig, encoder: AudioEncoder, digest: str, result: RunResult) -> None:
        self._config = config
        self._encoder = encoder
        self._digest = digest
        self._result = result
        self._settings = config.embed.model_dump(mode="json", exclude={"device", "batch_crops"})

    def pretrained(self, corpus: str, store: ClipStore) -> Done:
        """Of the trained encoder."""
        body = partial(embed, store, self._encoder, self._config.embed)
        return self._embedded(corpus, PRETRAINED, [self._digest, self._settings], body)

    def untrained(self, corpus: str, store: ClipStore) -> Done:
        """Of the encoder as it was before its training."""
        config, encoder = self._config, self._encoder

        def body(title: str) -> Embeddings:
            untrained = AudioEncoder(
                encoder.config,
                initial_encoder(config.encoder, config.seed),
                device=config.embed.device,
                precision=config.embed.precision,
            )
            return embed(store, untrained, config.embed, title)

        inputs = [encoder.config.model_dump(mode="json"), config.seed, self._settings]
        return self._embedded(corpus, UNTRAINED, inputs, body)

    def mel_statistics(self, corpus: str, store: ClipStore) -> Done:
        """Of the log-mels alone."""
        log_mel = self._config.log_mel
        body = partial(mel_statistics, store, LogMel(log_mel))
        return self._embedded(corpus, MEL_STATISTICS, log_mel.model_dump(mode="json"), body)

    def _embedded(self, corpus: str, name: str, inputs: object, body: Callable[[str], Embeddings]) -> Done:
        result = self._result
        key = fingerprint("embed", EMBED_VERSION, result.clips[corpus].digest, inputs)
        folder = (
            self._config.work_folder.absolute() / "embeddings" / f"{corpus}-{name.replace(' ', '-')}-{key}"
        )
        title = f"embed {corpus}, {name}"
        done = _do(title, folder, key, lambda out: {"digest": body(title).save(out)}, result)
        result.embeddings[corpus, name] = done.folder
        return done


def _validate(
    config: RunConfig,
    corpus: str,
    store: ClipStore,
    clips: NDArray[np.int64],
    embeddings: Done,
    result: RunResult,
) -> None:
    annotations = result.clips[corpus].marker["annotations_digest"]
    folds = config.probe.folds
    key = fingerprint("validate", VALIDATION_VERSION, folds, clips.tolist(), annotations, embeddings.digest)
    folder = config.work_folder.absolute() / "validations" / f"{corpus}-{key}"

    def body(out: Path) -> dict[str, Any]:
        values = _embeddings_of(store, embeddings).values
        summary = validation_score(corpus, store, values, clips, config.probe).summary()
        text = json.dumps(summary, indent=2) + "\n"
        (out / VALIDATION_FILE).write_text(text, encoding="utf-8")
        return {"digest": fingerprint(summary), "score": summary["score"]}

    done = _do(f"validate {corpus}", folder, key, body, result)
    result.validations[corpus] = json.loads((done.folder / VALIDATION_FILE).read_text(encoding="utf-8"))


def _probe(
    config: RunConfig, corpus: str, store: ClipStore, features: Mapping[str, Done], result: RunResult
) -> None:
    key = fingerprint(
        "probe",
        PROBE_VERSION,
        config.seed,
        config.probe.model_dump(mode="json", exclude={"corpora", "validation_corpora"}),
        result.clips[corpus].marker["annotations_digest"],
        {name: done.digest for name, done in features.items()},
    )
    folder = config.work_folder.absolute() / "probes" / f"{corpus}-{key}"

    def evaluate(out: Path) -> dict[str, Any]:
        loaded = {name: _embeddings_of(store, done) for name, done in features.items()}
        summary = probe(corpus, store, loaded, config.probe, config.seed, out)
        return {"digest": fingerprint(summary)}

    done = _do(f"probe {corpus}", folder, key, evaluate, result)
    result.probes[corpus] = json.loads((done.folder / "probe.json").read_text(encoding="utf-8"))
    result.probes[corpus]["folder"] = str(done.folder)


def _check_disjoint(config: RunConfig, stores: Mapping[str, ClipStore], scored: set[str]) -> None:
    """Two corpora may hold the same clips under two names, and labels learned from would then be tested on."""
    learned = {digest for name in config.pretrain_corpora for digest in stores[name].column("samples_sha256")}
    for name in sorted(scored):
        shared = learned.intersection(stores[name].column("samples_sha256"))
        if shared:
            raise UserError(
                f"crops.positives.name=same_label learns from the labels of {len(shared)} clips that corpus {name!r} "
                "holds too, and a probe would know its test clips; probe a corpus that shares none"
            )


def _embeddings_of(store: ClipStore, done: Done) -> Embeddings:
    embeddings = Embeddings.load(done.folder)
    if embeddings.clips.tolist() != store.manifest["samples_sha256"].to_pylist():
        raise UserError(
            f"{done.folder / EMBEDDINGS_FILE} holds other clips than its corpus; delete that folder"
        )
    return embeddings


def _do(
    title: str,
    folder: Path,
    key: str,
    body: Callable[[Path], Mapping[str, Any]],
    result: RunResult,
    *,
    keep_partial: bool = False,
) -> Done:
    """Do a stage unless it is done; say which."""
    with locked(folder):
        done = read_done(folder)
        if done is not None:
            console.print(f"[dim]{title}: done before[/]")
            return done
        with stage_work(folder, key, keep_partial=keep_partial) as stage:
            notes = dict(body(stage.folder))
            stage.finish(str(notes.pop("digest")), **notes)
        done = read_done(folder)
        assert done is not None
    result.did.append(title)
    console.print(f"{title}: {_figures(notes)}{done.marker['seconds']:.1f} s")
    return done


def _figures(notes: Mapping[str, Any]) -> str:
    return "".join(
        f"{name.replace('_', ' ')} {value:,.4g}, "
        if isinstance(value, float)
        else f"{value:,} {name.replace('_', ' ')}, "
        for name, value in notes.items()
        if not isinstance(value, str)
    )


def named_folder(config: RunConfig, kind: str, identity: str) -> Path:
    """Where what a run is called is found below the work folder, such as `runs/`."""
    return config.work_folder.absolute() / kind / f"{config.run_name.replace('/', '-')}-{identity[:8]}"


def sounds(config: RunConfig) -> list[Any]:
    """The user's own sounds that views are made with: other ones make another encoder."""
    return [
        one.contents()
        for augment in config.augment_configs
        for one in augmentations_of(augment)
        if one.contents()
    ]


def _results_config(config: RunConfig) -> dict[str, Any]:
    """The config without what changes no result and without where the recordings lie."""
    values = config.model_dump(
        mode="json", exclude={"work_folder", "tracking", "run_name", "threads", "prepare", "corpora"}
    )
    values |= {"pretrain": config.learning.identity()["pretrain"]}
    return values | {"learns_from": config.pretrain_corpora, "probes": config.probe_corpora}


def _record(config: RunConfig, until: Stage, result: RunResult, tracked: TrackedRun) -> None:
    """Bring the run's outputs to MLflow, unless they are all there."""
    assert result.folder is not None
    record = {
        "run_id": tracked.run_id,
        "tracking_uri": tracking_uri(config.tracking, config.work_folder.absolute()),
        "stage": until.name.lower(),
        "encoder": str(result.encoder),
        "probes": {corpus: summary["folder"] for corpus, summary in result.probes.items()},
    }
    file = result.folder / RECORD_FILE
    if not result.did and tracked.finished and file.is_file() and json.loads(file.read_text()) == record:
        return
    with console.status("recording the run in MLflow"):
        log_outputs(tracked, config, result)
    with locked(result.folder):
        write_atomically(file, json.dumps(record, indent=2) + "\n")
