"""The model card of an encoder: the README.md of its repository on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from echopair.pipeline.evaluation.probe import probe_table
from echopair.pipeline.pages import printable
from echopair.pipeline.run_page.verdict import verdict

if TYPE_CHECKING:
    from echopair.models.audio_encoder import AudioEncoder
    from echopair.pipeline.export.training_record import TrainingRecord

TEMPLATE = Path(__file__).with_name("card.md.jinja")


def model_card(
    encoder: AudioEncoder,
    digest: str,
    record: TrainingRecord | None,
    licence: str | None,
    repository: str | None,
) -> str:
    """The text of a card, with the header that the Hub reads.

    Args:
        encoder: the encoder.
        digest: SHA-256 of the encoder's files.
        record: of its training; None if there is none.
        licence: as the Hub spells it; None leaves it out.
        repository: OWNER/NAME; None if it is not known.
    """
    import jinja2
    from huggingface_hub import EvalResult, ModelCardData

    from echopair.models.encoders import SampleCnnConfig

    config = encoder.config
    name = repository.partition("/")[2] if repository else "Sound encoder"
    probes = record.probes if record else []
    scores = [
        EvalResult(
            task_type="audio-classification",
            task_name="Linear probe",
            dataset_type=one["corpus"],
            dataset_name=one["corpus"],
            metric_type=one["metric"],
            metric_name=f"{one['metric'].replace('_', ' ')}, {one['protocol']}",
            metric_value=round(one["features"]["pretrained"]["score"], 4),
        )
        for one in probes
    ]
    learns_labels = bool(record and record.config.learning.learns_labels)
    data = ModelCardData(
        license=licence,
        library_name="echopair",
        pipeline_tag="feature-extraction",
        tags=[
            "audio",
            "audio-embedding",
            *([] if learns_labels or not record else ["self-supervised"]),
            "onnx",
        ],
        model_name=name,
        eval_results=scores or None,
    )
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["cell"] = lambda text: printable(str(text)).replace("|", "/")
    network, log_mel = config.encoder, config.log_mel
    takes_waveforms = isinstance(network, SampleCnnConfig)
    settings = ", ".join(
        f"{key} {'-'.join(map(str, value)) if isinstance(value, tuple) else value}"
        for key, value in network.model_dump(exclude={"name"}).items()
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        card_data=data.to_yaml(),
        name=name,
        digest=digest,
        record=record,
        learns_labels=learns_labels,
        repository=repository,
        config=config,
        dim=encoder.embedding_dim,
        rate=log_mel.sample_rate_hz,
        log_mel=None if takes_waveforms else log_mel,
        highest_hz=log_mel.sample_rate_hz / 2 if takes_waveforms else log_mel.max_hz,
        encoder=f"{network.name} ({settings})",
        tables=[(verdict(one).sentence, probe_table(one)) for one in probes],
    )
