"""Corpora: recordings of a folder, of a table, or of the built-in generator."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from echopair.pipeline.corpora.folder import FolderCorpusConfig, find_folder_recordings
from echopair.pipeline.corpora.recording import Recording
from echopair.pipeline.corpora.synthetic import SyntheticCorpusConfig, find_synthetic_recordings
from echopair.pipeline.corpora.table import find_table_recordings
from echopair.pipeline.corpora.table_config import TableCorpusConfig

__all__ = ["CorpusConfig", "Recording", "SyntheticCorpusConfig", "find_recordings"]

CorpusConfig = Annotated[
    FolderCorpusConfig | TableCorpusConfig | SyntheticCorpusConfig, Field(discriminator="name")
]


def find_recordings(corpus: str, config: CorpusConfig, work_folder: Path) -> list[Recording]:
    """List the recordings of a corpus without decoding them.

    Args:
        corpus: its name in the run's config.
        config: its location and layout.
        work_folder: folder of generated corpora.

    Raises:
        UserError: the corpus does not exist, is empty, or its table does not match its files.
    """
    match config:
        case FolderCorpusConfig():
            return find_folder_recordings(corpus, config)
        case TableCorpusConfig():
            return find_table_recordings(corpus, config)
        case SyntheticCorpusConfig():
            return find_synthetic_recordings(corpus, config, work_folder / "corpora")
