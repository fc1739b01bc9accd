"""What `madx run` says of its languages before it trains: tokens that are unknown, test sentences that were seen."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from madx.cli import app
from madx.pipeline import glance as module

FEW = ["--device", "cpu", "--set", "seeds=[1]", "--set", "methods=['madx']"]


@pytest.fixture(autouse=True)
def with_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 600.0)


def said(*more: str) -> list[str]:
    done = CliRunner().invoke(app, ["run", "recipe.toml", "--dry-run", *FEW, *more])
    assert done.exit_code == 0, done.exception
    return [line for line in done.stdout.splitlines() if line.startswith(("note:", "looked at:"))]


def test_a_line_of_what_was_looked_at_and_no_more_where_nothing_is_wrong(project: Path) -> None:
    (project / "test.tsv").write_text("solen\tNOUN\n")
    task = (project / "tasks" / "tags.toml").read_text().replace('test = "eng.tsv"', 'test = "test.tsv"')
    (project / "tasks" / "tags.toml").write_text(task)
    *notes, line = said()
    assert not [note for note in notes if "unknown" in note or "stand in" in note]
    assert line.startswith("looked at: 2 texts or test sets, at most 0.0% unknown tokens (")
    assert "; 2 test sets, at most 0.0% in training text (tags " in line


def test_a_script_that_the_tokenizer_lacks_is_said_before_training(project: Path) -> None:
    (project / "swe.txt").write_text("\n".join(f"ᚠᚢᚦᚨᚱᚲ ᚷᚹᚺᚾᛁ {i} ᛃ" for i in range(300)), encoding="utf-8")
    assert any(line.startswith("note: swe: ") and "unknown to the encoder's tokenizer" in line for line in said())


def test_test_sentences_in_the_text_or_the_labels_are_said_before_training(project: Path) -> None:
    lines = (project / "swe.txt").read_text(encoding="utf-8")
    (project / "swe.txt").write_text("Hunden sover!\n" + lines, encoding="utf-8")
    assert (
        "note: tags swe test: 50.0% of its sentences stand in the text or labels that are trained on; "
        "the score will flatter"
    ) in said()
    assert any(
        line.startswith("note: tags eng test: 100.0%") for line in said()
    )  # its file is that of the training data


def test_a_language_without_text_is_looked_at_by_its_test_set(project: Path) -> None:
    (project / "swe.tsv").write_text("ᚠᚢᚦᚨᚱᚲ\tNOUN\n\nᛃᚷᚹ\tVERB\n", encoding="utf-8")
    lines = said("--set", "methods=['task-only']")
    assert any(line.startswith("note: swe in tags: ") and "unknown" in line for line in lines)


def test_what_there_is_no_time_for_is_counted(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", -1.0)
    assert said()[-1:] == ["looked at: nothing in the time for it; `madx check` reads all"]


def test_json_is_for_programs(project: Path) -> None:
    done = CliRunner().invoke(app, ["run", "recipe.toml", "--dry-run", "--json", *FEW])
    assert all("step" in row for row in json.loads(done.stdout))
