import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import soundfile

from echopair.pipeline.config import compose
from echopair.pipeline.corpora import find_recordings
from echopair.pipeline.corpora.folder import FolderCorpusConfig, find_folder_recordings
from echopair.pipeline.corpora.synthetic import SyntheticCorpusConfig, find_synthetic_recordings
from echopair.pipeline.corpora.table import find_table_recordings
from echopair.pipeline.corpora.table_config import TableCorpusConfig
from echopair.pipeline.errors import UserError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def table(folder: Path, text: str, **config: object) -> TableCorpusConfig:
    (folder / "labels.csv").write_text(text)
    return TableCorpusConfig(root=folder, **config)  # type: ignore[arg-type]


def test_a_folder_s_recordings_and_labels(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "dog/b.wav",
        "dog/a.FLAC",
        "cat/x/c.mp3",
        "top.ogg",
        "notes.txt",
        ".hidden/d.wav",
        "cat/.e.wav",
    )
    found = find_folder_recordings("c", FolderCorpusConfig(root=tmp_path))
    assert [(one.name, one.labels) for one in found] == [
        ("top.ogg", ()),
        ("cat/x/c.mp3", ("x",)),
        ("dog/a.FLAC", ("dog",)),
        ("dog/b.wav", ("dog",)),
    ]
    unlabelled = find_folder_recordings("c", FolderCorpusConfig(root=tmp_path, labels="none"))
    assert [one.labels for one in unlabelled] == [()] * 4


def test_a_file_without_a_label_is_refused_alone_where_others_have_one(tmp_path: Path) -> None:
    touch(tmp_path, "top.wav", "flat/a.wav")
    found = find_folder_recordings("c", FolderCorpusConfig(root=tmp_path))
    assert [bool(one.refusal) for one in found] == [True, False]
    for config in (
        FolderCorpusConfig(root=tmp_path / "flat"),
        FolderCorpusConfig(root=tmp_path, labels="none"),
    ):
        assert not any(one.refusal for one in find_folder_recordings("c", config))


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/a.wav", "corpus/b.wav")
    (tmp_path / "corpus" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "corpus" / "circle").symlink_to(tmp_path / "corpus")
    found = find_folder_recordings("c", FolderCorpusConfig(root=tmp_path / "corpus"))
    assert sorted(one.name for one in found) == ["b.wav", "linked/a.wav"]


def test_a_real_folder_wins_over_a_link_to_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path, "dog/a.wav", "dog/notes.txt", "dog/b.zip")
    (tmp_path / "a link").symlink_to(tmp_path / "dog")
    found = find_folder_recordings("c", FolderCorpusConfig(root=tmp_path))
    assert [(one.name, one.labels) for one in found] == [("dog/a.wav", ("dog",))]
    shown = " ".join("".join(capsys.readouterr()).split())
    assert "is a link to a folder that is read elsewhere" in shown
    assert "1 .txt" in shown
    assert "1 .zip" in shown


def test_a_folder_that_cannot_be_listed_is_an_error() -> None:
    is_root = os.geteuid() == 0
    with TemporaryDirectory() as name:  # not below pytest's folder, which another user cannot enter
        root = Path(name)
        touch(root, "dog/a.wav", "locked/b.wav")
        root.chmod(0o755)
        (root / "locked").chmod(0)
        if is_root:  # whom no permission stops
            os.seteuid(65534)
        try:
            with pytest.raises(UserError, match="locked cannot be listed"):
                find_folder_recordings("c", FolderCorpusConfig(root=root))
        finally:
            if is_root:
                os.seteuid(0)
            (root / "locked").chmod(0o755)


