"""What augmentation is worth: accuracy by strength, by policy, and with each augmentation left out in turn.

    python -m tests.benchmarks.policy_accuracy US8K_ROOT ESC10_ROOT [WORK_FOLDER]

Every row learns from UrbanSound8K with a small encoder (ResNet of width 16, coarse stem) for 400 steps of 256 pairs and
is probed on UrbanSound8K, by six folds of whole sources, and on ESC-10, by its official folds. The first column is to
choose by, the second to be read afterwards. Rows take some five minutes on one core; what is done in the work folder
is not done again. With OMP_NUM_THREADS=1 two of these may run side by side, each with its own rows or seeds.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from echopair.augment.policy import DEFAULT_AUGMENTATIONS
from echopair.pipeline.checks import Stage
from echopair.pipeline.config import RunConfig, compose
from echopair.pipeline.embed import Embeddings
from echopair.pipeline.evaluation.folds import make_folds
from echopair.pipeline.evaluation.linear_classifier import LinearClassifier, fit_fold
from echopair.pipeline.run import run
from echopair.pipeline.store import ClipStore

SEEDS = (0, 1)
GROUP_FOLDS = 6
# Between these the accuracy is flat; fixed, so that nothing is chosen and the rows differ by their encoders alone.
C_VALUES = (0.01, 0.1)
DEFAULT_NAMES = [one.name for one in DEFAULT_AUGMENTATIONS]


def listed(names: list[str]) -> str:
    """An override that applies these augmentations."""
    return f"augment.policy.augmentations=[{', '.join(names)}]"


def without(*names: str) -> list[str]:
    """The default augmentations but some."""
    return [name for name in DEFAULT_NAMES if name not in names]


ROWS: dict[str, list[str]] = {
    "default": [],
    **{f"strength {value:g}": [f"augment.strength={value}"] for value in (0, 0.5, 1.5)},
    "random, 3 of 15": ["augment.policy.name=random", "augment.policy.operations=3"],
    "stacked, 1 of 15": ["augment.policy.name=stacked", "augment.policy.operations=1"],
    "preset waveform": ["waveform"],
    **{f"without {name}": [listed(without(name))] for name in DEFAULT_NAMES},
    "without both masks": [listed(without("frequency_mask", "time_mask"))],
    "mixup for mix_back": [listed(["mixup", *without("mix_back")])],
    "compander added": [listed([*DEFAULT_NAMES[:2], "compander", *DEFAULT_NAMES[2:]])],
}


def row_config(overrides: list[str], seed: int, us8k: str, esc10: str, work_folder: str) -> RunConfig:
    """The run of a row."""
    presets = [one for one in overrides if "=" not in one]
    fixed = [
        f"corpora.us8k.root={us8k}",
        f"corpora.esc10.root={esc10}",
        f"work_folder={work_folder}",
        "probe.corpora=[us8k, esc10]",
        "encoder.stem=coarse",
        "encoder.width=16",
        "pretrain.steps=400",
        f"seed={seed}",
    ]
    return compose(["us8k-to-esc10", *presets], [*fixed, *(one for one in overrides if "=" in one)])


def accuracies(config: RunConfig) -> tuple[float, float]:
    """Accuracy on UrbanSound8K by sources, and on ESC-10 by official folds."""
    result = run(config, Stage.EMBED)
    rate = config.log_mel.sample_rate_hz
    stores = {name: ClipStore(done.folder, rate) for name, done in result.clips.items()}
    features = {
        name: Embeddings.load(result.embeddings[name, "pretrained"].folder).values
        for name in config.probe_corpora
    }
    with threadpool_limits(1):
        return (
            grouped_accuracy(stores["us8k"], features["us8k"]),
            official_accuracy(stores["esc10"], features["esc10"], config),
        )


def targets_of(store: ClipStore) -> NDArray[np.int8]:
    """(clips, classes) of 0 and 1."""
    labels = [clip[0] for clip in store.labels()]
    return np.array([[name == label for name in sorted(set(labels))] for label in labels], dtype=np.int8)


def grouped_accuracy(store: ClipStore, features: NDArray[np.float32]) -> float:
    """Mean over the fixed values of C, folds drawn by class and source."""
    targets, groups = targets_of(store), store.column("group")
    splitter = StratifiedGroupKFold(GROUP_FOLDS, shuffle=True, random_state=0)
    correct = []
    for learn, test in splitter.split(features, targets.argmax(1), groups):
        classifier = LinearClassifier(features[learn], targets[learn], multilabel=False)
        for c in C_VALUES:
            scores = classifier.fit(c).scores(features[test])
            correct.append(scores.argmax(1) == targets[test].argmax(1))
    return float(np.concatenate(correct).mean())


def official_accuracy(store: ClipStore, features: NDArray[np.float32], config: RunConfig) -> float:
    """Mean over the official folds, C chosen within each fold's training clips."""
    targets = targets_of(store)
    _, folds = make_folds("esc10", store, config.probe, config.seed)
    fits = [fit_fold(features, targets, fold, config.probe.C, multilabel=False) for fold in folds]
    return float(
        np.mean(
            [
                (fit.scores.argmax(1) == targets[fold.test].argmax(1)).mean()
                for fit, fold in zip(fits, folds, strict=True)
            ]
        )
    )


def main(us8k: str, esc10: str, work_folder: str = "work") -> None:
    """Measure the rows and print the table."""
    table = Table(
        "augmentation", *(f"us8k, seed {seed}" for seed in SEEDS), *(f"esc10, seed {seed}" for seed in SEEDS)
    )
    for name, overrides in ROWS.items():
        found = [accuracies(row_config(overrides, seed, us8k, esc10, work_folder)) for seed in SEEDS]
        table.add_row(name, *(f"{one[0]:.1%}" for one in found), *(f"{one[1]:.1%}" for one in found))
        print(name, found, flush=True)
    Console(width=100).print(table)


if __name__ == "__main__":
    main(*(str(Path(argument).absolute()) for argument in sys.argv[1:]))
