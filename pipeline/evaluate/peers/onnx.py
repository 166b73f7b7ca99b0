"""`onnx:FILE` and `onnx:FILE@RATE`: a graph from waveforms to embeddings, run by onnxruntime."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echopair.lazy import np, torch
from echopair.pipeline.errors import UserError, first_line
from echopair.pipeline.evaluate.peers.peer import Peer
from echopair.pipeline.stages import digest_files

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.pipeline.embed import EmbedConfig

PACKAGES = ("onnx", "onnxruntime")
RATE_KEY = "sample_rate_hz"


class OnnxEncoder(Peer):
    """A graph whose only input is (batch, samples) float32, and whose first output is (batch, D); on the CPU.

    Args:
        name: what tables call it.
        rest: of the address: the file, and `@RATE` behind it if its metadata has no `sample_rate_hz`.
        config: unused.

    Raises:
        UserError: onnxruntime is missing, the file is no such graph, or its rate is unknown.
    """

    def __init__(self, name: str, rest: str, config: EmbedConfig) -> None:  # noqa: ARG002
        address = f"onnx:{rest}"
        if missing := [one for one in PACKAGES if importlib.util.find_spec(one) is None]:
            raise UserError(
                f"{address} needs the package {missing[0]}, which is missing: pip install 'echopair[onnx]'"
            )
        import onnxruntime

        file, rate = split_rate(rest)
        if not file.is_file():
            raise UserError(f"{address}: there is no file {file}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors
        try:
            self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
            files = [file, *_external_files(file)]
        except Exception as error:  # onnxruntime's have no base of their own
            raise UserError(f"{address} cannot be loaded: {first_line(error)}") from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 2:
            found = ", ".join(f"{one.name} {one.type} {one.shape}" for one in inputs)
            raise UserError(f"{address} takes {found}; it must take waveforms, (batch, samples) float32")
        self._input = inputs[0].name
        self._one_by_one = isinstance(inputs[0].shape[0], int)
        own_rate = self._session.get_modelmeta().custom_metadata_map.get(RATE_KEY)
        if rate is None and own_rate is None:
            raise UserError(f"{address}: the file does not say its sample rate; write onnx:{file}@RATE in Hz")
        if None not in (rate, own_rate) and rate != own_rate:
            raise UserError(
                f"{address}: the file says that its sample rate is {own_rate} Hz; leave @{rate} out"
            )
        version = onnxruntime.__version__
        super().__init__(address, name, rate or own_rate, ["onnx", version, digest_files(*files)])

    def embed_equal(self, waveforms: NDArray[np.float32]) -> Any:
        """See `Peer`."""
        batches = waveforms[:, None] if self._one_by_one else waveforms[None]
        return np.concatenate([self._session.run(None, {self._input: one})[0] for one in batches])


def split_rate(rest: str) -> tuple[Path, str | None]:
    """The file of an address, and the rate behind it, if there is one."""
    file, at, rate = rest.rpartition("@")
    return (Path(file), rate) if at and rate.isdigit() else (Path(rest), None)


def _external_files(file: Path) -> list[Path]:
    """Files beside a graph that hold its weights."""
    import onnx

    graph = onnx.load(file, load_external_data=False).graph
    entries = (entry for tensor in graph.initializer for entry in tensor.external_data)
    return [
        file.parent / one for one in sorted({entry.value for entry in entries if entry.key == "location"})
    ]
