import unicodedata
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from echopair.pipeline.corpora import Recording
from echopair.pipeline.corpora.table import find_table_recordings
from echopair.pipeline.corpora.table_config import TableCorpusConfig
from echopair.pipeline.errors import UserError


def find(folder: Path, text: str, name: str = "labels.csv", **config: Any) -> list[Recording]:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return find_table_recordings("c", TableCorpusConfig(root=folder, **{"table": name, **config}))


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("dog, wind", ("dog", "wind")),
        ("['dog', 'wind', 'dog']", ("dog", "wind")),
        ('["it\'s", "a \\"b\\""]', ('a "b"', "it's")),
        ("('dog',)", ("dog",)),
        ("[]", ()),
        ("", ()),
        ("[red]", ("[red]",)),
        ("[dog, wind]", None),
        ("['dog' 'wind']", None),
    ],
)
def test_lists_of_labels(tmp_path: Path, cell: str, labels: tuple[str, ...] | None) -> None:
    touch(tmp_path, "a.wav")
    text = f"path;tags\na.wav;{cell}\n"
    if labels is None:
        with pytest.raises(
            UserError, match=r"corpora\.c\.labels: .*line 2: .*is no list of labels; write \['dog'"
        ):
            find(tmp_path, text, labels="tags", quoted_cells=False)
    else:
        (found,) = find(tmp_path, text, labels="tags", quoted_cells=False)
        assert found.labels == labels


def test_a_list_where_one_label_belongs(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav")
    assert find(tmp_path, "path;tag\na.wav;['dog']\n", label="tag")[0].labels == ("dog",)
    with pytest.raises(
        UserError, match=r"line 2: \['dog', 'wind'\] is a list of labels; name its column by labels="
    ):
        find(tmp_path, "path;tag\na.wav;['dog', 'wind']\n", label="tag")


def test_equal_values_in_two_spellings_are_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path, *(f"{n}.wav" for n in range(6)))
    umlaut = "Gr\u00fcn"
    text = "path,fold,site,label\n" + "".join(
        f"{n}.wav,{fold},{site},{label}\n"
        for n, (fold, site, label) in enumerate(
            [
                ("1", "7", umlaut),
                ("1.0", "07", unicodedata.normalize("NFD", umlaut)),
                ("1", "7", "Dog"),
                ("2.0", "7", "dog"),
                ("2.0", "1.5", "NA"),
                ("2.5", "", ""),
            ]
        )
    )
    found = find(tmp_path, text, fold="fold", group="site", label="label")
    assert [one.fold for one in found] == ["1", "1", "1", "2.0", "2.0", "2.5"]
    assert [one.group for one in found] == ["7", "7", "7", "7", "1.5", None]
    assert len({one.labels for one in found[:2]}) == 1
    said = capsys.readouterr().err
    assert "folds '1' and '1.0' are equal" in said
    assert "groups '7' and '07' are equal" in said
    assert "labels 'Dog' and 'dog' differ in capital letters or spaces alone" in said.replace(
        "'dog' and 'Dog'", "'Dog' and 'dog'"
    )
    assert "labels 'NA': counts as a value" in said


