from pathlib import Path

import pytest

from echopair.pipeline.run_page import PAGE_FILE, write_run_page
from tests.pipeline.run_page.runs import MadeRun, made_run, probe_summary


def written(run: MadeRun) -> tuple[str, str]:
    """The page and the description in MLflow."""
    arguments = (run.folder, run.config, run.clips, run.training, run.evaluations)
    note = write_run_page(*arguments)
    return (run.folder / PAGE_FILE).read_text(encoding="utf-8"), note


@pytest.fixture(scope="module")
def helped(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    probe = probe_summary([0.78, 0.80, 0.76], [0.60, 0.63, 0.57])
    return written(made_run(tmp_path_factory.mktemp("helped"), probe))


def test_the_result_and_whether_pretraining_helped_come_first(helped: tuple[str, str]) -> None:
    page, _ = helped
    places = [page.index(text) for text in ("78.0%", "Pretraining helped", "<h2>Training</h2>", "Settings")]
    assert places == sorted(places)
    for name in ("chance", "mel statistics", "untrained"):
        assert f"<bdi>{name}</bdi>" in page
    assert '<ul class="try">' not in page


def test_it_holds_figures_and_sound_and_loads_nothing_else(helped: tuple[str, str]) -> None:
    page, _ = helped
    assert page.count("data:image/png;base64,") == 4
    assert page.count("data:audio/flac;base64,") == 4
    assert 'src="data:' in page
    assert page.count("src=") == 8


def test_settings_that_differ_come_first_and_commands_know_the_work_folder(tmp_path: Path) -> None:
    run = made_run(tmp_path, None)
    page, _ = written(run)
    changed, every = page.split("<h2>Settings</h2>")[1].split("<details>")[:2]
    assert "augment.strength" in changed
    assert "log_mel.bands" not in changed
    assert "log_mel." in every
    commands = page.split("<h2>Next steps</h2>")[1]
    assert commands.count(f"work_folder={tmp_path}") == 6
    assert f"echopair preview &#39;{run.folder / 'run.yaml'}&#39; work_folder=" in commands


def test_what_was_refused_and_the_corpus_report_are_named(helped: tuple[str, str]) -> None:
    page, _ = helped
    assert "1 refused: <bdi>no audio in it</bdi>" in page
    assert 'href="../../clips/sound_events/report.html"' in page


def test_without_success_it_says_what_to_try(tmp_path: Path) -> None:
    page, note = written(made_run(tmp_path, probe_summary([0.50, 0.52, 0.49], [0.60, 0.62, 0.60])))
    assert "Pretraining did not help" in page
    assert page.index('<ul class="try">') < page.index("Train longer") < page.index("<h2>Training</h2>")
    assert note.startswith("**Pretraining did not help")


def test_without_labels_it_says_what_there_is(tmp_path: Path) -> None:
    page, note = written(made_run(tmp_path, None))
    assert "No corpus with labels was probed" in page
    assert "Scores and confusions" not in page
    assert "Pairs to listen to" in page
    assert note.startswith("No corpus with labels was probed")
    assert f"- encoder: `{tmp_path}/encoders/resnet/encoder`" in note


def test_the_description_in_mlflow_is_a_sentence_a_table_and_places(helped: tuple[str, str]) -> None:
    _, note = helped
    assert note.startswith("**Pretraining helped")
    assert "| features | accuracy | 95 % interval | macro accuracy |\n| --- | --: | --: | --: |\n" in note
    assert "| pretrained | 78.0% | 73.0% to 83.0% | 78.0% |" in note
    assert "- report of the run: `" in note
