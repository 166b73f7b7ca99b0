"""What every evaluation is: which clips and features it reads, its summary, and how that is shown."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from echopair.pipeline.embed import PRETRAINED, Embedder, Embeddings
from echopair.pipeline.stages import Done, StageOutput, digest_values

if TYPE_CHECKING:
    from echopair.pipeline.config import RunConfig
    from echopair.pipeline.evaluation.labels import Annotations
    from echopair.pipeline.store import ClipStore

Summary = dict[str, Any]


class ResultTable(NamedTuple):
    """What the terminal and pages show of an evaluation: a sentence, and rows where there are any."""

    title: str
    headings: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()

    def markdown(self) -> str:
        """The rows, as a table of Markdown."""
        lines = [self.headings, ["---", *["--:"] * (len(self.headings) - 1)], *self.rows]
        return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


class Evaluation(ABC):
    """Scores embeddings; its files and its summary are cached by what it declares.

    Attributes:
        name: of the summary's JSON file, of the folder in MLflow, and in `RunResult.evaluations`.
        code_version: raised whenever the code makes another summary of the same inputs.
        libraries: distributions whose versions decide the summary.
        features: the features it reads, of `embed.FEATURES`.
        reads_test_labels: False if its scores may choose settings; the trials of a sweep run such ones alone.
    """

    name: ClassVar[str]
    code_version: ClassVar[int]
    libraries: ClassVar[tuple[str, ...]] = ()
    features: ClassVar[tuple[str, ...]] = (PRETRAINED,)
    reads_test_labels: ClassVar[bool] = True

    def corpora(self, config: RunConfig) -> tuple[str, ...]:
        """The corpora it is done for."""
        return config.probe_corpora

    def reads(self, config: RunConfig) -> set[str]:
        """The corpora whose labels it reads, or must know to leave their clips out."""
        return set(self.corpora(config))

    def check(self, config: RunConfig, clips: Mapping[str, Annotations]) -> list[str]:
        """Refuse what would fail, by annotations alone: before anything is decoded, and again before the training.

        Args:
            config: of the run.
            clips: annotations of each corpus that is prepared; of all its recordings, then of its clips.

        Returns:
            What a person should know of the scores beforehand, a sentence each.

        Raises:
            UserError: names the corpus or the key.
        """
        return []

    @abstractmethod
    def settings(self, config: RunConfig, stores: Mapping[str, ClipStore], corpus: str) -> Any:
        """What decides the summary beside embeddings and labels: the slice of the config, in JSON or pydantic."""

    @abstractmethod
    def evaluate(
        self,
        config: RunConfig,
        stores: Mapping[str, ClipStore],
        corpus: str,
        features: Mapping[str, Embeddings],
        folder: Path,
    ) -> Summary:
        """Score the embeddings of a corpus.

        Args:
            config: of the run.
            stores: clips of all corpora of the run, with their labels.
            corpus: which of them is scored.
            features: embeddings by name, in the order of the store's clips.
            folder: existing folder; may get tables (csv) and figures (png).

        Returns:
            The summary, as JSON.
        """

    def metrics(self, corpus: str, summary: Summary) -> dict[str, float]:
        """Figures for MLflow by name, as `esc10/accuracy`."""
        return {}

    def tables(self, summaries: Mapping[str, Summary]) -> list[ResultTable]:
        """What is shown of the summaries of all corpora."""
        return []

    def figures(self, summary: Summary) -> dict[str, float]:
        """Figures for the line that says that the stage is done."""
        return {}

    def output(
        self, config: RunConfig, embedder: Embedder, corpus: str, annotations_digest: str
    ) -> StageOutput:
        """Where the summary of a corpus is kept, and what decides it."""
        digests = {name: embedder.output(corpus, name).digest for name in self.features}
        return StageOutput(
            f"{self.name} {corpus}",
            config.work_folder.absolute() / "evaluations" / f"{self.name}-{corpus}",
            [self.name, self.settings(config, embedder.stores, corpus), annotations_digest, digests],
            self.code_version,
            self.libraries,
        )

    def run(self, config: RunConfig, embedder: Embedder, corpus: str, annotations_digest: str) -> Summary:
        """The summary of a corpus, made now unless it is there.

        Args:
            config: of the run.
            embedder: of the run's encoder.
            corpus: which is scored.
            annotations_digest: of the corpus's labels, folds, splits and groups.

        Returns:
            What `evaluate` returned, and its `folder`.
        """

        def work(folder: Path) -> dict[str, Any]:
            features = {name: embedder.load(corpus, name) for name in self.features}
            summary = self.evaluate(config, embedder.stores, corpus, features, folder)
            text = json.dumps(summary, indent=2) + "\n"
            (folder / f"{self.name}.json").write_text(text, encoding="utf-8")
            return {"digest": digest_values(summary), **self.figures(summary)}

        done = self.output(config, embedder, corpus, annotations_digest).make(work, embedder.did)
        return self.load(done)

    def load(self, done: Done) -> Summary:
        """The summary in a folder, with the `folder` itself."""
        summary: Summary = json.loads((done.folder / f"{self.name}.json").read_text(encoding="utf-8"))
        return {**summary, "folder": str(done.folder)}
