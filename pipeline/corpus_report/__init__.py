"""The report of a prepared corpus: `report.json` and `report.html`."""

from echopair.pipeline.corpus_report.write import Refusal, write_report

__all__ = ["Refusal", "write_report"]
