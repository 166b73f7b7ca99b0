"""`echopair export`: an encoder as an ONNX file, and as a repository for the Hugging Face Hub."""

from echopair.pipeline.export.hub import ExportedFolder, export_hub
from echopair.pipeline.export.onnx_file import ExportedOnnx, export_onnx

__all__ = ["ExportedFolder", "ExportedOnnx", "export_hub", "export_onnx"]
