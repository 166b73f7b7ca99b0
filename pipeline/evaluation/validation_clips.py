"""Which clips may choose settings: those of the validation corpora that are not tested on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from echopair.lazy import np
from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluation.folds import find_test_split
from echopair.pipeline.evaluation.labels import Annotations

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.pipeline.evaluation.probe import ProbeConfig

Clips = TypeVar("Clips", bound=Annotations)


def validation_sets(
    stores: Mapping[str, Clips], config: ProbeConfig, probed: Sequence[str]
) -> dict[str, tuple[Clips, NDArray[np.int64]]]:
    """The clips of each validation corpus whose labels may choose settings.

    A clip whose sound is tested on is left out as well: a copy in this corpus, or equal samples in another.

    Args:
        stores: of all corpora that are probed or validate.
        config: which corpora validate, and what is tested on.
        probed: names of the corpora that are probed with `test_split`.

    Raises:
        UserError: no test split can be set apart, or nothing is left to choose on.
    """
    tested: set[str | None] = set()
    for corpus in probed:
        sounds = _sounds(stores[corpus])
        tested.update(sounds[_tested_clips(corpus, stores[corpus], config)].ravel().tolist())
    tested.discard(None)
    sets = {}
    for corpus in config.validation_corpora or tuple(probed):
        store = stores[corpus]
        sounds = _sounds(store)
        clips = validation_clips(corpus, store, config, tested=corpus in probed)
        clips = clips[[tested.isdisjoint(both) for both in sounds[clips]]]
        if not len(clips):
            raise UserError(
                f"corpus {corpus!r}: every clip is tested on, and none is left to choose settings on; name "
                "another corpus in probe.validation_corpora"
            )
        sets[corpus] = (store, clips)
    return sets


def validation_clips(
    corpus: str, store: Annotations, config: ProbeConfig, *, tested: bool
) -> NDArray[np.int64]:
    """The clips of one corpus whose labels may choose settings.

    Args:
        corpus: its name.
        store: its annotations.
        config: what is tested on.
        tested: whether the corpus is probed: all clips then but the test split; otherwise all
            but those of the split `test`.

    Raises:
        UserError: no test split can be set apart.
    """
    everything = np.arange(len(store.labels()))
    if tested:
        return np.setdiff1d(everything, _tested_clips(corpus, store, config))
    return everything[[split != "test" for split in store.column("split")]]


def _sounds(store: Annotations) -> NDArray[np.object_]:
    return np.array([store.column("samples_sha256"), store.column("sound")], dtype=object).T


def _tested_clips(corpus: str, store: Annotations, config: ProbeConfig) -> NDArray[np.int64]:
    return find_test_split(corpus, store, config).test
