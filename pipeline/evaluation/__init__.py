"""What an encoder is worth. An evaluation is one file here and one line in `EVALUATIONS`."""

from echopair.pipeline.evaluation.base import Evaluation, ResultTable, Summary
from echopair.pipeline.evaluation.probe import LinearProbe
from echopair.pipeline.evaluation.validation import Validation

__all__ = ["EVALUATIONS", "Evaluation", "ResultTable", "Summary"]

EVALUATIONS: dict[str, Evaluation] = {one.name: one for one in (Validation(), LinearProbe())}
"""Those that a run does, in this order, by name."""
