import pytest

from echopair.pipeline import progress


def test_without_a_terminal_it_is_a_line_a_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.progress_bar("pretrain", 300, "steps") as advance:
        for step in range(240):
            now = float(step)
            advance(note=f"loss {step}")
    assert capsys.readouterr().err.splitlines() == [
        f"pretrain: {second + 1} of 300 steps, loss {second}" for second in (60, 120, 180)
    ]
