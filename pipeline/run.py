"""All stages in order: the file to read first.

    prepare    recordings -> clips                     work/clips/
    log-mels   clips -> log-mels (crops.log_mel_of)    work/log_mels/
    pretrain   clips -> encoder                        work/encoders/
    embed      clips + encoder -> embeddings           work/embeddings/
    evaluate   embeddings + labels -> summaries        work/evaluations/

Each stage declares what decides its output, and its folder is named by that (see `stages.StageOutput`): what is done
is not done again, and runs that agree on a stage share its output. The run itself is recorded in MLflow.
"""

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.markup import escape

from echopair.pipeline.checks import Stage, check, check_clips, evaluations_until
from echopair.pipeline.config import RunConfig
from echopair.pipeline.cores import cpu_threads
from echopair.pipeline.corpora import Recording
from echopair.pipeline.corpora.recording import FolderListing
from echopair.pipeline.embed import FEATURES, PRETRAINED, Embedder
from echopair.pipeline.errors import system_failure
from echopair.pipeline.evaluation import Summary
from echopair.pipeline.evaluation.labels import ListedRecordings, lost_by_refusals
from echopair.pipeline.evaluation.trained_classifier import CLASSIFIER_FILE
from echopair.pipeline.evaluation.validation import mean_score
from echopair.pipeline.log_mel_clips import LogMelClips, log_mels_output, write_log_mels
from echopair.pipeline.prepare import clips_output, prepare, sound_above
from echopair.pipeline.progress import console
from echopair.pipeline.ray_workers import RayWorkers
from echopair.pipeline.run_record import RunRecord
from echopair.pipeline.stages import Done, StageOutput, digest_files, file_name
from echopair.pipeline.store import ClipStore
from echopair.pipeline.tracking import TrackingError
from echopair.pipeline.training.callback import TrainingCallback
from echopair.pipeline.training.checkpoints import ENCODER_FOLDER, PREVIEW_FOLDER
from echopair.pipeline.training.encoder_output import encoder_output


@dataclass
class RunResult:
    """What a run left behind.

    Args:
        config: of the run.
        folder: the run's record, `run.yaml` and `run.json`.
        did: stages that were worked on now; empty if everything was done already.
        recordings: that each corpus lists.
        clips: of each corpus.
        encoder: folder of the pretrained encoder, once there is one.
        embeddings: by corpus and features, as ("esc10", "pretrained").
        evaluations: summaries by evaluation and corpus, as ("probe", "esc10").
        run_id: in MLflow.
        seconds: wall time.
        unrecorded: why its record is not complete, in MLflow or on disk; empty if it is.
    """

    config: RunConfig
    folder: Path | None = None
    did: list[str] = field(default_factory=list)
    recordings: dict[str, list[Recording]] = field(default_factory=dict)
    clips: dict[str, Done] = field(default_factory=dict)
    encoder: Path | None = None
    embeddings: dict[tuple[str, str], Done] = field(default_factory=dict)
    evaluations: dict[tuple[str, str], Summary] = field(default_factory=dict)
    run_id: str | None = None
    seconds: float = 0.0
    unrecorded: str = ""

    def summaries(self, evaluation: str) -> dict[str, Summary]:
        """The summaries of one evaluation by corpus."""
        return {corpus: one for (name, corpus), one in self.evaluations.items() if name == evaluation}

    @property
    def tables(self) -> dict[str, Path]:
        """By corpus, the table of its embeddings in the run's folder."""
        if self.folder is None:
            return {}
        embedded = [corpus for corpus, features in self.embeddings if features == PRETRAINED]
        return {corpus: self.folder / f"embeddings-{file_name(corpus)}.parquet" for corpus in embedded}

    @property
    def classifiers(self) -> dict[str, Path]:
        """By corpus, the classifier in the run's folder, of an evaluation that leaves one."""
        if self.folder is None:
            return {}
        return {
            corpus: self.folder / f"classifier-{file_name(corpus)}.safetensors"
            for (_, corpus), summary in self.evaluations.items()
            if Path(summary["folder"], CLASSIFIER_FILE).is_file()
        }

    @property
    def score(self) -> float:
        """Mean validation score of the corpora that were validated, 0 to 1."""
        return mean_score(self.summaries("validation"))


def run(config: RunConfig, until: Stage = Stage.EVALUATE) -> RunResult:
    """Run the stages up to one, doing only what is not done.

    Args:
        config: of the run.
        until: last stage; from `pretrain` on, the run is recorded in MLflow.

    Raises:
        UserError: anything a person can fix; whatever can be known beforehand is found before any long work.
    """
    started = time.monotonic()
    recordings = check(config, until)
    result = RunResult(config)
    prepare_corpora(config, recordings, result)
    if until >= Stage.PRETRAIN:
        for note in check_clips(config, until, open_stores(config, result)):
            console.print(f"[yellow]{escape(note)}[/]")
        record = RunRecord.open(config, result.clips)
        result.folder, result.run_id = record.folder, record.tracked.run_id
        finished = False
        try:
            with record.tracked.until_end():
                with cpu_threads(config.threads):
                    train_and_evaluate(config, until, result, record.callback())
                    draw_preview(config, result)
                finished = True
                record.write(until.name.lower(), result)
        except Exception as error:
            reason = system_failure(error) or (str(error) if isinstance(error, TrackingError) else "")
            if not (finished and reason):
                raise
            result.unrecorded = reason  # the results are there, and are shown all the same
    result.seconds = time.monotonic() - started
    return result


