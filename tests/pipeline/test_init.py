"""From a text file to a project that runs."""

import csv
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w
from typer.testing import CliRunner

from madx.catalog.find import Catalogue
from madx.cli import app
from madx.config import InputError
from madx.foreign import read_toml
from madx.pipeline.init import init, script_of
from madx.pipeline.project import QUICKSTART
from madx.tasks.data import Split, labelled_data
from madx.tasks.examples import Example

SENTENCES = ["Hunden springer över den stora ängen {} gånger", "I dag regnar det {} timmar, och ingen går ut",
             "Vi köper {} bröd av bagaren vid torget"]  # fmt: skip

STAGES = ("language_adapter", "task_adapter")
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


def begun(path: Path, *more: str) -> str:
    """What `madx init` says of a text."""
    done = CliRunner().invoke(app, ["init", str(path), *more])
    assert done.exit_code == 0, done.exception
    return done.stdout


def test_few_labels_and_little_text_are_learnt_as_in_the_quick_start(tmp_path: Path) -> None:
    """For other labels than its 300 sentences there are thousands."""
    quick = tomllib.loads((QUICKSTART / "recipe.toml").read_text())
    begun(text(tmp_path / "a.txt"), "--language", "swe", "--to", str(tmp_path / "few"))
    few = tomllib.loads((tmp_path / "few" / "recipe.toml").read_text())
    assert [few[stage] for stage in STAGES] == [quick[stage] for stage in STAGES]
    assert few["methods"] == ["madx", "no-language-adapter", "task-only"]
    assert (few["task_adapter"]["epochs"], few["task_adapter"]["learning_rate"]) == (6, 2e-3)
    begun(tmp_path / "a.txt", "--language", "swe", "--to", str(tmp_path / "many"), "--task", "topic")
    many = tomllib.loads((tmp_path / "many" / "recipe.toml").read_text())["task_adapter"]
    assert (many["epochs"], many["learning_rate"]) == (3, 1e-3)


def test_it_says_what_the_tokenizer_makes_of_the_text(tmp_path: Path) -> None:
    said = begun(text(tmp_path / "a.txt"), "--language", "swe", "--to", str(tmp_path / "swe"))
    pieces = re.search(
        r"the tokenizer of mini can write 100\.0% of its tokens, (\S+) pieces a word \(English (\S+)\)", said
    )
    assert pieces is not None
    assert 1 < float(pieces[2]) < 2 < 2 * float(pieces[1]) < 6
    assert "warning" not in said
    (tmp_path / "b.txt").write_text("".join(f"ᎠᏂᏴᏫᏯ ᎤᎾᏓᏡᎬ ᎠᏰᎵ {i} mening\n" for i in range(50)))
    new = ("--language", "qaa", "--name", "Mine", "--to", str(tmp_path / "new"))
    assert re.search(r"warning: [\d.]+% of its tokens are unknown to mini: .*--model", begun(tmp_path / "b.txt", *new))
    said = begun(tmp_path / "a.txt", "--language", "swe", "--to", str(tmp_path / "hub"), "--model", "a/b")
    assert "what the tokenizer of a/b makes of it, `madx check` says" in said


def test_text_in_another_script_than_the_languages_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("我们今天去公园散步，天气很好。\n妈妈在市场买了鱼和米饭。\n")
    said = begun(tmp_path / "a.txt", "--language", "hsb", "--to", str(tmp_path / "hsb"))
    assert "Upper Sorbian is Latn, these letters are Hani; mistaken?" in said


@pytest.mark.parametrize(
    ("task", "name", "content", "gold"),
    [
        ("ner", "a.tsv", "Anna\tB-PER\nsover\tO\n", ["B-PER", "O"]),  # the quick start's have a third column
        ("pos", "a.conllu", "1\tAnna\tAnna\tPROPN" + "\t_" * 6 + "\n", ["PROPN"]),
        ("pos", "eng.train.tsv", "hunden\tNOUN\n", ["NOUN"]),  # called as one of the quick start's
    ],
)
def test_labels_are_those_that_check_will_read(
    tmp_path: Path, task: str, name: str, content: str, gold: list[str]
) -> None:
    (tmp_path / name).write_text(content)
    new = init([text(tmp_path / "a.txt")], tmp_path / "new", "swe", None, task, tmp_path / name, "mini").folder

    def read(code: str, split: Split) -> list[Example]:
        found = labelled_data(Catalogue(new).task(task), code, split, None, beside=new)
        assert found is not None
        return found.load()

    assert [example.gold for example in read("swe", "test")] == [gold]
    assert len(read("eng", "train")) == 300


