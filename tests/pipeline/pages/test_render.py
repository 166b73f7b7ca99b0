from pathlib import Path

import pytest
from markupsafe import escape

from echopair.pipeline.pages import printable, render_page

TEMPLATE = """
{% extends "base.html.jinja" %}
{% from "parts.html.jinja" import table %}
{% block title %}{{ name }}{% endblock %}
{% block kicker %}Test{% endblock %}
{% block heading %}{{ name }}{% endblock %}
{% block content %}{{ table(["features", "accuracy"], rows, own="pretrained") }}{{ whole }}{% endblock %}
"""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "page.html.jinja"
    path.write_text(TEMPLATE, encoding="utf-8")
    return path


def test_a_page_escapes_every_text_and_cuts_long_ones_unless_they_are_exempt(template: Path) -> None:
    name = "<b>&\u202e\udce9" + "x" * 500
    page = render_page(template, name=name, rows=[], whole=escape("<y>" + "y" * 500))
    assert "<b>&" not in page
    assert "<title>&lt;b&gt;&amp;\\u202e\\udce9xxx" in page
    assert "x" * 300 not in page
    assert "&lt;y&gt;" + "y" * 500 in page
    page.encode()


def test_the_row_of_the_run_stands_out_in_a_table(template: Path) -> None:
    page = render_page(template, name="n", whole="", rows=[["chance", "25.0%"], ["pretrained", "78.3%"]])
    assert page.count('<tr class="own">') == 1
    assert page.index("chance") < page.index('<tr class="own">') < page.index("pretrained</bdi>")


def test_a_page_allows_no_script_but_its_own(template: Path) -> None:
    rows: list[list[str]] = []
    assert "script" not in render_page(template, name="n", rows=rows, whole="")
    page = render_page(template, script="a && b", name="n", rows=rows, whole="")
    assert "script-src 'sha256-" in page
    assert "<script>a && b</script>" in page


def test_a_page_loads_nothing_from_elsewhere(template: Path) -> None:
    page = render_page(template, name="n", rows=[], whole="")
    assert "http" not in page.replace("http-equiv", "")
    assert "default-src 'none'" in page


def test_any_text_becomes_one_that_can_be_shown() -> None:
    assert printable("a\nb\udce9\u202e") == "a\\nb\\udce9\\u202e"
    assert len(printable("x" * 5000)) < 250
