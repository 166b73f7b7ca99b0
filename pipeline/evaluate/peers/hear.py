"""`hear:MODULE` and `hear:MODULE:WEIGHTS`: any module with the interface of HEAR 2021, for models of torch."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from echopair.lazy import torch
from echopair.pipeline.errors import UserError, first_line
from echopair.pipeline.evaluate.peers.peer import Peer, device_of
from echopair.pipeline.progress import console
from echopair.pipeline.stages import digest_files

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from echopair.lazy import np
    from echopair.pipeline.embed import EmbedConfig

FUNCTIONS = ("load_model", "get_scene_embeddings")
ATTRIBUTES = ("sample_rate", "scene_embedding_size")


class HearEncoder(Peer):
    """The scene embeddings of a module of HEAR.

    Source: Turian et al., HEAR: Holistic Evaluation of Audio Representations, PMLR 176, 2022;
    https://hearbenchmark.com/hear-api.html.

    Args:
        name: what tables call it.
        rest: of the address: `MODULE`, or `MODULE:WEIGHTS`, where WEIGHTS is given to `load_model`.
        config: the device.

    Raises:
        UserError: the module cannot be imported, lacks a function, or its model cannot be used.
    """

    def __init__(self, name: str, rest: str, config: EmbedConfig) -> None:
        address = f"hear:{rest}"
        module_name, _, weights = rest.partition(":")
        self._module = _import(address, module_name)
        self._device = device_of(config)
        self._model = _load(address, self._module, weights).to(self._device).eval()
        inputs = ["hear", rest, _source_digest(self._module), _state_digest(self._model)]
        if Path(weights).is_file():
            inputs.append(digest_files(Path(weights)))
        super().__init__(
            address, name, self._model.sample_rate, inputs, int(self._model.scene_embedding_size)
        )

    def embed_equal(self, waveforms: NDArray[np.float32]) -> Any:
        """See `Peer`."""
        return self._module.get_scene_embeddings(torch.from_numpy(waveforms).to(self._device), self._model)


def _import(address: str, name: str) -> ModuleType:
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            reason = "there is no such module; install it, or add the folder that it is in to PYTHONPATH"
        else:
            reason = f"the module cannot be imported: {type(error).__name__}: {first_line(error)}"
        raise UserError(f"{address}: {reason}") from error
    if lacking := [one for one in FUNCTIONS if not callable(getattr(module, one, None))]:
        raise UserError(
            f"{address}: the module has no function {lacking[0]}, which the interface of HEAR 2021 asks for"
        )
    return module


def _load(address: str, module: ModuleType, weights: str) -> Any:
    try:
        with console.status(f"loading {address}"):
            model = module.load_model(weights) if weights else module.load_model()
    except Exception as error:
        raise UserError(
            f"{address}: load_model fails: {type(error).__name__}: {first_line(error)}; the weights that it loads can "
            "be given as hear:MODULE:WEIGHTS"
        ) from error
    if not isinstance(model, torch.nn.Module):
        raise UserError(
            f"{address}: load_model gives {type(model).__name__}, and only models of torch can be evaluated"
        )
    if lacking := [one for one in ATTRIBUTES if not hasattr(model, one)]:
        raise UserError(
            f"{address}: the model has no {lacking[0]}, which the interface of HEAR 2021 asks for"
        )
    return model


def _source_digest(module: ModuleType) -> str:
    """Of the sources of a module: of all in its package, if it is in one."""
    file = Path(str(module.__file__))
    package = importlib.import_module(module.__name__.partition(".")[0])
    if not hasattr(package, "__path__"):
        return digest_files(file)
    sources = sorted(one for folder in package.__path__ for one in Path(folder).rglob("*.py"))
    return digest_files(file, *sources)  # links are not followed


def _state_digest(model: torch.nn.Module) -> str:
    """Of the weights as they were loaded, wherever from."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        if isinstance(value, torch.Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
