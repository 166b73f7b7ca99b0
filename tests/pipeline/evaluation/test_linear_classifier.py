import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from echopair.pipeline.evaluation.linear_classifier import LinearClassifier, choose_c


def blobs(clips: int, features: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.arange(clips) % 3
    centres = generator.normal(size=(3, features))
    values = (centres[labels] + 2 * generator.normal(size=(clips, features))) * generator.uniform(
        0.1, 10, features
    )
    return values.astype(np.float32), np.eye(3, dtype=np.int8)[labels]


@pytest.mark.parametrize(
    ("clips", "features"), [(90, 20), (45, 200)]
)  # with fewer and with more features than clips
def test_is_plain_logistic_regression(clips: int, features: int) -> None:
    values, targets = blobs(clips + 30, features)
    train, test = np.arange(clips), np.arange(clips, clips + 30)
    scaler = StandardScaler().fit(values[train])
    plain = LogisticRegression(C=0.01, max_iter=5000, tol=1e-8).fit(
        scaler.transform(values[train]).astype(np.float64), targets[train].argmax(1)
    )
    ours = LinearClassifier(values[train], targets[train], multilabel=False).fit(0.01).scores(values[test])
    np.testing.assert_allclose(ours, plain.predict_proba(scaler.transform(values[test])), atol=2e-3)


def test_a_class_that_was_not_learnt_is_never_predicted() -> None:
    values, targets = blobs(30, 5)
    learnt = np.flatnonzero(targets[:, 1] == 0)
    scores = LinearClassifier(values[learnt], targets[learnt], multilabel=False).fit(1.0).scores(values)
    assert scores.shape == (30, 3)
    assert (scores[:, 1] == 0).all()


def test_several_labels_are_told_independently() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(200, 4)).astype(np.float32)
    targets = (values[:, :2] > 0).astype(np.int8)
    scores = LinearClassifier(values, targets, multilabel=True).fit(1.0).scores(values)
    assert ((scores > 0.5) == targets).mean() > 0.95


def test_strength_is_chosen_on_validation_clips_alone() -> None:
    values, targets = blobs(120, 100)
    order = np.random.default_rng(0).permutation(120)
    validation = [(order[:60], order[60:90])]
    chosen = choose_c(values, targets, validation, (1e-4, 1e-2, 1.0, 100.0), multilabel=False)
    corrupted = values.copy()
    corrupted[order[90:]] = np.nan  # were a test clip read, the fit would fail
    assert choose_c(corrupted, targets, validation, (1e-4, 1e-2, 1.0, 100.0), multilabel=False) == chosen


def test_equal_scores_choose_the_stronger_regularisation() -> None:
    values = np.repeat(np.array([[-5.0], [5.0]], dtype=np.float32), 20, axis=0)
    targets = np.repeat(np.eye(2, dtype=np.int8), 20, axis=0)
    everything = np.arange(40)
    validation = [(everything[::2], everything[1::2])]
    assert choose_c(values, targets, validation, (1.0, 0.1, 10.0), multilabel=False) == 0.1
