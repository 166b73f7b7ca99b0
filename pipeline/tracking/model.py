"""The encoder as a model of MLflow: a folder of code, weights and requirements, without a pickle."""

import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline.tracking.client import load_mlflow

# What `models` imports to embed; its code itself is stored in the model.
PACKAGES = ("torch", "torchaudio", "numpy", "pydantic", "safetensors", "soxr", "timm")


def write_model(folder: Path, encoder_folder: Path, logged_model: Any, run_id: str) -> None:
    """Write an encoder folder as an MLflow model.

    Args:
        folder: to write, must not exist.
        encoder_folder: as `AudioEncoder.save` wrote it.
        logged_model: MLflow's record of the model.
        run_id: run that made it.
    """
    import models

    mlflow = load_mlflow()
    schema = mlflow.types.ParamSchema([mlflow.types.ParamSpec("sample_rate_hz", "long", None)])
    # MLflow wants an example to guess types from; waveforms of different lengths have no type that it knows.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=str(Path(__file__).with_name("mlflow_encoder.py")),
            artifacts={"encoder": str(encoder_folder)},
            code_paths=[str(Path(models.__file__).parent)],
            pip_requirements=[f"{name}=={metadata.version(name).partition('+')[0]}" for name in PACKAGES],
            signature=mlflow.models.ModelSignature(params=schema),
            mlflow_model=mlflow.models.Model(
                artifact_path=logged_model.artifact_location,
                model_uuid=logged_model.model_id,
                model_id=logged_model.model_id,
                run_id=run_id,
            ),
        )
