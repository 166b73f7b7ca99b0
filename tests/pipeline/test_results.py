from echopair.pipeline.results import validation_line


def test_a_validation_score_is_told_with_what_it_is_of() -> None:
    one = {"metric": "accuracy", "clips": 320, "protocol": "4 official folds"}
    other = {"metric": "mean_average_precision", "clips": 90, "protocol": "split valid"}
    first = "accuracy of a linear probe on 320 validation clips of a, 4 official folds"
    assert validation_line({"a": one}, 0.8640625) == f"validation score 86.4%: {first}"
    second = "mean average precision of a linear probe on 90 validation clips of b, split valid"
    assert validation_line({"a": one, "b": other}, 0.5).endswith(f": mean of {first}; {second}")