def test_rows_are_chosen_by_numbers_however_they_are_spelt(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b.wav", "c.wav")
    text = "path,fold\na.wav,1.0\nb.wav,2\nc.wav,1 \n"
    assert [one.name for one in find(tmp_path, text, where={"fold": 1})] == ["a.wav", "c.wav"]
    with pytest.raises(UserError, match=r"no rows with .*; column 'fold' holds '1', '1.0', '2'"):
        find(tmp_path, text, where={"fold": 3})


def test_paths_as_other_systems_write_them(tmp_path: Path) -> None:
    composed = "Gr\u00fcn/Specht \u00e9.wav"
    touch(tmp_path, unicodedata.normalize("NFD", composed), "x/a.wav", "odd\\name.wav")
    found = find(tmp_path, f"path\n{composed}\nx\\a.wav\nodd\\name.wav\n{tmp_path}/x/../labels.csv\n")
    assert all(one.path.is_file() for one in found)
    assert [one.name for one in found[1:]] == ["x/a.wav", "odd\\name.wav", "labels.csv"]


def test_one_file_under_two_paths(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.wav", "x/b.wav")
    (tmp_path / "y").symlink_to("x")
    for other in ("./x/a.wav", "x/../x/a.wav", "x//a.wav", "y/a.wav", str(tmp_path / "x/a.wav")):
        with pytest.raises(
            UserError, match=r"a\.wav is in two rows of its table, .*line 4.*line 2; remove one"
        ):
            find(tmp_path, f"path\nx/a.wav\nx/b.wav\n{other}\n")
    # Archives that hold equal files once are full of such links.
    (tmp_path / "copy.wav").symlink_to("x/a.wav")
    (tmp_path / "hard.wav").hardlink_to(tmp_path / "x/b.wav")
    assert len(find(tmp_path, "path\nx/a.wav\ncopy.wav\nx/b.wav\nhard.wav\n")) == 4


def test_files_out_of_the_root_are_refused_unless_allowed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    touch(tmp_path, "out/a.wav", "root/b.wav")
    (root / "link.wav").symlink_to("../out/a.wav")
    (root / "linked").symlink_to("../out")
    for path in ("../out/a.wav", str(tmp_path / "out/a.wav"), "link.wav", "linked/a.wav", "../missing.wav"):
        with pytest.raises(
            UserError, match=r"1 of 2 rows name files out of this folder, .*allow_outside_root=true"
        ):
            find(root, f"path\nb.wav\n{path}\n")
    (found,) = find(root, "path\n../out/a.wav\n", allow_outside_root=True)
    assert found.path.is_file()
    assert found.name == "../out/a.wav"
    (tmp_path / "link to root").symlink_to("root")
    assert find(tmp_path / "link to root", "path\nb.wav\n")[0].name == "b.wav"


def test_paths_that_no_system_can_have_are_missing_files(tmp_path: Path) -> None:
    for path in ("x" * 300 + ".wav", "a\x01.wav", "labels.csv/a.wav"):
        with pytest.raises(UserError, match="1 of 1 rows have no file"):
            find(tmp_path, f"path\n{path}\n")


def test_columns_are_named_as_they_are(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.wav", "x/{b}.wav")
    text = "Begin.File,Species!r,a[0],n:02d\na,dog,x,1\n"
    (found,) = find(tmp_path, text, path="{a[0]}/{Begin.File}.wav", label="Species!r", fold="n:02d")
    assert (found.name, found.labels, found.fold) == ("x/a.wav", ("dog",), "1")
    assert find(tmp_path, "c\nb\n", path="x/{{{c}}}.wav")[0].name == "x/{b}.wav"
    for wrong in ("x/{a.wav", "x/a}.wav", "{}", "x/{*}.wav"):
        with pytest.raises(ValidationError, match=r"brace of none|needs a table"):
            TableCorpusConfig(root=tmp_path, path=wrong)


def test_errors_of_a_spreadsheet_are_no_values(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav")
    with pytest.raises(UserError, match=r"line 2: column 'fold' holds #N/A; correct the formula"):
        find(tmp_path, "path,fold\na.wav,#N/A\n", fold="fold")


def test_a_row_without_a_split_is_an_error_unless_all_rows_have_one(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b.wav")
    text = "path,split\na.wav,test\nb.wav, \n"
    with pytest.raises(UserError, match=r"corpora\.c\.split: .*line 3: column 'split' is empty; write train"):
        find(tmp_path, text, split="split")
    assert [one.split for one in find(tmp_path, text, split="split", all_split="train")] == ["test", "train"]


@pytest.mark.parametrize("key", ["fold", "group"])
def test_a_column_that_is_empty_in_every_row_is_an_error(tmp_path: Path, key: str) -> None:
    touch(tmp_path, "a.wav", "b.wav")
    with pytest.raises(UserError, match=rf"corpora\.c\.{key}: column 'x' is empty in every row; fill it in"):
        find(tmp_path, "path,x\na.wav,\nb.wav,\n", **{key: "x"})


def test_rows_without_a_source_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path, "a.wav", "b.wav")
    assert [one.group for one in find(tmp_path, "path,x\na.wav,\nb.wav,s\n", group="x")] == [None, "s"]
    said = " ".join(capsys.readouterr().err.split())
    assert "column 'x' is empty in 1 of 2 rows; each of them counts as a source of its own" in said
