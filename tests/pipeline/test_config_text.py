from pathlib import Path

import pytest

from echopair.pipeline.config import compose


@pytest.mark.parametrize(
    "text",
    [
        "site #2",
        "2024",
        "no",
        "a: b",
        "1.10",
        "'quoted'",
        "[1] north",
        "{x}",
        "null",
        "a=b",
        "${x}",
        "*",
        "~",
    ],
)
def test_text_and_paths_are_taken_as_they_are_written(text: str) -> None:
    config = compose("folder", [f"corpora.recordings.root={text}", f"run_name={text}"])
    assert config.corpora["recordings"].root == Path(text)  # type: ignore[union-attr]
    assert config.run_name == text


def test_lists_and_sections_hold_text_as_well() -> None:
    config = compose(
        overrides=[
            "corpora.2024={name: table, root: 2024, label: no, where: {yes: 01, keep: [1.10, on]}}",
            "corpora.2024.fold=null",
            "corpora.2024.group=[site]",
            "probe.corpora=[2024]",
            "crops.crop_seconds=1.0",
        ]
    )
    corpus = config.corpora["2024"]
    assert corpus.model_dump(include={"root", "label", "where", "fold", "group"}) == {
        "root": Path("2024"),
        "label": "no",
        "where": {"yes": "01", "keep": ("1.10", "on")},
        "fold": None,
        "group": "[site]",
    }
    assert config.probe.corpora == ("2024",)
