"""The suites. A suite is one file here and one line in `SUITES`."""

from echopair.pipeline.evaluate.suites.base import Suite
from echopair.pipeline.evaluate.suites.few_labels import FewLabels
from echopair.pipeline.evaluate.suites.fine_tune import FineTune
from echopair.pipeline.evaluate.suites.linear import Linear
from echopair.pipeline.evaluate.suites.nearest_neighbours import NearestNeighbours
from echopair.pipeline.evaluate.suites.noisy_labels import NoisyLabels
from echopair.pipeline.evaluate.suites.out_of_distribution import OutOfDistribution
from echopair.pipeline.evaluate.suites.retrieval import Retrieval
from echopair.pipeline.evaluate.suites.robustness import Robustness
from echopair.pipeline.evaluate.suites.verification import Verification

__all__ = ["SUITES", "Suite"]

SUITES: dict[str, Suite] = {
    one.name: one
    for one in (
        Linear(),
        NearestNeighbours(),
        FewLabels(),
        FineTune(),
        Robustness(),
        NoisyLabels(),
        OutOfDistribution(),
        Verification(),
        Retrieval(),
    )
}
"""By name, in the order of the page."""
