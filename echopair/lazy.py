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
            self._name = name

        def __getattr__(self, attribute: str) -> Any:
            return getattr(importlib.import_module(self._name), attribute)

        def __reduce__(self) -> tuple[Any, ...]:
            return importlib.import_module, (self._name,)  # pickled in a function of __main__

    np = _LazyModule("numpy")
    torch = _LazyModule("torch")

__all__ = ["np", "torch"]
