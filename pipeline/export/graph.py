"""An encoder as one ONNX graph: waveforms -> crops -> log-mels -> embeddings -> their mean and maximum."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from echopair.models.encoders import SampleCnnConfig
from echopair.pipeline.errors import first_line
from echopair.pipeline.export.log_mel_matrices import LogMelMatrices

if TYPE_CHECKING:
    import onnx

    from echopair.models.audio_encoder import AudioEncoder

OPSET = 20  # that of `_pooling`
# A file of ONNX is one message of protobuf, which holds less than 2 GiB; the rest is for the graph.
LARGEST_BYTES_OF_WEIGHTS = 2_000_000_000
# Crops in one round of the loop, which limits the memory for a long recording.
CROPS_AT_ONCE = 16


class CropNetwork(nn.Module):
    """Crops (B, L) float32 -> embeddings (B, D), as `AudioEncoder.embed_crops` computes them.

    Args:
        encoder: on the CPU.
    """

    def __init__(self, encoder: AudioEncoder) -> None:
        super().__init__()
        config = encoder.config
        self.encoder = encoder.encoder
        self.statistics = config.statistics
        takes_waveforms = isinstance(config.encoder, SampleCnnConfig)
        self.log_mel = None if takes_waveforms else LogMelMatrices(encoder.log_mel, config.crop_samples)

    def forward(self, crops: Tensor) -> Tensor:
        inputs = crops.unsqueeze(1)  # (B, 1, L)
        if self.log_mel is not None:
            inputs = self.statistics.normalise(self.log_mel(crops))  # (B, F, T)
        embeddings: Tensor = self.encoder.readout(inputs.unsqueeze(1))  # (B, D)
        return embeddings


def build_graph(encoder: AudioEncoder) -> onnx.ModelProto:
    """The graph of an encoder.

    Args:
        encoder: on the CPU, in evaluation mode.

    Returns:
        A model from `waveforms`, (recordings, samples) float32 at the encoder's own rate, to `embeddings`, (recordings,
        D) float32: what `AudioEncoder.embed` gives. Both numbers are free, from one sample on.

    Raises:
        ValueError: a network that torch cannot export, or weights beyond what one file can hold.
    """
    import onnx

    size = sum(value.nbytes for value in encoder.state_dict().values())
    if size > LARGEST_BYTES_OF_WEIGHTS:
        raise ValueError(f"its weights take {size / 1e9:.1f} GB, and one file of ONNX holds at most 2 GB")
    network = onnx.compose.add_prefix_graph(_crop_graph(encoder), "network/")
    model: onnx.ModelProto = _pooling(encoder)
    (loop,) = (node for node in model.graph.node if node.op_type == "Loop")
    body = loop.attribute[0].g
    nodes = list(body.node)
    (place,) = (number for number, node in enumerate(nodes) if node.op_type == "EmbedCrops")
    joints = [
        onnx.helper.make_node("Identity", nodes[place].input, [network.input[0].name]),
        onnx.helper.make_node("Identity", [network.output[0].name], nodes[place].output),
    ]
    del body.node[:]
    body.node.extend([*nodes[:place], joints[0], *network.node, joints[1], *nodes[place + 1 :]])
    body.initializer.extend(network.initializer)
    return model


def _pooling(encoder: AudioEncoder) -> onnx.ModelProto:
    """Cropping and pooling as `AudioEncoder.embed` does them; its call of EmbedCrops is for the network."""
    import onnxscript

    crop_samples, hop_samples = encoder.config.crop_samples, encoder.config.crop_hop_samples
    width, rows, at_most = [encoder.crop_embedding_dim], [-1, encoder.crop_embedding_dim], CROPS_AT_ONCE
    crops_shape, lowest = [-1, crop_samples], float("-inf")
    op, floats = onnxscript.opset20, onnxscript.FLOAT
    networks = onnxscript.values.Opset("echopair", 1)

    # What follows is no Python: onnxscript translates it to ONNX.
    @onnxscript.script(default_opset=op)
    def echopair(waveforms):  # type: ignore[no-untyped-def]
        recordings = op.Shape(waveforms, start=0, end=1)
        samples = op.Shape(waveforms, start=1, end=2)
        # Empty input is an error of Gather below; a division by zero would kill the process.
        copies = (crop_samples - 1) / op.Max(samples, 1) + 1
        waveforms_of_a_crop = op.Tile(waveforms, op.Concat([1], copies, axis=0))
        last_start = op.Max(samples - crop_samples, 0)
        crops = (last_start + hop_samples - 1) / hop_samples + 1
        at_once = op.Max(at_most / op.Max(recordings, 1), 1)
        rounds = op.Squeeze((crops - 1) / at_once + 1)
        sums = op.Expand(0.0, op.Concat(recordings, width, axis=0))
        maxima = op.Expand(lowest, op.Concat(recordings, width, axis=0))
        for number in range(rounds):
            first = number * at_once
            numbers = op.Range(op.Squeeze(first), op.Squeeze(op.Min(first + at_once, crops)), 1)
            starts = op.Min(numbers * hop_samples, last_start)
            places = op.Unsqueeze(starts, [1]) + op.Range(0, crop_samples, 1)
            cropped = op.Gather(waveforms_of_a_crop, places, axis=1)  # (recordings, crops, L)
            of_crops = networks.EmbedCrops(op.Reshape(cropped, crops_shape))
            grouped = op.Reshape(of_crops, op.Concat(recordings, rows, axis=0))
            sums = sums + op.ReduceSum(grouped, [1], keepdims=0)
            maxima = op.Max(maxima, op.ReduceMax(grouped, [1], keepdims=0))
        embeddings = op.Concat(sums / op.Cast(crops, to=1), maxima, axis=1)
        return embeddings

    model: onnx.ModelProto = echopair.to_model_proto(
        input_types=[floats["recordings", "samples"]],
        output_types=[floats["recordings", encoder.embedding_dim]],
        producer_name="echopair",
    )
    return model


def _crop_graph(encoder: AudioEncoder) -> onnx.GraphProto:
    from onnxscript import optimizer

    crops = torch.zeros(3, encoder.config.crop_samples)
    # It prints its progress, and where it fails a report of hundreds of lines.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(
                CropNetwork(encoder).eval(),
                (crops,),
                dynamo=True,
                # onnxruntime optimises what it loads; this one takes 1e-9, the floor of the log-mel, for 0 (0.7).
                optimize=False,
                opset_version=OPSET,
                dynamic_shapes=({0: torch.export.Dim("crops")},),
                verbose=False,
            )
        except Exception as error:
            raise ValueError(f"torch cannot export it ({first_line(error.__cause__ or error)})") from error
    assert program is not None
    optimizer.fold_constants(program.model)
    optimizer.remove_unused_nodes(program.model)
    # They say from which line of which file of this machine each node is.
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
    graph = program.model_proto.graph
    if graph.input[0].type.tensor_type.shape.dim[0].HasField("dim_value"):  # torch does not say so itself
        raise ValueError("torch can export it for one number of crops only")
    return graph
