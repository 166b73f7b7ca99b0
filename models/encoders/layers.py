"""The layers of an encoder in their order, as groups of parameters."""

from torch import nn

from echopair.models.encoders.base import Encoder
from echopair.models.encoders.timm_cnn import TimmCnn


def layers_of(encoder: Encoder) -> list[list[nn.Parameter]]:
    """The parameters of an encoder, layer by layer, from its input to its embedding.

    A layer is a stem, a residual block, a recurrent network, or a single convolution or product, each with the
    normalisation that follows it.

    Args:
        encoder: whose modules are defined in the order in which they are applied, as all of ours and of timm's are.

    Returns:
        Each parameter once.
    """
    layers: list[list[nn.Parameter]] = []

    def visit(module: nn.Module) -> None:
        opened = module is encoder or isinstance(module, nn.Sequential | nn.ModuleList)
        if opened or (isinstance(encoder, TimmCnn) and module is encoder.network):
            add(list(module.parameters(recurse=False)))
            for child in module.children():
                visit(child)
        else:
            add(list(module.parameters()))

    def add(parameters: list[nn.Parameter]) -> None:
        if layers and all(one.ndim <= 1 for one in parameters):
            layers[-1] += parameters
        elif parameters:
            layers.append(parameters)

    visit(encoder)
    return layers
