"""The compiled part of `scipy.signal.sosfilt`: importing all of scipy.signal takes a worker process two seconds."""

import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

COMPILED = "scipy.signal._sosfilt"


def sosfilt(sections: NDArray[np.float64], waveform: NDArray[np.float64], state: NDArray[np.float64]) -> None:
    """Filter a piece of a waveform in place, with second-order sections in series.

    Args:
        sections: (sections, 6) coefficients, as SciPy's `sos`.
        waveform: (samples,), at least one, contiguous; replaced by the filtered piece.
        state: (sections, 2), zeros at first; changed to that after the piece.
    """
    compiled = sys.modules.get(COMPILED) or _load()
    if compiled is None:  # another version of SciPy keeps it elsewhere
        from scipy.signal import sosfilt as whole

        waveform[:], state[:] = whole(sections, waveform, zi=state)
    else:
        compiled._sosfilt(sections, waveform[None], state[None])


def _load() -> Any:
    """SciPy's module, imported without the package that it is in; None if there is no such module."""
    package = find_spec("scipy")  # where it is; nothing of it is imported
    assert package is not None
    assert package.origin is not None
    spec = PathFinder.find_spec(COMPILED, [str(Path(package.origin).with_name("signal"))])
    if spec is None or spec.loader is None:
        return None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "_sosfilt"):
        return None
    sys.modules[COMPILED] = module
    return module
