import subprocess
from pathlib import Path

from echopair.pipeline.tracking.provenance import git_commit


def test_commit_is_that_of_the_source_and_says_if_it_was_changed(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    assert git_commit(tmp_path) is None
    git("init")
    source = tmp_path / "source"
    source.mkdir()
    (source / "code.py").write_text("1")
    git("add", ".")
    assert git_commit(source) is None
    git("commit", "-m", "first")
    commit = git_commit(source)
    assert commit is not None
    assert len(commit) == 40
    (source / "code.py").write_text("2")
    assert git_commit(source) == f"{commit}-dirty"
    # Installed into an ignored folder of a checkout: that checkout's commit is not ours.
    installed = tmp_path / "installed"
    installed.mkdir()
    assert git_commit(installed) is None
