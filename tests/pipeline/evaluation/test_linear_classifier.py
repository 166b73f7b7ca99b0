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


def scikit_learn_scores(values: np.ndarray, labels: np.ndarray, c: float, others: np.ndarray) -> np.ndarray:
    """(others, classes) probabilities of scikit-learn's logistic regression, by Newton steps to a tight tolerance."""
    scaler = StandardScaler().fit(values)
    plain = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-8).fit(
        scaler.transform(values).astype(np.float64), labels
    )
    return plain.predict_proba(scaler.transform(others))


@pytest.mark.parametrize(
    ("clips", "features"), [(90, 20), (45, 200)]
)  # with fewer and with more features than clips
def test_is_plain_logistic_regression(clips: int, features: int) -> None:
    values, targets = blobs(clips + 30, features)
    train, test = np.arange(clips), np.arange(clips, clips + 30)
    plain = scikit_learn_scores(values[train], targets[train].argmax(1), 0.01, values[test])
    ours = LinearClassifier(values[train], targets[train], multilabel=False).fit(0.01).scores(values[test])
    np.testing.assert_allclose(ours, plain, atol=2e-4)


def test_two_classes_are_penalised_as_scikit_learn_does() -> None:
    values, targets = blobs(90, 20)
    values, targets = values[targets[:, 2] == 0], targets[targets[:, 2] == 0][:, :2]
    plain = scikit_learn_scores(values, targets.argmax(1), 0.01, values)
    ours = LinearClassifier(values, targets, multilabel=False).fit(0.01).scores(values)
    np.testing.assert_allclose(ours, plain, atol=2e-4)


def many_clips() -> tuple[np.ndarray, np.ndarray]:
    """(8000, 20) correlated features, of variances that differ by 10,000 times, and their (8000, 4) classes."""
    generator = np.random.default_rng(0)
    labels = np.arange(8000) % 4
    values = generator.normal(size=(4, 20))[labels] / 2 + generator.normal(size=(8000, 20))
    mixing = np.linalg.qr(generator.normal(size=(20, 20)))[0]
    return (values * np.geomspace(1, 0.01, 20) @ mixing).astype(np.float32), np.eye(4, dtype=np.int8)[labels]


def test_every_c_converges_with_many_clips() -> None:
    values, targets = many_clips()
    classifier = LinearClassifier(values, targets, multilabel=False)
    for c in (0.1, 1.0):  # begins the second fit with the weights of the first
        plain = scikit_learn_scores(values, targets.argmax(1), c, values)
        np.testing.assert_allclose(classifier.fit(c).scores(values), plain, atol=1e-3)


def test_every_label_converges_with_many_clips() -> None:
    values, targets = many_clips()
    targets[200:, 3] = 0  # 50 clips with the label, of 8000
    classifier = LinearClassifier(values, targets, multilabel=True)
    for c in (0.1, 1.0):
        plain = [scikit_learn_scores(values, label, c, values)[:, 1] for label in targets.T]
        np.testing.assert_allclose(classifier.fit(c).scores(values), np.transpose(plain), atol=1e-3)


def test_a_label_of_every_clip_or_none_keeps_its_value() -> None:
    values, targets = blobs(30, 5)
    targets[:, 0], targets[:, 1] = 1, 0
    scores = LinearClassifier(values, targets, multilabel=True).fit(1.0).scores(values)
    assert (scores[:, 0] == 1).all()
    assert (scores[:, 1] == 0).all()


def test_refuses_features_that_are_not_finite() -> None:
    values, targets = blobs(30, 5)
    values[3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        LinearClassifier(values, targets, multilabel=False)


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
