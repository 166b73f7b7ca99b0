"""The score that trials are compared by: what it reads, and above all what it does not."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from echopair import AudioEncoder
from echopair.augment.policy import AugmentConfig
from echopair.models.audio_encoder import AudioEncoderConfig
from echopair.models.encoders import ResNetConfig
from echopair.models.log_mel_config import LogMelConfig
from echopair.models.methods import Batch, LearningData, SimCLRConfig
from echopair.models.projection import ProjectionConfig
from echopair.pipeline.embed import EmbedConfig
from echopair.pipeline.embed_windows import embed_clips
from echopair.pipeline.errors import UserError
from echopair.pipeline.evaluation import nearest_neighbours, validation
from echopair.pipeline.evaluation.folds import make_folds
from echopair.pipeline.evaluation.labels import label_targets, sources_of
from echopair.pipeline.evaluation.nearest_neighbours import NeighbourProbe, nearest_neighbour_score
from echopair.pipeline.evaluation.probe import ProbeConfig
from echopair.pipeline.evaluation.source_folds import SourceFolds
from echopair.pipeline.evaluation.validation import validation_score
from echopair.pipeline.evaluation.validation_clips import validation_clips, validation_sets
from echopair.pipeline.store import ClipStore
from echopair.pipeline.training.crops import CropsConfig
from echopair.pipeline.training.learner import Learner, LearningConfig, PretrainConfig
from echopair.pipeline.training.pretrain import Diverged
from tests.pipeline.evaluation.test_probe import LabelledStore, features

Labels = list[tuple[str, ...]]

CLIPS = 120
LABELS: Labels = [("abc"[n % 3],) for n in range(CLIPS)]
SEVERAL: Labels = [("abc"[n % 3], "xy"[n % 2]) for n in range(CLIPS)]
FOLDS = [str(n // 3 % 10 + 1) for n in range(CLIPS)]
SPLITS = ["train"] * 90 + ["test"] * 30
SOURCES = [f"source {n // 3}" for n in range(CLIPS)]
EMBED = EmbedConfig(device="cpu", precision="float32")
ENCODER = ResNetConfig(width=8, stem="patch", blocks=(1, 1))

# Each kind of corpus: its columns, the probe's settings, the clips that are tested on.
KINDS: dict[str, tuple[dict[str, Sequence[str]], ProbeConfig, list[int]]] = {
    "test folds": (
        {"fold": FOLDS, "group": SOURCES},
        ProbeConfig(test_folds=("2",)),
        [n for n in range(CLIPS) if FOLDS[n] == "2"],
    ),
    "official folds": ({"fold": FOLDS}, ProbeConfig(), [n for n in range(CLIPS) if FOLDS[n] == "10"]),
    "split": ({"split": SPLITS, "group": SOURCES}, ProbeConfig(), list(range(90, 120))),
    "split with validation": (
        {"split": ["train"] * 60 + ["validation"] * 30 + ["test"] * 30},
        ProbeConfig(),
        list(range(90, 120)),
    ),
}


def labelled(labels: Labels = LABELS, **columns: Sequence[str | None]) -> ClipStore:
    return LabelledStore(labels, **columns)  # type: ignore[arg-type, return-value]


def own_clips(config: ProbeConfig, store: ClipStore) -> np.ndarray:
    return validation_clips("c", store, config, tested=True)


@pytest.mark.parametrize("kind", [*KINDS, "sources"])
def test_validation_clips_are_all_that_the_probe_does_not_test_on(kind: str) -> None:
    columns, config, tested = KINDS.get(kind, ({"group": SOURCES}, ProbeConfig(), []))
    store = labelled(LABELS, **columns)
    clips = own_clips(config, store)
    probed = config.model_copy(update={"test_split": True})
    _, (fold,) = make_folds("c", store, probed, seed=7)
    np.testing.assert_array_equal(clips, fold.train)
    if tested:
        assert fold.test.tolist() == tested


def test_a_corpus_that_is_not_probed_validates_with_all_but_its_test_split() -> None:
    assert len(validation_clips("c", labelled(fold=FOLDS), ProbeConfig(), tested=False)) == CLIPS
    clips = validation_clips("c", labelled(split=SPLITS), ProbeConfig(), tested=False)
    assert clips.tolist() == list(range(90))


@pytest.mark.parametrize("labels", [LABELS, SEVERAL], ids=["one label", "several"])
@pytest.mark.parametrize("kind", KINDS)
def test_neither_label_nor_embedding_of_a_tested_clip_is_read(kind: str, labels: Labels) -> None:
    columns, config, tested = KINDS[kind]
    embeddings = features(labels, 0.7).values
    store = labelled(labels, **columns)
    score = validation_score("c", store, embeddings, own_clips(config, store), config)
    assert 0.5 < score.score < 1  # so that a clip more or less shows
    rubbish = list(labels)
    for clip in tested:
        rubbish[clip] = ("rubbish", "and", "more") if clip % 2 else ()
    poisoned = embeddings.copy()
    poisoned[tested] = np.nan
    store = labelled(rubbish, **columns)
    assert validation_score("c", store, poisoned, own_clips(config, store), config) == score


def test_no_source_is_learned_from_and_scored() -> None:
    """Embeddings that tell sources apart and nothing else: with a leak they would be perfect."""
    sources = [f"source {n // 5}" for n in range(200)]
    labels: Labels = [("abcd"[n // 5 % 4],) for n in range(200)]
    told_by_source = features([(source,) for source in sources], 0.1, width=40).values
    every = np.arange(200)
    honest = validation_score("c", labelled(labels, group=sources), told_by_source, every, ProbeConfig())
    assert honest.score < 0.5
    assert honest.protocol == "5 folds by class and source"
    leaking = validation_score("c", labelled(labels), told_by_source, every, ProbeConfig())
    assert leaking.score > 0.8


def test_where_no_source_is_named_official_folds_stay_whole() -> None:
    folds = [str(n // 30) for n in range(CLIPS)]
    told_by_fold = features([(fold, label) for fold, (label,) in zip(folds, LABELS, strict=True)], 0.1)
    score = validation_score("c", labelled(fold=folds), told_by_fold.values, np.arange(90), ProbeConfig())
    assert score.protocol == "3 official folds"
    assert len(score.per_fold) == 3


def test_a_given_validation_split_alone_is_scored() -> None:
    labels = list(LABELS)
    embeddings = features(labels, 0.1).values
    for clip in range(60, 90):
        labels[clip] = ("abc"[(clip + 1) % 3],)  # the scored clips contradict those that are learned from
    store = labelled(labels, split=KINDS["split with validation"][0]["split"])
    score = validation_score("c", store, embeddings, np.arange(90), ProbeConfig())
    assert list(score.per_fold) == [0]
    assert score.protocol == "the given split"
    assert score.clips == 90


@pytest.mark.parametrize(("labels", "metric"), [(LABELS, "accuracy"), (SEVERAL, "mean_average_precision")])
def test_good_embeddings_score_one_and_noise_scores_chance(labels: Labels, metric: str) -> None:
    store, every = labelled(labels, group=SOURCES), np.arange(CLIPS)
    good = validation_score("c", store, features(labels, 0.05).values, every, ProbeConfig())
    assert good.score == 1
    assert good.metric == metric
    assert len(good.per_fold) == 5
    chance = label_targets(labels)[1].mean()
    noise = validation_score("c", store, features(labels, 1000).values, every, ProbeConfig())
    assert noise.score == pytest.approx(np.mean(noise.per_fold))
    assert noise.score == pytest.approx(chance, abs=0.15)
    assert noise.summary() == {
        "corpus": "c",
        "metric": metric,
        "protocol": "5 folds by class and source",
        "score": noise.score,
        "per_fold": list(noise.per_fold),
        "clips": CLIPS,
        "sources": 40,
    }


def test_the_same_embeddings_score_the_same_again() -> None:
    store, embeddings = labelled(group=SOURCES), features(LABELS, 1).values
    state = str(np.random.get_state())  # noqa: NPY002
    first, second = (validation_score("c", store, embeddings, np.arange(90), ProbeConfig()) for _ in range(2))
    assert first == second
    assert str(np.random.get_state()) == state  # noqa: NPY002


@pytest.mark.parametrize(
    ("labels", "groups", "message"),
    [
        ([("a",), ("b",), (), ("a",)], None, "1 of 4 validation clips have no label, first 2.wav"),
        ([("a",)] * 4, None, "every validation clip is labelled 'a'"),
        ([("a",), ("b",)] * 4, ["one", "other"] * 4, "too few sources.*corpora.c.group"),
    ],
)
def test_clips_that_give_no_score_are_refused(labels: Labels, groups: list[str] | None, message: str) -> None:
    paths = [f"{n}.wav" for n in range(len(labels))]
    store = labelled(labels, path=paths, group=groups or [None] * len(labels))
    every = np.arange(len(labels))
    with pytest.raises(UserError, match=message):
        validation_score("c", store, np.zeros((len(labels), 4), np.float32), every, ProbeConfig())
    with pytest.raises(UserError, match=message):
        NeighbourProbe({"c": (store, every)}, ProbeConfig(), EMBED)


def test_a_part_that_leaves_one_class_to_learn_from_is_not_scored() -> None:
    labels: Labels = [("a" if n < 4 else "b",) for n in range(24)]
    groups = ["the one of a"] * 4 + [f"source {n // 4}" for n in range(20)]
    assert len(SourceFolds(labels, groups, validation.FOLDS_SEED).of(np.arange(24), 5)) == 3
    embeddings = features(labels, 0.1).values
    score = validation_score("c", labelled(labels, group=groups), embeddings, np.arange(24), ProbeConfig())
    assert list(score.per_fold) == [1, 1]


def test_embeddings_that_are_not_finite_are_a_training_that_diverged() -> None:
    embeddings = features(LABELS, 1).values.copy()
    embeddings[3, 3] = np.nan
    with pytest.raises(Diverged, match="corpus 'c'"):
        validation_score("c", labelled(), embeddings, np.arange(CLIPS), ProbeConfig())


def test_a_sound_that_is_tested_on_validates_under_no_name() -> None:
    sounds = [f"sound {n}" for n in range(CLIPS)]
    sounds[0] = sounds[119]  # the first clip, of the split `train`, again at the end of the split `test`
    probed = labelled(split=SPLITS, samples_sha256=sounds)
    other = labelled(LABELS[:4], samples_sha256=["sound 100", "new", "sound 5", "sound 119"])
    stores = {"probed": probed, "other": other}
    sets = validation_sets(stores, ProbeConfig(), ["probed"])
    assert {name: clips.tolist() for name, (_, clips) in sets.items()} == {"probed": list(range(1, 90))}
    sets = validation_sets(stores, ProbeConfig(validation_corpora=("other",)), ["probed"])
    assert {name: clips.tolist() for name, (_, clips) in sets.items()} == {"other": [1, 2]}
    stores["other"] = labelled(LABELS[:2], samples_sha256=["sound 100", "sound 119"])
    with pytest.raises(UserError, match=r"'other'.*probe\.validation_corpora"):
        validation_sets(stores, ProbeConfig(validation_corpora=("other",)), ["probed"])


def audio_encoder(encoder: torch.nn.Module | None = None) -> AudioEncoder:
    torch.manual_seed(0)
    config = AudioEncoderConfig(
        log_mel=LogMelConfig(),
        log_mel_mean=-9.0,
        log_mel_standard_deviation=3.0,
        encoder=ENCODER,
        crop_seconds=0.32,
        crop_hop_seconds=0.16,
    )
    return AudioEncoder(config, encoder, device="cpu")


def test_a_reading_is_the_nearest_neighbour_score_of_embedded_clips(store: ClipStore) -> None:
    clips = validation_clips("tones", store, ProbeConfig(), tested=True)
    encoder = audio_encoder()
    reading = NeighbourProbe({"tones": (store, clips)}, ProbeConfig(), EMBED).score(encoder)

    labels = [store.labels()[clip] for clip in clips]
    groups = [store.column("group")[clip] for clip in clips]
    embeddings = embed_clips(store, clips, encoder, EMBED.batch_crops)
    source_folds = SourceFolds(labels, sources_of(groups, [None] * len(labels)), validation.FOLDS_SEED)
    parts = source_folds.of(np.arange(len(labels)), ProbeConfig().folds)
    assert reading == nearest_neighbour_score(embeddings, label_targets(labels)[1], parts, multilabel=False)
    assert reading > 0.6  # tones high and low are told apart without training


def test_a_reading_is_the_mean_over_corpora(store: ClipStore) -> None:
    every = np.arange(len(store))
    sets = {"one": (store, every), "other": (store, every[8:])}
    both = NeighbourProbe(sets, ProbeConfig(), EMBED).score(audio_encoder())
    each = [NeighbourProbe({name: sets[name]}, ProbeConfig(), EMBED).score(audio_encoder()) for name in sets]
    assert both == pytest.approx(np.mean(each))


def test_labels_of_other_clips_change_no_intermediate_score(
    store: ClipStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = validation_clips("tones", store, ProbeConfig(), tested=True)
    reading = NeighbourProbe({"tones": (store, clips)}, ProbeConfig(), EMBED).score(audio_encoder())
    rubbish = [labels if n in clips else ("rubbish", "more") for n, labels in enumerate(store.labels())]
    monkeypatch.setattr(store, "labels", lambda: rubbish)
    assert NeighbourProbe({"tones": (store, clips)}, ProbeConfig(), EMBED).score(audio_encoder()) == reading


def test_an_intermediate_score_takes_no_more_clips_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_neighbours, "INTERMEDIATE_CLIPS", 24)
    labels: Labels = [("common",) if n % 4 else ("rare",) for n in range(CLIPS)]
    every = np.arange(CLIPS)

    def chosen(**columns: Sequence[str | None]) -> list[int]:
        probe = NeighbourProbe({"c": (labelled(labels, **columns), every)}, ProbeConfig(), EMBED)
        return [int(clip) for clip in probe.clips["c"]]

    clips = chosen(group=SOURCES)
    assert len(set(clips)) == 24
    assert sum(labels[clip] == ("rare",) for clip in clips) == 6
    assert chosen(group=SOURCES) == clips
    splits = ["train"] * 100 + ["validation"] * 20
    by_split = chosen(split=splits)
    assert sum(splits[clip] == "validation" for clip in by_split) == 12
    assert len(by_split) == 24
    monkeypatch.setattr(nearest_neighbours, "INTERMEDIATE_CLIPS", 200)
    assert chosen(split=splits) == every.tolist()


def train(store: ClipStore, steps: int, reading_every: int) -> tuple[dict[str, torch.Tensor], list[float]]:
    """A training of which every draw is the global generators', so that one draw more would be seen."""
    config = LearningConfig(
        seed=3,
        log_mel=LogMelConfig(),
        crops=CropsConfig(crop_seconds=0.32),
        augment=AugmentConfig(),
        encoder=ENCODER,
        projection=ProjectionConfig(projection_dim=16),
        objective=SimCLRConfig(),
        pretrain=PretrainConfig(steps=steps, device="cpu", precision="float32"),
    )
    learner = Learner(config, torch.device("cpu"), LearningData(len(store)))
    method = learner.method
    method.modules.train()
    probe = NeighbourProbe({"tones": (store, np.arange(len(store)))}, ProbeConfig(), EMBED)
    encoder = audio_encoder(method.encoder)  # puts the live encoder into eval mode
    encoder.train()
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    readings = []
    for step in range(steps):
        shift = random.random() + np.random.random()  # noqa: NPY002
        views = torch.randn(2, 8, 1, 64, 32) + shift
        output = method.training_step(Batch(list(views), torch.arange(8), None, torch.Generator()))
        learner.optimiser.zero_grad(set_to_none=True)
        output.loss.backward()  # type: ignore[no-untyped-call]
        if reading_every and step % reading_every == 0:
            readings += [probe.score(encoder), probe.score(encoder)]
            assert all(module.training for module in method.encoder.modules())
            assert all(parameter.grad is not None for parameter in method.encoder.parameters())
        learner.optimiser.step()
    next_draws = torch.tensor([torch.rand(()).item(), random.random(), np.random.random()])  # noqa: NPY002
    state = {**method.encoder.state_dict(), "next draws": next_draws}
    return state, readings