def prepare_corpora(config: RunConfig, recordings: Mapping[str, list[Recording]], result: RunResult) -> None:
    """Stage 1 for each corpus; fills `result.recordings` and `result.clips`."""
    with _cluster(config) as cluster:
        for corpus, found in recordings.items():
            _prepare_corpus(config, corpus, found, cluster, result)


def _prepare_corpus(
    config: RunConfig, corpus: str, found: list[Recording], cluster: RayWorkers | None, result: RunResult
) -> None:
    passed_over = found.passed_over if isinstance(found, FolderListing) else None
    rate = config.log_mel.sample_rate_hz
    work = partial(prepare, corpus, found, config.prepare, rate, passed_over=passed_over, cluster=cluster)
    clips = clips_output(config, corpus, found).make(work, result.did)
    result.recordings[corpus] = found
    result.clips[corpus] = clips
    store = ClipStore(clips.folder, rate)
    if above := sound_above(store.manifest["original_rate_hz"].to_pylist(), config.log_mel.max_hz):
        console.print(f"  {corpus}: {above}", markup=False)
    if refused := int(clips.marker["refused"]):
        report = escape(str(clips.folder / "report.html"))
        console.print(f"  [yellow]{refused} of {len(found)} recordings refused[/]: {report}")
        if lost := lost_by_refusals(ListedRecordings(found), store):
            console.print(f"  [yellow]lost by refusals[/]: {escape(', '.join(lost))}")


def _cluster(config: RunConfig) -> AbstractContextManager[RayWorkers | None]:
    """What decodes recordings in place of this machine, if that is asked for."""
    if not config.prepare.on_ray:
        return nullcontext()
    work, rate = config.work_folder.absolute(), config.log_mel.sample_rate_hz
    return RayWorkers(config.ray, config.prepare.workers, rate, config.prepare.min_seconds, work)


def open_stores(config: RunConfig, result: RunResult) -> dict[str, ClipStore]:
    """The prepared clips of each corpus."""
    rate = config.log_mel.sample_rate_hz
    return {corpus: ClipStore(clips.folder, rate) for corpus, clips in result.clips.items()}


def train_and_evaluate(
    config: RunConfig, until: Stage, result: RunResult, callback: TrainingCallback | None = None
) -> None:
    """The stages from `pretrain` on, of clips that are prepared; fills the result.

    Args:
        config: of the run.
        until: last stage.
        result: its `clips` name the prepared clips.
        callback: follows the training.
    """
    stores = open_stores(config, result)
    if config.crops.log_mel_of == "clip":
        compute_log_mels(config, stores, result)
    encoder = _train(config, stores, encoder_output(config, result.clips), callback, result.did)
    result.encoder = encoder.folder / ENCODER_FOLDER
    if until < Stage.EMBED:
        return
    embedder = Embedder(config, result.encoder, encoder.digest, result.clips, stores, result.did)
    result.embeddings = embedder.outputs
    if until == Stage.EMBED:
        for corpus in config.corpora:
            for features in FEATURES if corpus in config.probe_corpora else (PRETRAINED,):
                embedder.output(corpus, features)
    for evaluation in evaluations_until(until):
        for corpus in evaluation.corpora(config):
            annotations = result.clips[corpus].marker["annotations_digest"]
            summary = evaluation.run(config, embedder, corpus, annotations)
            result.evaluations[evaluation.name, corpus] = summary


def compute_log_mels(config: RunConfig, stores: Mapping[str, ClipStore], result: RunResult) -> None:
    """Log-mels of the clips to learn from, for `crops.log_mel_of=clip`; the stores get them."""
    for corpus in config.pretrain_corpora:
        store = stores[corpus]
        work = partial(write_log_mels, corpus, store, config.log_mel)
        done = log_mels_output(config, corpus, result.clips[corpus]).make(work, result.did)
        store.log_mels = LogMelClips(done.folder, store, config.log_mel)


def _train(
    config: RunConfig,
    stores: Mapping[str, ClipStore],
    output: StageOutput,
    callback: TrainingCallback | None,
    did: list[str],
) -> Done:
    # Here: `echopair prepare` needs no torch.
    from echopair.pipeline.training.pretrain import pretrain
    from echopair.pipeline.training.ray_pretrain import pretrain_together

    def work(folder: Path) -> dict[str, Any]:
        learned_from = [stores[corpus] for corpus in config.pretrain_corpora]
        if config.pretrain.processes > 1:
            figures = pretrain_together(config, learned_from, folder, callback)
        else:
            figures = pretrain(learned_from, config.learning, folder, callback)
        return {**figures, "digest": digest_files(*sorted((folder / ENCODER_FOLDER).iterdir()))}

    return output.make(work, did)


def draw_preview(config: RunConfig, result: RunResult) -> None:
    """Figures and sound of positive pairs beside the encoder, unless they are there.

    It is no part of the training: a sweep draws it for its best trial alone.
    """
    assert result.encoder is not None
    training = result.encoder.parent
    if not (training / PREVIEW_FOLDER).is_dir():
        from echopair.pipeline.training.preview import write_preview

        stores = open_stores(config, result)
        write_preview([stores[corpus] for corpus in config.pretrain_corpora], config.learning, training)


def training_folder(config: RunConfig, clips: Mapping[str, Done]) -> Path:
    """Where the encoder of a config is trained, once that is done; until then the name ends with `.partial`."""
    return encoder_output(config, clips).path
