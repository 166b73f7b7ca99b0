"""The classifier that a probe leaves: the one that was scored, in a file of numbers."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluation.folds import Fold
from echopair.pipeline.evaluation.trained_classifier import TrainedClassifier, train_classifier


def data(clips: int = 60) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    classes = np.arange(clips) % 3
    features = generator.normal(scale=0.8, size=(clips, 5)) + 100 + 2 * np.eye(3, 5)[classes]
    return features.astype(np.float32), np.eye(3, dtype=np.int8)[classes]


def fold(train: np.ndarray, test: np.ndarray) -> Fold:
    return Fold("", train, (), test)


def test_probabilities_are_those_of_logistic_regression_on_all_learned_clips() -> None:
    features, targets = data()
    halves = np.arange(30), np.arange(30, 60)
    folds = [fold(*halves), fold(*halves[::-1])]
    trained = train_classifier("c", "xyz", features, targets, folds, [1.0, 0.1], multilabel=False)
    assert (trained.info.C, trained.info.clips, trained.info.classes) == (0.1, 60, ("x", "y", "z"))
    scaler = StandardScaler().fit(features)
    reference = LogisticRegression(C=0.1, tol=1e-8, max_iter=1000).fit(
        scaler.transform(features), targets.argmax(1)
    )
    np.testing.assert_allclose(
        trained.probabilities(features), reference.predict_proba(scaler.transform(features)), atol=2e-4
    )


def test_clips_of_a_split_that_is_tested_alone_are_not_learned_from() -> None:
    features, targets = data()
    targets[targets[:, 2] == 1] = [1, 0, 0]
    targets[50:] = [0, 0, 1]  # a class in the test split alone
    trained = train_classifier(
        "c", "xyz", features, targets, [fold(np.arange(50), np.arange(50, 60))], [1.0], multilabel=False
    )
    assert (trained.info.clips, trained.info.classes) == (50, ("x", "y"))
    np.testing.assert_allclose(trained.probabilities(features).sum(1), 1, rtol=1e-6)


def test_several_labels_have_probabilities_of_their_own(tmp_path: Path) -> None:
    features, targets = data()
    targets[targets[:, 0] == 1, 1] = 1
    folds = [fold(np.arange(60), np.arange(0))]
    trained = train_classifier("c", "xyz", features, targets, folds, [1.0], multilabel=True)
    sums = trained.probabilities(features).sum(1)
    assert sums.max() > 1.5
    trained.described("abc", 5.0).save(tmp_path / "a.safetensors")
    loaded = TrainedClassifier.load(tmp_path / "a.safetensors")
    assert loaded.info == trained.info.model_copy(update={"encoder_sha256": "abc", "clip_seconds": 5.0})
    np.testing.assert_array_equal(loaded.probabilities(features), trained.probabilities(features))


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    with pytest.raises(UserError, match="there is no such file; a run writes classifier-CORPUS"):
        TrainedClassifier.load(file)
    file.write_text("no tensors")
    with pytest.raises(UserError, match="is no classifier that a run of echopair wrote"):
        TrainedClassifier.load(file)
    save_file({"weights": np.zeros((2, 2))}, file)
    with pytest.raises(UserError, match="is no classifier that a run of echopair wrote"):
        TrainedClassifier.load(file)
    features, targets = data()
    folds = [fold(np.arange(60), np.arange(0))]
    trained = train_classifier("c", "xyz", features, targets, folds, [1.0], multilabel=False)
    trained.save(file)
    tensors = load_file(file)
    save_file(tensors | {"weights": np.zeros((5, 2))}, file, {"echopair": trained.info.model_dump_json()})
    with pytest.raises(UserError, match=r"\(5, 2\) weights do not fit 3 classes"):
        TrainedClassifier.load(file)
