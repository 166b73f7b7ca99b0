"""Steps of a method on batches that several processes share, for the comparison with one process."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import distributed

from echopair.models.collectives import synchronise_batch_norm
from echopair.models.encoders import ResNetConfig, SampleCnnConfig, TimmConfig, build_encoder
from echopair.models.encoders.base import Encoder
from echopair.models.methods import Batch, LearningData, Method, MethodConfig, ObjectiveConfig
from echopair.models.methods.byol import BYOLConfig
from echopair.models.methods.cpc import CPCConfig
from echopair.models.methods.decorrelation import BarlowTwinsConfig, VICRegConfig
from echopair.models.methods.deep_infomax import DeepInfoMaxConfig
from echopair.models.methods.margins import ContrastivePairsConfig, LiftedStructureConfig, TripletConfig
from echopair.models.methods.memory_bank import MemoryBankConfig
from echopair.models.methods.mochi import MoCHiConfig
from echopair.models.methods.moco import MoCoConfig
from echopair.models.methods.multi_format import MultiFormatConfig
from echopair.models.methods.noise_contrastive import BinaryNCEConfig, InfoNCEConfig
from echopair.models.methods.relative_position import RelativePositionConfig
from echopair.models.methods.reweighted_negatives import DebiasedConfig, DecoupledConfig, HardNegativesConfig
from echopair.models.methods.simclr import SimCLRConfig
from echopair.models.methods.simsiam import SimSiamConfig
from echopair.models.methods.supervised import CrossEntropyConfig
from echopair.models.methods.supervised_contrastive import SupervisedContrastiveConfig
from echopair.models.methods.temperature import LearnedTemperatureConfig
from echopair.models.methods.transformation import TransformationConfig
from echopair.models.projection import ProjectionConfig

PAIRS = 12
LEARNED = LearnedTemperatureConfig()
CONFIGS: dict[str, MethodConfig] = {
    "nt_xent": SimCLRConfig(ignore_same_recording=True),
    "nt_xent, learned temperature": SimCLRConfig(temperature_change=LEARNED),
    "contrastive_pairs": ContrastivePairsConfig(),
    "triplet": TripletConfig(sampling="all"),
    "triplet, drawn": TripletConfig(sampling="distance_weighted"),
    "lifted_structure": LiftedStructureConfig(),
    "binary_nce": BinaryNCEConfig(),
    "info_nce": InfoNCEConfig(),
    "info_nce, one query": InfoNCEConfig(symmetric=False),
    "supervised_contrastive": SupervisedContrastiveConfig(temperature_change=LEARNED),
    "decoupled": DecoupledConfig(),
    "debiased": DebiasedConfig(),
    "hard_negatives": HardNegativesConfig(),
    "barlow_twins": BarlowTwinsConfig(),
    "vicreg": VICRegConfig(),
    "memory_bank": MemoryBankConfig(temperature_change=LEARNED),
    "memory_bank, drawn": MemoryBankConfig(negatives=10),
    "moco": MoCoConfig(queue_keys=20, temperature_change=LEARNED),
    "mochi": MoCHiConfig(queue_keys=20, hardest=6, mixed=8, mixed_with_query=4),
    "byol": BYOLConfig(),
    "simsiam": SimSiamConfig(),
    "cross_entropy": CrossEntropyConfig(),
    "deep_infomax": DeepInfoMaxConfig(temperature_change=LEARNED),
    "cpc": CPCConfig(steps_ahead=1, context_dim=8),
    "transformation": TransformationConfig(),
    "relative_position": RelativePositionConfig(),
    "multi_format": MultiFormatConfig(waveform_encoder=SampleCnnConfig(width=8, blocks=2)),
}


def every_objective() -> set[str]:
    """The names that `objective.name` takes."""
    union = ObjectiveConfig.__args__[0]  # type: ignore[attr-defined]
    return {one.model_fields["name"].default for one in union.__args__}


def compare(rank: int, processes: int, folder: Path) -> None:
    """One of the processes: write how far two steps are from those of one process, by data type and objective."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    cases: dict[str, tuple[MethodConfig, bool, Encoder | None]] = {}
    for name, config in CONFIGS.items():
        cases[name] = (config, True, None)
        cases[f"{name}, without batch normalisation"] = (config, False, None)
    cases["nt_xent, timm"] = (SimCLRConfig(), True, build_encoder(TimmConfig(model="test_resnet")))
    dtypes = (torch.float64, torch.float32)
    alone = {(dtype, name): list(_steps(*case, dtype)) for dtype in dtypes for name, case in cases.items()}
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'group'}", rank=rank, world_size=processes
    )
    differences: dict[str, dict[str, list[float]]] = {str(dtype): {} for dtype in dtypes}
    for (dtype, name), expected in alone.items():
        together = _steps(*cases[name], dtype, rank, processes)
        differences[str(dtype)][name] = [
            max(((one - other).norm() / other.norm()).item() for one, other in zip(*steps, strict=True))
            for steps in zip(together, expected, strict=True)
        ]
    if rank == 0:
        (folder / "differences.json").write_text(json.dumps(differences))
    distributed.barrier()
    distributed.destroy_process_group()


