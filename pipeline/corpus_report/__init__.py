"""The report of a prepared corpus: `report.json` and `report.html`."""

from echopair.pipeline.corpus_report.write import write_report

__all__ = ["write_report"]
