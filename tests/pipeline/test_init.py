"""From a text file to a project that runs."""

import csv
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from madx.cli import app
from madx.config import InputError
from madx.pipeline.init import init, script_of

SENTENCES = ["Hunden springer över den stora ängen {} gånger", "I dag regnar det {} timmar, och ingen går ut",
             "Vi köper {} bröd av bagaren vid torget"]  # fmt: skip

FEWER = ["--set", "language_adapter.steps=4", "--set", "task_adapter.epochs=1", "--set", 'methods=["madx"]']


def text(path: Path, lines: int = 240) -> Path:
    path.write_text("".join(SENTENCES[i % 3].format(i) + "\n" for i in range(lines)), encoding="utf-8")
    return path


def test_the_recipe_that_it_writes_runs_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On `mini`, offline, from elsewhere, for a language that the catalogue lacks, with a handful of labels.

    With fewer updates: as many as it says take minutes.
    """
    (tmp_path / "mine.tsv").write_text("hunden\tNOUN\nspringer\tVERB\n\nvi\tPRON\nköper\tVERB\nbröd\tNOUN\n")
    monkeypatch.chdir(tmp_path)
    given = ["init", str(text(tmp_path / "a.txt")), "--language", "qaa", "--name", "Mine", "--labels", "mine.tsv"]
    done = CliRunner().invoke(app, [*given, "--to", "project"])
    assert done.exit_code == 0, done.exception
    assert "Mine (qaa, Latn), new: project/languages/qaa.toml" in done.stdout
    assert "240 lines" in done.stdout
    assert "next: madx check project/recipe.toml" in done.stdout
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run = CliRunner().invoke(app, ["run", "../project/recipe.toml", "--quiet", "--device", "cpu", *FEWER])
    assert run.exit_code == 0, run.exception
    rows = list(csv.DictReader(Path("results/project/scores.csv").open()))
    assert {(row["target"], row["method"]) for row in rows} == {("qaa", "madx"), ("eng", "madx")}


def test_settings_fit_the_amount_of_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    steps = []
    for lines in (100, 5000, 20_000):
        made = init([text(tmp_path / "a.txt", lines)], tmp_path / f"to{lines}", "swe", None, "pos", None, "mini")
        steps.append(tomllib.loads((made.folder / "recipe.toml").read_text())["language_adapter"]["steps"])
        assert made.in_catalogue
        assert any(what.startswith("a test set") for what in made.missing)
    assert steps == sorted(set(steps))


@pytest.mark.parametrize(
    ("language", "name", "content", "message"),
    [
        ("swedsh", None, "en mening om havet\n", "unknown language 'swedsh', did you mean 'swedish'"),
        ("qaa", None, "en mening om havet\n", "'qaa' isn't in the catalogue; say what it is called: --name NAME"),
        ("qaa", "Mine", "12345678901234\n", "the text's script isn't one that"),
        ("swe", None, "\n\n", "no line of text in it"),
        ("swe", None, '{"text": "x"}\n', "this is JSON"),
    ],
)
def test_a_wrong_start_is_one_line_and_leaves_nothing(
    tmp_path: Path, language: str, name: str | None, content: str, message: str
) -> None:
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(InputError, match=message):
        init([tmp_path / "a.txt"], tmp_path / "project", language, name, "pos", None, "mini")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_labels_that_the_task_cannot_read_stop_it(tmp_path: Path) -> None:
    (tmp_path / "l.tsv").write_text("hunden\tNUON\n")
    with pytest.raises(InputError, match=r"l\.tsv:1: label 'NUON'"):
        init([text(tmp_path / "a.txt")], tmp_path / "project", "swe", None, "pos", tmp_path / "l.tsv", "mini")
    assert not (tmp_path / "project").exists()


def test_lingua_tells_the_language_and_without_it_one_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder_folder: Callable[[str], Path]
) -> None:
    path = text(tmp_path / "a.txt")
    monkeypatch.setattr("madx.pipeline.init.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"--language CODE .*madx-adapters\[lingua\]"):
        init([path], tmp_path / "to", None, None, "pos", None, "mini")
    monkeypatch.undo()
    pytest.importorskip("lingua")
    assert init([path], tmp_path / "to", None, None, "pos", None, "mini").language.code == "swe"


def test_scripts() -> None:
    known = {
        "Hví ikki": "Latn",
        "Привет": "Cyrl",
        "ไทย": "Thai",
        "中文字": "Hans",
        "日本語のことば": "Jpan",
        "አማርኛ": "Ethi",
    }
    assert {script_of(sample): sample for sample in known} == {v: k for k, v in known.items()}
