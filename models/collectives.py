"""What the processes of a training exchange: rows of a batch, with gradients, and statistics of batch normalisation."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

from echopair.models.encoders.base import Encoder
from echopair.models.losses.normalise import at_least_float32
from echopair.models.methods.method import Batch, Method, StepOutput


class Gather(torch.autograd.Function):
    """Rows (n, ...) of all processes as (P n, ...); see `processes.gather`.

    They are sent as they are, their gradients as float32 at least, since many are added up.
    """

    @staticmethod
    def forward(context: Any, rows: Tensor) -> Tensor:
        context.dtype = rows.dtype
        whole = rows.new_empty((distributed.get_world_size() * len(rows), *rows.shape[1:]))
        distributed.all_gather_into_tensor(whole, rows.contiguous())
        return at_least_float32(whole)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> Tensor:
        own = gradient.new_empty((len(gradient) // distributed.get_world_size(), *gradient.shape[1:]))
        distributed.reduce_scatter_tensor(own, gradient.contiguous())
        return own.to(context.dtype)


class SharedStep(nn.Module):
    """The training step of a method as a module, for DistributedDataParallel."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method
        self.trained = method.modules

    def forward(self, batch: Batch) -> StepOutput:
        return self.method.training_step(batch)


def data_parallel(method: Method) -> nn.Module:
    """The method's training step, after whose backward pass all processes have the mean of their gradients."""
    return nn.parallel.DistributedDataParallel(SharedStep(method), broadcast_buffers=False)


def synchronise_batch_norm(method: Method) -> None:
    """Let batch normalisation of what a process applies to its share take its statistics of the shares of all.

    Modules and state dicts stay as they are. torch's SyncBatchNorm does so on GPUs alone.

    Args:
        method: its encoders, and `HEADS_OF_SHARES`; its other modules see the whole batch anyway.
    """
    encoders = [one for one in method.modules.modules() if isinstance(one, Encoder)]
    for shared in (*encoders, *(method.modules[name] for name in method.HEADS_OF_SHARES)):
        for norm in shared.modules():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):  # those of timm too
                mode = _WholeBatch()
                norm.register_forward_pre_hook(mode.enter)
                norm.register_forward_hook(mode.leave, always_call=True)


class _WholeBatch(TorchFunctionMode):
    """Computes `batch_norm` in train mode from the statistics of all processes."""

    def enter(self, *_: Any) -> None:
        self.__enter__()  # type: ignore[no-untyped-call]

    def leave(self, *_: Any) -> None:
        self.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is nn.functional.batch_norm:
            return _batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _batch_norm(
    values: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """As `torch.nn.functional.batch_norm`, of values (n, C, ...) of each process, n the same in all."""
    if not training:
        return nn.functional.batch_norm(values, running_mean, running_var, weight, bias, False, 0.0, eps)
    channels, processes = values.shape[1], distributed.get_world_size()
    with torch.no_grad():
        # torch.var_mean takes four times as long of channels_last.
        own = torch.stack(torch.batch_norm_update_stats(at_least_float32(values), None, None, 0.0))  # (2, C)
        every = own.new_empty((processes, 2, channels))
        distributed.all_gather_into_tensor(every, own.unsqueeze(0))
        means, variances = every.unbind(1)  # (P, C) each
        mean = means.mean(0)
        variance = variances.mean(0) + means.var(0, correction=0)
        if running_mean is not None and running_var is not None:
            count = processes * values.numel() // channels
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(variance * (count / (count - 1)), momentum)
    weight = mean.new_ones(channels) if weight is None else weight
    bias = mean.new_zeros(channels) if bias is None else bias
    normalised: Tensor = _Normalise.apply(values, weight, bias, mean, variance, eps)  # type: ignore[no-untyped-call]
    return normalised


class _Normalise(torch.autograd.Function):
    """Batch normalisation of one process's share by mean and variance of all shares, which depend on the values."""

    @staticmethod
    def forward(
        context: Any, values: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float
    ) -> Tensor:
        context.save_for_backward(values, weight, mean, variance)
        context.eps = eps
        return nn.functional.batch_norm(values, mean, variance, weight, bias, False, 0.0, eps)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        values, weight, mean, variance = context.saved_tensors
        # Sums over this process's values: of the gradient by normalised values, and of the gradient.
        _, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            *(gradient, values, weight, mean, variance, None, None, False, context.eps, [False, True, True])
        )
        sums = torch.stack([of_weight, of_bias])
        distributed.all_reduce(sums)
        by_normalised, by_one = sums * (values.shape[1] / (distributed.get_world_size() * values.numel()))
        # gradient - mean(gradient) - x mean(gradient x), of the normalised x, as a line of gradient and values
        deviation = (variance + context.eps).rsqrt()
        scale = weight * deviation
        slope = -by_normalised * deviation * scale
        shape = (1, -1, *([1] * (values.ndim - 2)))
        scale, slope, offset = (one.view(shape) for one in (scale, slope, -by_one * scale - slope * mean))
        by_values = torch.addcmul(offset, gradient.to(scale.dtype), scale)
        by_values.addcmul_(values.to(slope.dtype), slope)
        return by_values.to(values.dtype), of_weight, of_bias, None, None, None
