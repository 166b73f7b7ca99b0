"""What is installed: one import package, whatever modules lie in the current folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("augment", "models", "pipeline", "tuning")


def test_a_wheel_has_one_top_level_name_and_all_files(tmp_path: Path) -> None:
    copy = tmp_path / "source"  # a build writes beside its sources
    for name in (*PACKAGES, "echopair"):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, copy / name)
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=copy, check=True, capture_output=True, text=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    files = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    sources = {
        f"echopair/{path.relative_to(ROOT).as_posix()}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in (".py", ".jinja", ".yaml", ".css", ".js", ".txt")
    }
    assert files == sources | {f"echopair/{path.name}" for path in (ROOT / "echopair").glob("*.py")}


@pytest.mark.parametrize("form", ["module", "package"])
def test_modules_of_the_user_in_the_current_folder_are_not_imported(tmp_path: Path, form: str) -> None:
    for name in PACKAGES:
        file = tmp_path / (f"{name}.py" if form == "module" else f"{name}/__init__.py")
        file.parent.mkdir(exist_ok=True)
        file.write_text("raise RuntimeError('a module of the user')")
    subprocess.run(
        [sys.executable, "-c", "from echopair import AudioEncoder; import echopair.tuning.sweep"],
        cwd=tmp_path,
        check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
