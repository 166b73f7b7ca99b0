"""The encoder as an MLflow model: a folder of code, weights and requirements, without a pickle."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from shutil import copyfile, copytree, ignore_patterns
from tempfile import TemporaryDirectory
from typing import Any

import echopair
from echopair.pipeline.errors import first_line
from echopair.pipeline.stages import digest_files
from echopair.pipeline.tracking.client import explained, load_mlflow
from echopair.pipeline.tracking.store import TrackingConfig, TrackingError, shown, sqlite_file, tracking_uri

DIGEST_TAG = "echopair.digest"
MODEL_NAME = "encoder"
ARTIFACT = "encoder"  # of the model: the encoder folder
# What `echopair.models` imports to embed; its code itself is stored in the model.
PACKAGES = ("torch", "torchaudio", "numpy", "pydantic", "safetensors", "soundfile", "soxr", "timm")


def log_model(client: Any, experiment_id: str, run_id: str, encoder_folder: Path) -> str:
    """Store an encoder folder as the model of a run, unless it is there.

    Args:
        client: of MLflow.
        experiment_id: of the run.
        run_id: run that made it.
        encoder_folder: as `AudioEncoder.save` wrote it.

    Returns:
        The model's address, `models:/...`.
    """
    entities = load_mlflow().entities
    digest = digest_files(*sorted(path for path in Path(encoder_folder).rglob("*") if path.is_file()))
    outputs = client.get_run(run_id).outputs
    linked = {output.model_id for output in outputs.model_outputs} if outputs else set()
    # A killed process may have left a model that is not linked to the run yet.
    for model in client.search_logged_models([experiment_id], filter_string=f"source_run_id = '{run_id}'"):
        is_ready = model.model_id in linked and model.status == entities.LoggedModelStatus.READY
        if is_ready and model.tags.get(DIGEST_TAG) == digest:
            return str(model.model_uri)
        client.delete_logged_model(model.model_id)
    model = client.create_logged_model(experiment_id, MODEL_NAME, run_id, tags={DIGEST_TAG: digest})
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        write_model(folder, Path(encoder_folder), model, run_id)
        client.log_model_artifacts(model.model_id, str(folder))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [entities.LoggedModelOutput(model.model_id, step=0)])
    return str(model.model_uri)


def write_model(folder: Path, encoder_folder: Path, logged_model: Any, run_id: str) -> None:
    """Write an encoder folder as an MLflow model.

    Args:
        folder: to write, must not exist.
        encoder_folder: as `AudioEncoder.save` wrote it.
        logged_model: MLflow's record of the model.
        run_id: run that made it.
    """
    mlflow = load_mlflow()
    schema = mlflow.types.ParamSchema(
        [
            mlflow.types.ParamSpec("sample_rate_hz", "long", None),
            mlflow.types.ParamSpec("channels", "string", None),
        ]
    )
    # MLflow warns that it has no input example to infer types from; it has no type for waveforms of different lengths.
    with warnings.catch_warnings(), TemporaryDirectory() as code:
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=str(Path(__file__).with_name("mlflow_encoder.py")),
            artifacts={ARTIFACT: str(encoder_folder)},
            code_paths=[str(_copy_models(Path(code)))],
            pip_requirements=[f"{name}=={metadata.version(name).partition('+')[0]}" for name in PACKAGES],
            signature=mlflow.models.ModelSignature(params=schema),
            mlflow_model=mlflow.models.Model(
                artifact_path=logged_model.artifact_location,
                model_uuid=logged_model.model_id,
                model_id=logged_model.model_id,
                run_id=run_id,
            ),
        )


def _copy_models(folder: Path) -> Path:
    """Copy the code that embeds, the package `echopair` with `echopair.models` only, into a folder."""
    source, package = Path(echopair.__file__).parent, folder / "echopair"
    copytree(source / "models", package / "models", ignore=ignore_patterns("__pycache__"))
    copyfile(source / "__init__.py", package / "__init__.py")
    return package


def download_encoder(address: str, folder: Path) -> Path:
    """Copy the encoder folder out of a model.

    Args:
        address: `runs:/RUN_ID/encoder` or `models:/...`, a model that `log_model` stored.
        folder: existing, to copy into.

    Returns:
        The encoder folder, in that folder.

    Raises:
        TrackingError: there is no store, no such model, or one of another kind.
    """
    mlflow = load_mlflow()
    with _store() as uri, explained(uri):
        try:
            model = Path(mlflow.artifacts.download_artifacts(address, dst_path=str(folder)))
            flavors = mlflow.models.Model.load(str(model)).flavors
        except mlflow.MlflowException as error:
            raise TrackingError(
                f"{address} cannot be had from MLflow store {shown(uri)}: {shown(first_line(error))}; "
                "`echopair compare` shows the ids of runs"
            ) from error
    artifact = flavors.get("python_function", {}).get("artifacts", {}).get(ARTIFACT)
    if artifact is None:
        raise TrackingError(f"{address} is no encoder of echopair; `echopair compare` shows the ids of runs")
    return model / str(artifact["path"])


@contextmanager
def _store() -> Iterator[str]:
    """The store that MLflow is set to, else that of the work folder of this folder, to which MLflow is set meanwhile.

    `download_artifacts` has an argument for it, which it does not pass on to the search for the model.
    """
    mlflow = load_mlflow()
    if mlflow.is_tracking_uri_set():
        yield str(mlflow.get_tracking_uri())
        return
    uri = tracking_uri(TrackingConfig(), Path("work"))
    file = sqlite_file(uri)
    if file is None or not file.is_file():
        raise TrackingError(
            f"there are no runs at {file}; change to the folder that has your work folder, or set MLFLOW_TRACKING_URI, "
            "as sqlite:////folder/work/mlflow.db"
        )
    mlflow.set_tracking_uri(uri)
    try:
        yield uri
    finally:
        mlflow.set_tracking_uri(None)
