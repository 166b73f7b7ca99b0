"""Imports point one way: tuning -> pipeline -> {augment, models}; and the light packages stay light."""

import ast
import subprocess
import sys
from collections.abc import Container
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import pytest
import soundfile

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


def test_ray_is_imported_in_tuning_and_in_files_of_its_name_alone() -> None:
    users = users_of("ray")
    assert {"pipeline/ray_cluster.py", "tuning/ray_trials.py"} <= users
    assert all(file.startswith("tuning/") or Path(file).name.startswith("ray_") for file in users)


def test_augment_and_models_need_torch_torchaudio_and_pydantic_alone() -> None:
    blocked = ["soxr", "soundfile", "librosa", "timm", "mlflow", "sklearn", "pyarrow", "scipy", "omegaconf"]
    program = f"""
import sys
for name in {blocked}:
    sys.modules[name] = None  # an import of it fails
import echopair.augment.policy, echopair.models.audio_encoder, echopair.models.methods
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_augmentations_are_configured_without_torch_and_numpy() -> None:
    program = """
import sys
import echopair.augment.policy
loaded = {"torch", "torchaudio", "numpy", "scipy", "audiomentations"} & set(sys.modules)
assert not loaded, loaded
echopair.augment.policy.AugmentConfig.model_validate({"policy": {"name": "stacked"}})
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def modules() -> dict[str, Path]:
    """Our modules by name, such as echopair.models.log_mel."""
    return {
        f"echopair.{'.'.join(file.relative_to(ROOT).with_suffix('').parts)}".removesuffix(".__init__"): file
        for package in MAY_IMPORT
        for file in (ROOT / package).rglob("*.py")
    }


def imported_when_loaded(file: Path, known: Container[str]) -> set[str]:
    """Our modules that a file imports as soon as it is imported itself, not for types or within functions."""
    found = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            submodules = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            found |= {one if one in known else str(node.module) for one in submodules.values()}
    return {module for module in found if module in known}


def test_no_modules_import_each_other_in_a_circle() -> None:
    known = modules()
    graph = {module: imported_when_loaded(file, known) - {module} for module, file in known.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(known)  # raises CycleError


@pytest.mark.parametrize("arguments", [[], ["--help"], ["sweep", "--help"], ["presets"]])
def test_the_command_line_answers_without_what_takes_seconds_to_import(arguments: list[str]) -> None:
    heavy = {"torch", "mlflow", "ray", "optuna", "numpy", "matplotlib", "sklearn", "pyarrow"}
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


def test_a_config_is_shown_without_what_takes_seconds_to_import() -> None:
    program = """
import sys
from echopair.tuning.cli import main
sys.argv = ["echopair", "config", "seed=3"]
try:
    main()
finally:
    heavy = {"torch", "torchaudio", "mlflow", "ray", "optuna", "sklearn", "pyarrow", "matplotlib", "scipy"}
    assert not heavy & set(sys.modules), heavy & set(sys.modules)
    # Of this program alone: ru_maxrss would count the process that started it.
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    assert int(peak.split()[1]) < 150 * 1024, peak
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_recordings_are_prepared_without_torch(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "noise.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 16000), 16000)
    program = f"""
import sys
from echopair.tuning.cli import main
settings = ["corpora.recordings.root={tmp_path}", "work_folder={tmp_path}/work"]
sys.argv = ["echopair", "prepare", "folder-unlabelled", *settings]
if __name__ == "__main__":
    try:
        main()
    finally:
        assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
