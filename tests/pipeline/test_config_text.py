from pathlib import Path

import pytest

from echopair.pipeline.config import RunConfig, compose
from echopair.pipeline.errors import UserError


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


def composed(tmp_path: Path, text: str, overrides: list[str] | None = None) -> RunConfig:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    return compose(str(file), overrides or [])


def test_a_file_gives_text_as_it_is_written(tmp_path: Path) -> None:
    config = composed(
        tmp_path,
        "run_name: 1.10\n"
        "corpora:\n"
        "  2024: {name: table, root: 2024, label: no, where: {yes: True, keep: [1e3, on]}, fold: null, group: }\n"
        "probe: {corpora: [2024], test_folds: [01]}\n"
        "crops: {crop_seconds: 1.0}\n",
    )
    assert (config.run_name, config.probe.corpora, config.probe.test_folds) == ("1.10", ("2024",), ("01",))
    assert config.corpora["2024"].model_dump(include={"root", "label", "where", "fold", "group"}) == {
        "root": Path("2024"),
        "label": "no",
        "where": {"yes": "True", "keep": ("1e3", "on")},
        "fold": None,
        "group": None,
    }


def test_merged_mappings_and_interpolations_of_a_file_are_resolved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECORDINGS", "/data")
    config = composed(
        tmp_path,
        "corpora:\n"
        "  one: &one {name: folder, root: 2024}\n"
        "  two: {<<: *one, labels: none}\n"
        "  three: {<<: *one, root: '${oc.env:RECORDINGS}/3'}\n",
    )
    assert [one.model_dump(mode="json")["root"] for one in config.corpora.values()] == [
        "2024",
        "2024",
        "/data/3",
    ]


@pytest.mark.parametrize("root", ["", "''"])
def test_an_empty_root_is_refused(tmp_path: Path, root: str) -> None:
    with pytest.raises(UserError, match=r"corpora\.a\.root\W* it is empty|corpora\.a\.root is empty"):
        composed(tmp_path, f"corpora: {{a: {{name: folder, root: {root}}}}}")
    with pytest.raises(UserError, match=r"corpora\.recordings\.root: it is empty"):
        compose("folder", ["corpora.recordings.root="])
