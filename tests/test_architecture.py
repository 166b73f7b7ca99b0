"""Imports point one way: tuning -> pipeline -> {augment, models}; and the light packages stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "augment": set(),
    "models": set(),
    "pipeline": {"augment", "models"},
    "tuning": {"augment", "models", "pipeline"},
}


def imported_packages(file: Path) -> set[str]:
    """Packages that a file imports: the top-level ones, and of echopair the one below, as `echopair.models`."""
    modules = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {".".join(module.split(".")[: 2 if module.startswith("echopair.") else 1]) for module in modules}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_one_way(package: str) -> None:
    allowed = {f"echopair.{name}" for name in MAY_IMPORT[package] | {package}}
    ours = {f"echopair.{name}" for name in MAY_IMPORT} | set(MAY_IMPORT)
    for file in (ROOT / package).rglob("*.py"):
        assert imported_packages(file) & ours <= allowed, file


def users_of(library: str) -> set[str]:
    """Files that import it."""
    return {
        file.relative_to(ROOT).as_posix()
        for package in MAY_IMPORT
        for file in (ROOT / package).rglob("*.py")
        if library in imported_packages(file)
    }


def test_mlflow_is_imported_in_two_files_alone() -> None:
    assert users_of("mlflow") == {"pipeline/tracking/client.py", "pipeline/tracking/mlflow_encoder.py"}


def test_ray_is_imported_in_tuning_alone() -> None:
    users = users_of("ray")
    assert users
    assert all(file.startswith("tuning/") for file in users)


def test_augment_and_models_need_torch_torchaudio_and_pydantic_alone() -> None:
    blocked = ["soxr", "soundfile", "librosa", "timm", "mlflow", "sklearn", "pyarrow", "scipy", "omegaconf"]
    program = f"""
import sys
for name in {blocked}:
    sys.modules[name] = None  # an import of it fails
import echopair.augment.policy, echopair.models.audio_encoder, echopair.models.objectives
import echopair.models.representation_health
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


@pytest.mark.parametrize("arguments", [["--help"], ["sweep", "--help"]])
def test_the_command_line_answers_without_what_takes_seconds_to_import(arguments: list[str]) -> None:
    heavy = {"torch", "mlflow", "ray", "optuna", "numpy", "matplotlib", "sklearn"}
    program = f"""
import sys
from echopair.tuning.cli import main
sys.argv = ["echopair", *{arguments}]
try:
    main()
finally:
    loaded = {heavy} & set(sys.modules)
    assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