def _steps(
    config: MethodConfig,
    batch_norm: bool,
    encoder: Encoder | None,
    dtype: torch.dtype,
    rank: int = 0,
    processes: int = 1,
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Loss, gradients and buffers of two steps."""
    torch.set_default_dtype(dtype)
    method = _method(config, encoder)
    if not batch_norm:  # statistics of no batch
        for one in method.modules.modules():
            if isinstance(one, Encoder):
                one.eval()
        for name in method.HEADS_OF_SHARES:
            method.modules[name].eval()
    elif processes > 1:
        synchronise_batch_norm(method)
    parameters = [one for one in method.modules.parameters() if one.requires_grad]
    optimiser = torch.optim.SGD(parameters, 0.02)
    for step in range(2):
        loss, _ = method.training_step(_share(_batch(step), rank, processes))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for one in parameters if processes > 1 else ():
            distributed.all_reduce(one.grad)
            one.grad /= processes  # type: ignore[operator]
        optimiser.step()
        method.after_step(step, 2)
        buffers = [one.double().flatten() for one in method.modules.buffers()]
        gradients = [one.grad.flatten() for one in parameters if one.grad is not None]
        yield loss.detach(), torch.cat(gradients), torch.cat(buffers)


def _method(config: MethodConfig, encoder: Encoder | None) -> Method:
    torch.manual_seed(0)
    if encoder is None:
        encoder = build_encoder(ResNetConfig(width=8, stem="patch", blocks=(1, 1)))
    else:  # the same weights each time
        file = io.BytesIO()
        torch.save(encoder, file)
        file.seek(0)
        encoder = torch.load(file, weights_only=False).to(torch.get_default_dtype())
    data = LearningData(24, ("a", "b", "c"), ("x", "y"), 32, 32)
    method = config.build(encoder, ProjectionConfig(projection_dim=8), data)
    method.modules.train()
    return method


def _batch(step: int) -> Batch:
    generator = torch.Generator().manual_seed(step)
    segments = torch.randperm(24, generator=generator)[:PAIRS]
    sounds = torch.randn(24, 1, 32, 32, generator=torch.Generator().manual_seed(5)).cumsum(2)[segments] / 4
    return Batch(
        list(sounds + 0.3 * torch.randn(2, PAIRS, 1, 32, 32, generator=generator)),
        segments // 2,
        torch.rand(PAIRS, 3, generator=generator) < 0.4,
        torch.Generator().manual_seed(100 + step),
        recordings=segments // 4,
        segments=segments,
        augmentations=torch.rand(2, PAIRS, 2, generator=generator) < 0.5,
        starts=torch.randint(100, (2, PAIRS), generator=generator),
        waveforms=torch.randn(2, PAIRS, 243, generator=generator),
    )


def _share(batch: Batch, rank: int, processes: int) -> Batch:
    own = slice(rank * PAIRS // processes, (rank + 1) * PAIRS // processes)
    assert batch.waveforms is not None
    return replace(batch, views=[one[own] for one in batch.views], waveforms=batch.waveforms[:, own])
