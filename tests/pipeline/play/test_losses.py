"""The losses of the page, in a real browser, are those of `models.losses` with torch's gradients."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from echopair.models.losses.decorrelation import vicreg
from echopair.models.losses.key_contrast import key_contrast, key_similarities
from echopair.models.losses.margins import contrastive_pairs
from echopair.models.losses.nt_xent import nt_xent
from echopair.models.losses.reweighted_negatives import decoupled
from echopair.models.losses.supervised_contrastive import supervised_contrastive
from echopair.models.losses.triplets import triplet
from echopair.models.methods import ObjectiveConfig
from echopair.models.methods.projection_loss import ProjectionLossConfig
from echopair.models.representation_health import representation_health
from echopair.pipeline.play import write_play_page
from echopair.pipeline.play.write import OBJECTIVES
from tests.browser import CHROMIUM, NEEDS_BROWSER, OFFLINE

pytestmark = NEEDS_BROWSER

CASES: list[dict[str, Any]] = [
    *({"objective": name, "temperature": t} for name in OBJECTIVES[:4] for t in (0.02, 0.2, 1.7)),
    *({"objective": "contrastive_pairs", "margin": margin} for margin in (0.1, 0.7, 2)),
    *(
        {"objective": "triplet", "margin": margin, "sampling": sampling}
        for margin in (0.05, 0.5, 2)
        for sampling in ("all", "semi_hard", "hard")
    ),
    *({"objective": "vicreg", "varianceWeight": weight} for weight in (0, 25, 40)),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    file = tmp_path_factory.mktemp("play") / "play.html"
    write_play_page(file)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OFFLINE))
        page = browser.new_page()
        page.goto(file.as_uri())
        yield page
        browser.close()


def expected_loss(z: torch.Tensor, settings: dict[str, Any]) -> torch.Tensor:
    """Loss of projections (V, N, 2) by echopair's own function."""
    temperature, margin = settings.get("temperature", 1.0), settings.get("margin", 1.0)
    match settings["objective"]:
        case "supervised_contrastive":
            labels = torch.nn.functional.one_hot(torch.tensor(settings["classes"])).bool()
            return supervised_contrastive(z, labels, temperature, sum_inside=False)
        case "moco":
            queue = torch.tensor(settings["queue"], dtype=z.dtype)
            excluded = torch.zeros(z.shape[1], len(queue), dtype=torch.bool)
            return key_contrast(key_similarities(z[0], z[1].detach(), queue, excluded), temperature)
        case "contrastive_pairs":
            return contrastive_pairs(z, margin)
        case "triplet":
            return triplet(z, margin, settings["sampling"], torch.Generator())
        case "vicreg":
            return vicreg(z, 25, settings["varianceWeight"], 1)
    return {"nt_xent": nt_xent, "decoupled": decoupled}[settings["objective"]](z, temperature)


def draw(views: int, clips: int, seed: int) -> torch.Tensor:
    """Projections (V, N, 2) in float64, of norms that differ."""
    generator = torch.Generator().manual_seed(seed)
    clip = torch.randn(1, clips, 2, generator=generator, dtype=torch.float64)
    return clip + 0.5 * torch.randn(views, clips, 2, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(str(value) for value in case.values()))
@pytest.mark.parametrize(("views", "clips", "seed"), [(2, 2, 0), (2, 7, 1), (3, 5, 2), (4, 16, 3)])
def test_loss_and_gradient_are_those_of_python(
    page: Any, case: dict[str, Any], views: int, clips: int, seed: int
) -> None:
    if case["objective"] == "moco":
        views = 2
    z = draw(views, clips, seed).requires_grad_()
    queue = draw(1, 9, seed + 10)[0].tolist()
    settings = {**case, "views": views, "clips": clips, "classes": [n % 3 for n in range(clips)]}
    if case["objective"] == "moco":
        settings["queue"] = queue
    loss = expected_loss(z, settings)
    loss.backward()  # type: ignore[no-untyped-call]
    assert z.grad is not None
    found = page.evaluate(
        "([z, settings]) => lossAndGradient(z, settings)", [z.flatten(0, 1).tolist(), settings]
    )
    assert found["loss"] == pytest.approx(loss.item(), rel=1e-5, abs=1e-9)
    gradient = torch.tensor(found["gradient"], dtype=torch.float64).view_as(z)
    torch.testing.assert_close(gradient, z.grad, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("case", [CASES[0], *CASES[12:]], ids=str)
def test_equal_points_have_the_gradient_of_python(page: Any, case: dict[str, Any]) -> None:
    z = torch.ones(2, 3, 2, dtype=torch.float64, requires_grad=True)
    settings = {**case, "views": 2, "clips": 3, "classes": [0, 1, 2]}
    loss = expected_loss(z, settings)
    loss.backward()  # type: ignore[no-untyped-call]
    found = page.evaluate(
        "([z, settings]) => lossAndGradient(z, settings)", [z.flatten(0, 1).tolist(), settings]
    )
    assert found["loss"] == pytest.approx(loss.item(), rel=1e-5)
    torch.testing.assert_close(
        torch.tensor(found["gradient"]).double().view_as(z), z.grad, rtol=1e-5, atol=1e-9
    )


def test_alignment_and_uniformity_are_those_of_a_training(page: Any) -> None:
    z = draw(3, 6, 0)
    health = representation_health(z, z)
    alignment, uniformity = page.evaluate(
        "z => [alignment(z, {views: 3, clips: 6}), uniformity(z)]", z.flatten(0, 1).tolist()
    )
    assert alignment == pytest.approx(health["alignment"], rel=1e-5)
    assert uniformity == pytest.approx(health["uniformity"], rel=1e-5)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_level_of_chance_is_that_of_a_training(page: Any, name: str) -> None:
    config = TypeAdapter(ObjectiveConfig).validate_python({"name": name})
    settings = {"objective": name, "views": 3, "clips": 6, "margin": 0.2, "queue": [[1, 0]] * 9}
    expected = (
        config.loss_chance_level(3, 6) if isinstance(config, ProjectionLossConfig) else math.log(10)  # MoCo's
    )
    assert page.evaluate("settings => chanceLevel(settings)", settings) == pytest.approx(expected)


def test_shares_and_their_effective_number(page: Any) -> None:
    shares = page.evaluate("softmax([0.9, 0.3, -0.2], 0.05)")
    torch.testing.assert_close(torch.tensor(shares), torch.tensor([0.9, 0.3, -0.2]).div(0.05).softmax(0))
    assert page.evaluate("perplexity([2, 2, 2, 0])") == pytest.approx(3)
    assert page.evaluate("perplexity([0.5, 0.25, 0.25])") == pytest.approx(math.exp(1.5 * math.log(2)))
    assert page.evaluate("perplexity([0, 0])") == 0
