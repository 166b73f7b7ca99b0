from pathlib import Path

import pytest
from pydantic import ValidationError

from echopair.pipeline.corpora.table import find_table_recordings
from echopair.pipeline.corpora.table_config import TableCorpusConfig
from echopair.pipeline.corpora.table_rows import TableFormat, read_rows
from echopair.pipeline.errors import UserError

USED = {"path": "path", "label": "label"}


def read(folder: Path, data: str | bytes, name: str = "t.csv", **table: object) -> list[tuple[int, str, str]]:
    (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
    rows = read_rows(folder / name, TableFormat(**table), "corpora.c", USED)  # type: ignore[arg-type]
    return [(row.line, row.cells["path"], row.cells["label"]) for row in rows.rows]


@pytest.mark.parametrize(
    "text",
    [
        "path,label,remark\na,x,-\nb,y,-\n",
        "\ufeffpath, label ,remark\r\na,x,-\r\nb,y ,-\r\n",
        "path,label,remark\ra,x,-\rb,y,-",
        "path,label,\na,x,,\nb,y,,,\n",
        'path,label,remark\na,x,5 in "quotes"\nb,"y",\'\n',
        "path,label,remark,remark\na,x,,\nb,y,,\n",
        "path;label\na;x\nb;y\n",
        "path\tlabel\na\tx\nb\ty\n",
        "path|label\na|x\nb|y\n",
        "sep=;\npath;label\na;x\nb;y\n",
        "path,label\na,x\nb,y\n".encode("utf-16"),
        "path,label\na,x\nb,y\n".encode("utf-32"),
    ],
)
def test_a_table_is_read_however_it_is_written(tmp_path: Path, text: str | bytes) -> None:
    assert [row[1:] for row in read(tmp_path, text)] == [("a", "x"), ("b", "y")]


def test_lines_are_counted_past_blank_rows_and_cells_of_several_lines(tmp_path: Path) -> None:
    text = 'path,label,remark\n\na,x,"one\ntwo, and\nthree"\n , ,\nb,y,-\n'
    assert read(tmp_path, text) == [(3, "a", "x"), (7, "b", "y")]
    assert read(tmp_path, 'remark,path,label\n"one\ntwo",a,x\n') == [(2, "a", "x")]


@pytest.mark.parametrize(
    ("text", "table", "message"),
    [
        ('path,label,remark\na,x,"5 m\nb,y,-\n', {}, r"line 2: the quotation mark.*quoted_cells=false"),
        ('path,label,remark\na,x,-\nb,y,"5 m\nc,y,6 m"\nd,y,-\n', {}, r"line 3: .*closed in line 4 only"),
        ('label\tremark\tpath\nx\t"a" is loud\ta\n', {}, "line 2: the quotation mark"),
        ('path,label,remark\n"a\nb",x,-\n', {}, r"line 2: a quoted cell that is used spans lines"),
        (
            "path,label,fold\na,Dog, small,1\nb,Dog, big,2\n",
            {},
            r"line 2: 4 cells, and the header has 3, as in 1 other row; .*a comma in quotation marks",
        ),
        ("path,label,fold\na,x,1\nb\n", {}, "line 3: 1 cell, and the header has 3"),
        ("path,label,label\na,x,y\n", {}, r"corpora\.c\.label: .* has 2 columns 'label', numbers 2 and 3;"),
        (
            "path,label\na,Gr\u00fcn\n".encode("cp1252"),
            {},
            r"line 2: cannot be read as UTF-8.*encoding.*cp1252",
        ),
        ("path,label\na,x\n".encode("utf-16-le"), {}, r"line 1: a zero byte.*utf-16-le"),
        ("path,label\na,x\n", {"delimiter": ";"}, r"has no column 'path'; its columns are path,label"),
        ("", {}, "has no column 'path'; its columns are none"),
    ],
)
def test_what_is_not_clear_is_an_error_with_its_line(
    tmp_path: Path, text: str | bytes, table: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, text, **table)


def test_the_format_of_a_table_can_be_given(tmp_path: Path) -> None:
    latin = 'path;label;remark\na;Gr\u00fcn;"5 m\nb;\'y;"6 m\n'.encode("cp1252")
    table = {"delimiter": ";", "encoding": "cp1252", "quoted_cells": False}
    assert read(tmp_path, latin, **table) == [(2, "a", "Gr\u00fcn"), (3, "b", "'y")]
    assert read(tmp_path, "x\ta\n", columns=("label", "path"), delimiter=r"\t") == [(1, "a", "x")]
    for wrong in ({"delimiter": ";;"}, {"delimiter": '"'}, {"encoding": "latin-99"}, {"encoding": "zip"}):
        with pytest.raises(ValidationError, match="write for instance"):
            TableFormat.model_validate(wrong)


def test_a_guessed_delimiter_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "labels.csv").write_text("path;label\na.wav;x\n")
    find_table_recordings("c", TableCorpusConfig(root=tmp_path, label="label"))
    assert "labels.csv is read with a semicolon" in capsys.readouterr().err
