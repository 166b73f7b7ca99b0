"""torch and numpy, loaded at the first use of one of their attributes: configs beside code load neither.

`from echopair.lazy import torch` replaces `import torch`; annotations name `torch.Tensor` below
`from __future__ import annotations`. Not importlib's LazyLoader (the lazy_loader package): it enters a stub in
`sys.modules`, which scipy and `inspect` load by looking at it, and which threads of Python 3.11 see half loaded.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch
else:

    class _LazyModule:
        def __init__(self, name: str) -> None:
            self._name, self._module = name, None

        def __getattr__(self, attribute: str) -> Any:
            if self._module is None:  # kept, as import_module takes longer than an operation on a small array
                self._module = importlib.import_module(self._name)
            return getattr(self._module, attribute)

        def __reduce__(self) -> tuple[Any, ...]:
            return importlib.import_module, (self._name,)  # pickled in a function of __main__

    np = _LazyModule("numpy")
    torch = _LazyModule("torch")

__all__ = ["np", "torch"]