def test_a_reading_leaves_the_training_as_it_was_bit_for_bit(
    store: ClipStore, capfd: pytest.CaptureFixture[str]
) -> None:
    undisturbed, _ = train(store, steps=5, reading_every=0)
    capfd.readouterr()
    read, readings = train(store, steps=5, reading_every=2)
    assert capfd.readouterr() == ("", "")
    assert undisturbed.keys() == read.keys()
    for name, value in undisturbed.items():
        assert torch.equal(value, read[name]), name
    assert readings[::2] == readings[1::2]


def test_a_diverged_encoder_is_said_to_be_one(store: ClipStore) -> None:
    encoder = audio_encoder()
    with torch.no_grad():
        next(encoder.encoder.parameters()).fill_(torch.nan)
    probe = NeighbourProbe({"tones": (store, np.arange(len(store)))}, ProbeConfig(), EMBED)
    with pytest.raises(Diverged, match="corpus 'tones'"):
        probe.score(encoder)


def test_a_validation_score_is_shown_with_what_it_is_of() -> None:
    one = {"metric": "accuracy", "clips": 320, "protocol": "4 official folds", "score": 0.8640625}
    other = {"metric": "mean_average_precision", "clips": 90, "protocol": "split valid", "score": 0.5}
    first = "accuracy of a linear probe on 320 validation clips of a, 4 official folds"
    [table] = validation.Validation().tables({"a": one})
    assert table.title == f"validation score 86.4%: {first}"
    second = "mean average precision of a linear probe on 90 validation clips of b, split valid"
    [table] = validation.Validation().tables({"a": one, "b": other})
    assert table.title.endswith(f": mean of {first}; {second}")
