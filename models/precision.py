"""Which device and number format a computation uses."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

from echopair.lazy import torch

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "bfloat16", "float32"]


def resolve_device(device: Device) -> torch.device:
    """The device asked for; `auto` is the GPU where there is one.

    Raises:
        ValueError: `cuda` where torch sees no CUDA GPU.
    """
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise ValueError("device=cuda, but torch sees no CUDA GPU here; set device=auto or device=cpu")
    return torch.device("cuda" if has_cuda and device != "cpu" else "cpu")


def uses_bfloat16(precision: Precision, device: torch.device) -> bool:
    """Whether matrix products run in bfloat16: asked for, or `auto` on a GPU that has them or a CPU with AMX."""
    match precision:
        case "bfloat16":
            return True
        case "float32":
            return False
        case "auto":
            if device.type == "cuda":
                return bool(torch.cuda.is_bf16_supported(including_emulation=False))
            # With AVX512-BF16 but no AMX, a step of the default encoder takes 1.3 times as long as in float32, and its
            # forward pass too; a step of width 16 takes 0.9 times as long (torch 2.11, Intel Xeon).
            return bool(torch.cpu._is_amx_tile_supported())


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The autocast context for a precision on a device; float32 is no context at all."""
    if uses_bfloat16(precision, device):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()