def test_a_name_that_is_not_utf8_is_a_label(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    touch(folder, "a.wav")
    (found,) = find_folder_recordings("c", FolderCorpusConfig(root=tmp_path))
    assert found.labels == ("caf\\xe9",)


def test_folders_that_hold_no_corpus(tmp_path: Path) -> None:
    touch(tmp_path, "file.wav")
    (tmp_path / "empty").mkdir()
    for root, message in (
        ("missing", r"corpora\.c\.root=.*missing: there is no such folder"),
        ("empty", r"corpora\.c\.root=.*empty: no audio below this folder"),
        ("file.wav", r"corpora\.c\.root=.*file\.wav is a file"),
    ):
        with pytest.raises(UserError, match=message):
            find_folder_recordings("c", FolderCorpusConfig(root=tmp_path / root))


def test_every_column_of_a_table(tmp_path: Path) -> None:
    touch(tmp_path, "f1/a.wav", "f2/b.wav")
    config = table(
        tmp_path,
        "id,part,what,where,use,keep\na,1,dog,s1,val,yes\nb,2,cat,s2,TEST,yes\nc,3,,,,no\n",
        path="f{part}/{id}.wav",
        label="what",
        fold="part",
        split="use",
        group="where",
        where={"keep": "yes"},
    )
    first, second = find_table_recordings("c", config)
    assert (first.name, first.labels, first.fold, first.split, first.group) == (
        "f1/a.wav",
        ("dog",),
        "1",
        "validation",
        "s1",
    )
    assert second.split == "test"


def test_rows_of_several_folds_are_chosen_by_numbers_or_text(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b.wav", "c.wav")
    for where in ({"fold": [1, 3]}, {"fold": ["1", "3"]}):
        config = table(tmp_path, "path,fold\na.wav,1\nb.wav,2\nc.wav,3\n", where=where)
        assert [one.name for one in find_table_recordings("c", config)] == ["a.wav", "c.wav"]


def test_several_labels_and_tabs_and_a_byte_order_mark(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b.wav")
    (tmp_path / "t.tsv").write_bytes("\ufeffpath\ttags\na.wav\tdog; bark;dog\nb.wav\t\n".encode())
    config = TableCorpusConfig(root=tmp_path, table="t.tsv", labels="tags", label_separator=";")
    assert [one.labels for one in find_table_recordings("c", config)] == [("bark", "dog"), ()]


@pytest.mark.parametrize(
    ("text", "config", "message"),
    [
        (
            "path,labl\na.wav,x\n",
            {"label": "label"},
            r"corpora\.c\.label: .*labels\.csv has no column 'label'; did you mean 'labl'",
        ),
        (
            "file,label\na.wav,x\n",
            {},
            r"corpora\.c\.path: .*has no column 'path'; its columns are file, label",
        ),
        ("path\n", {}, "has no rows"),
        (
            "path\na.wav\nmissing.wav\n",
            {},
            r"1 of 2 rows have no file, missing\.wav; .*allow_missing_files=true",
        ),
        ("path\na.wav\na.wav\n", {}, r"a\.wav is in two rows"),
        ("path,fold\n,1\n", {}, "line 2: column 'path' is empty"),
        (
            "path,use\na.wav,exam\n",
            {"split": "use"},
            "line 2: 'exam' is not a split; write train, validation, test",
        ),
    ],
)
def test_tables_that_do_not_fit(tmp_path: Path, text: str, config: dict[str, str], message: str) -> None:
    touch(tmp_path, "a.wav")
    with pytest.raises(UserError, match=message):
        find_table_recordings("c", table(tmp_path, text, **config))


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no labels\.csv; name another root or set corpora\.c\.table"):
        find_table_recordings("c", TableCorpusConfig(root=tmp_path))


def test_a_binary_file_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(b"\xff\xfe\x00path")
    with pytest.raises(UserError, match=r"labels\.csv, line 1: cannot be read as UTF-16"):
        find_table_recordings("c", TableCorpusConfig(root=tmp_path))


def test_missing_files_may_be_refused_one_by_one(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav")
    config = table(tmp_path, "path\na.wav\nmissing.wav\n", allow_missing_files=True)
    assert len(find_table_recordings("c", config)) == 2


OFFICIAL = {
    "esc50": {
        "corpora.esc50.root": {
            "meta/esc50.csv": "filename,fold,target,category,esc10,src_file,take\n1-9-A-0.wav,1,0,dog,True,9,A\n"
            "2-8-A-7.wav,2,7,cow,False,8,A\n",
            "audio/1-9-A-0.wav": "",
            "audio/2-8-A-7.wav": "",
        }
    },
    "urbansound8k": {
        "corpora.us8k.root": {
            "metadata/UrbanSound8K.csv": "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
            "7-3-0-1.wav,7,0,4,1,10,3,dog_bark\n",
            "audio/fold10/7-3-0-1.wav": "",
        }
    },
    "fsdnoisy18k": {
        "corpora.fsdnoisy18k.root": {
            "FSDnoisy18k.meta/train.csv": "fname,label,aso_id,manually_verified,noisy_small\n1.wav,Fire,/m/1,0,0\n",
            "FSDnoisy18k.meta/test.csv": "fname,label,aso_id\n2.wav,Rain,/m/2\n",
            "FSDnoisy18k.audio_train/1.wav": "",
            "FSDnoisy18k.audio_test/2.wav": "",
        }
    },
    "fsd50k": {
        "corpora.fsd50k.root": {
            "FSD50K.ground_truth/dev.csv": 'fname,labels,mids,split\n1,"Guitar,Music",/m/1,train\n2,Bark,/m/2,val\n',
            "FSD50K.ground_truth/eval.csv": "fname,labels,mids\n3,Bark,/m/2\n",
            "FSD50K.dev_audio/1.wav": "",
            "FSD50K.dev_audio/2.wav": "",
            "FSD50K.eval_audio/3.wav": "",
        }
    },
}
FOUND = {
    "esc50": [
        ("audio/1-9-A-0.wav", ("dog",), "1", None, "9"),
        ("audio/2-8-A-7.wav", ("cow",), "2", None, "8"),
    ],
    "urbansound8k": [("audio/fold10/7-3-0-1.wav", ("dog_bark",), "10", None, "7")],
    "fsdnoisy18k": [
        ("FSDnoisy18k.audio_train/1.wav", ("Fire",), None, "train", None),
        ("FSDnoisy18k.audio_test/2.wav", ("Rain",), None, "test", None),
    ],
    "fsd50k": [
        ("FSD50K.dev_audio/1.wav", ("Guitar", "Music"), None, "train", None),
        ("FSD50K.dev_audio/2.wav", ("Bark",), None, "validation", None),
        ("FSD50K.eval_audio/3.wav", ("Bark",), None, "test", None),
    ],
}


@pytest.mark.parametrize("preset", OFFICIAL)
def test_official_layouts(preset: str, tmp_path: Path) -> None:
    ((key, layout),) = OFFICIAL[preset].items()
    for name, text in layout.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    config = compose(preset, [f"{key}={tmp_path}"])
    ((corpus, settings),) = config.corpora.items()
    found = find_recordings(corpus, settings, tmp_path)
    assert [(one.name, one.labels, one.fold, one.split, one.group) for one in found] == FOUND[preset]


def test_esc10_is_a_part_of_esc50_or_a_plain_table(tmp_path: Path) -> None:
    for name, text in OFFICIAL["esc50"]["corpora.esc50.root"].items():
        touch(tmp_path, f"official/{name}")
        (tmp_path / "official" / name).write_text(text)
    touch(tmp_path, "plain/audio/a.ogg")
    (tmp_path / "plain" / "labels.csv").write_text("path,label,fold,source\naudio/a.ogg,dog,3,77\n")
    for root, name in (("official", "audio/1-9-A-0.wav"), ("plain", "audio/a.ogg")):
        settings = compose("esc10", [f"corpora.esc10.root={tmp_path / root}"]).corpora["esc10"]
        assert [one.name for one in find_recordings("esc10", settings, tmp_path)] == [name]


def test_the_built_in_corpus_is_generated_once(tmp_path: Path) -> None:
    config = SyntheticCorpusConfig(clips_per_kind=5, max_seconds=2.0)
    found = find_synthetic_recordings("s", config, tmp_path)
    kinds = {one.labels for one in found}
    assert len(kinds) >= 10
    assert len(found) == 5 * len(kinds)
    assert {one.fold for one in found} == {"1", "2", "3", "4", "5"}
    waveform, rate = soundfile.read(found[0].path)
    assert rate == 16000
    assert np.abs(waveform).max() > 0.05
    written = found[0].path.stat().st_mtime_ns
    assert find_synthetic_recordings("s", config, tmp_path) == found
    assert found[0].path.stat().st_mtime_ns == written
