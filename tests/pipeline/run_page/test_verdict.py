import pytest

from echopair.pipeline.run_page.verdict import advice, verdict
from tests.pipeline.run_page.runs import probe_summary


@pytest.mark.parametrize(
    ("pretrained", "untrained", "outcome"),
    [
        ([0.78, 0.80, 0.76], [0.60, 0.63, 0.57], "helped"),  # every fold by as much
        ([0.90, 0.60, 0.70], [0.60, 0.75, 0.65], "unclear"),  # by the mean alone
        ([0.50, 0.52, 0.49], [0.60, 0.62, 0.60], "did not help"),
        ([0.78], [0.60], "helped"),  # one split: the intervals are apart
        ([0.66], [0.60], "unclear"),
    ],
)
def test_a_difference_counts_where_its_interval_excludes_zero(
    pretrained: list[float], untrained: list[float], outcome: str
) -> None:
    assert verdict(probe_summary(pretrained, untrained)).outcome == outcome


def test_the_sentence_names_scores_baseline_and_interval() -> None:
    sentence = verdict(probe_summary([0.78, 0.80, 0.76], [0.60, 0.63, 0.57])).sentence
    assert sentence.startswith("Pretraining helped on sound_events: 78.0% accuracy against 60.0%")
    assert "best baseline (untrained), a difference of +18.0 points (95 % interval +" in sentence
    assert "paired over 3 folds" in sentence


def test_the_interval_is_that_of_the_corrected_t_test() -> None:
    # Differences 0.1, 0.2, 0.3: mean 20 points, standard deviation 10, factor 1/3 + 1/2, t(2 degrees) 4.303.
    sentence = verdict(probe_summary([0.7, 0.8, 0.9], [0.6, 0.6, 0.6])).sentence
    half = 4.302653 * 10 * (1 / 3 + 1 / 2) ** 0.5
    assert f"interval {20 - half:+.1f} to {20 + half:+.1f}".replace(
        "-", "\N{MINUS SIGN}"
    ) in sentence.replace("-", "\N{MINUS SIGN}")


def test_advice_begins_with_what_the_training_shows() -> None:
    usual = advice([{"step": 1, "retrieval_top1": 0.7, "effective_rank": 40.0}])
    assert usual[0].startswith("Train longer")
    assert "collapsed" in advice([{"step": 1, "effective_rank": 1.1}])[0]
    assert "the task is easy" in advice([{"step": 1, "retrieval_top1": 0.99}])[0]
    assert "Only 10%" in advice([{"step": 1, "retrieval_top1": 0.1}])[0]
