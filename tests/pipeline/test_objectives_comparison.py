from pathlib import Path
from typing import Any

import pytest

from echopair.pipeline import checks
from echopair.pipeline.errors import UserError
from echopair.pipeline.objectives_comparison import compare_objectives
from tests.pipeline.conftest import write_tones


def test_an_unknown_objective_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no objective 'mocoo'; did you mean 'moco'"):
        compare_objectives(["synthetic"], [f"work_folder={tmp_path}"], ["mocoo"])


def test_recordings_are_listed_once_for_all_objectives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sound").mkdir()
    write_tones(tmp_path / "sound", clips=4)
    find_recordings, listings = checks.find_recordings, []

    def counted(name: str, *arguments: Any) -> Any:
        listings.append(name)
        return find_recordings(name, *arguments)

    monkeypatch.setattr(checks, "find_recordings", counted)
    values = [f"corpora.recordings.root={tmp_path / 'sound'}", f"work_folder={tmp_path / 'work'}"]
    with pytest.raises(UserError, match=r"learns from the labels|needs labels|has only"):
        compare_objectives(["folder"], values, ["cross_entropy", "supervised_contrastive"])
    assert listings == ["recordings"]
