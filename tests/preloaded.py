"""What forked processes need not import; not Ray, which reads the environment when it is imported."""

from importlib import import_module

from echopair.pipeline.tracking.client import load_mlflow

load_mlflow()
for name in (
    "echopair.pipeline.evaluation.probe",
    "echopair.pipeline.figures",
    "echopair.pipeline.run",
    "echopair.pipeline.training.preview",
    "echopair.tuning.cli",
    "librosa.display",
    "mlflow.store.tracking.sqlalchemy_store",
    "sklearn.linear_model",
    "torch._dynamo",  # AdamW imports it
    "torchaudio",
):
    import_module(name)