SWAPPED = (r"l\.tsv:1: label '\w+' .* Column 2 was read \(label_column = 1\): are the columns swapped\? is the first "
           r"line a header\? `label_column` in the task's file, counted from 0")  # fmt: skip


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("NOUN\thunden\nVERB\tspringer\n", SWAPPED),
        ("ord\tklasse\nhunden\tNOUN\n", SWAPPED),
        ("word\ttag\nhunden\tNOUN\n", r"l\.tsv: no column says where a sentence begins"),
    ],
)
def test_swapped_columns_and_a_header_are_asked_for(tmp_path: Path, content: str, hint: str) -> None:
    (tmp_path / "l.tsv").write_text(content)
    with pytest.raises(InputError, match=hint):
        init([text(tmp_path / "a.txt")], tmp_path / "new", "swe", None, "pos", tmp_path / "l.tsv", "mini")
    (tmp_path / "l.tsv").write_text("\n")
    with pytest.raises(InputError, match=r"l\.tsv: no examples"):
        init([tmp_path / "a.txt"], tmp_path / "new", "swe", None, "pos", tmp_path / "l.tsv", "mini")
    assert not (tmp_path / "new").exists()


def test_settings_fit_the_amount_of_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    steps = []
    for lines in (100, 5000, 20_000):
        made = init([text(tmp_path / "a.txt", lines)], tmp_path / f"to{lines}", "swe", None, "pos", None, "mini")
        steps.append(tomllib.loads((made.folder / "recipe.toml").read_text())["language_adapter"]["steps"])
        assert made.in_catalogue
        assert any(what.startswith("a test set") for what in made.missing)
        assert any(f"more text: {lines} lines are very little" in what for what in made.missing) == (lines < 300)
    assert steps == sorted(set(steps))
    with pytest.raises(InputError, match=r"to100: is there already; choose a new folder: --to DIR"):
        init([tmp_path / "a.txt"], tmp_path / "to100", "swe", None, "pos", None, "mini")


@pytest.mark.parametrize(
    ("language", "name", "content", "message"),
    [
        ("swedsh", None, "en mening om havet\n", "unknown language 'swedsh', did you mean 'swedish'"),
        ("qaa", None, "en mening om havet\n", "'qaa' isn't in the catalogue; say what it is called: --name NAME"),
        ("qaa", "Mine", "12345678901234\n", "the text's script is none of the catalogue's"),
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


def test_tags_of_ones_own_are_read_by_ones_own_task_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundled English labels stay; what the person's file calls the task's labels is taken over."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "l.tsv").write_text("hunden\tNN\nser\tVV\nhavet\tNN\n")
    path = text(tmp_path / "a.txt")
    with pytest.raises(InputError, match=r"l\.tsv:1: label 'NN' .*Nor are VV\. .*Tags of your own: docs/own-language"):
        init([path], tmp_path / "to", "swe", None, "pos", tmp_path / "l.tsv", "mini")
    (tmp_path / "tasks").mkdir()
    own = read_toml(QUICKSTART / "tasks" / "pos.toml") | {"read_as": {"NN": "NOUN", "VV": "VERB"}}
    (tmp_path / "tasks" / "pos.toml").write_text(tomli_w.dumps(own))
    init([path], tmp_path / "to", "swe", None, "pos", tmp_path / "l.tsv", "mini")
    made = read_toml(tmp_path / "to" / "tasks" / "pos.toml")
    assert made["read_as"] == {"NN": "NOUN", "VV": "VERB"}
    assert set(made["data"]) == {"eng", "swe"}
    assert len(list((tmp_path / "to" / "labels").iterdir())) == 4


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
    said = begun(path, "--to", str(tmp_path / "to")).splitlines()
    assert said[0] == "guessed Swedish (swe) by lingua, which knows 75 languages; if that is wrong: --language CODE"
    assert "guessed" not in begun(path, "--language", "swe", "--to", str(tmp_path / "told"))


def test_scripts() -> None:
    known = {
        "Hví ikki": "Latn",
        "Привет": "Cyrl",
        "ไทย": "Thai",
        "中文字": "Hani",
        "日本語のことば": "Jpan",
        "አማርኛ": "Ethi",
        "ગુજરાતી Latin": "Gujr",
        "ߒߞߏ": "Nkoo",
        "ތާނަ": "Thaa",
        "ⵜⵉⴼⵉⵏⴰⵖ": "Tfng",
        "한국어": "Hang",
    }
    scripts = {language.script for language in Catalogue().languages.values()}
    assert {sample: script_of(sample, scripts) for sample in known} == known
