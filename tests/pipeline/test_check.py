"""What can be known of a recipe before training."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from madx.cli import app

FEW = ["--set", 'methods=["madx", "full"]', "--set", "seeds=[1]"]


def checked(*more: str) -> dict:  # type: ignore[type-arg]
    done = CliRunner().invoke(app, ["check", "recipe.toml", "--json", *FEW, *more])
    assert done.exit_code == 0, done.exception
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_what_leaks_is_counted(project: Path) -> None:
    words, tags = "hunden ser ett hus nära havet", "NOUN VERB DET NOUN ADJ NOUN"
    rows = [f"{w}\t{t}" for w, t in zip(words.split(), tags.split(), strict=True)]
    other = "\n".join(f"katten{i}\tNOUN\nsover{i}\tVERB\n" for i in range(3))
    (project / "swe.tsv").write_text("\n".join(rows) + "\n\n" + other)
    with open(project / "swe.txt", "a") as file:
        file.write("Hunden ser ett hus, nära havet!\n")
    (test,) = [row for row in checked()["data"] if row["language"] == "swe"]
    assert test["seen_in_text"] == pytest.approx(1 / 4)
    assert test["seen_in_training"] == 0
    eng = {row["split"]: row for row in checked()["data"] if row["language"] == "eng"}
    assert eng["test"]["seen_in_training"] == 1.0  # it is the same file
    assert eng["train"]["seen_in_text"] is None
    assert any("training labels" in line for line in checked()["to_look_at"])


def test_lengths_tokens_and_costs(project: Path) -> None:
    (project / "swe.tsv").write_text("\n".join("hunden\tNOUN" for _ in range(60)) + "\n\nen\tDET\n")
    about = checked("--set", "task_adapter.max_length=32")
    (test,) = [row for row in about["data"] if row["language"] == "swe"]
    assert test["too_long"] == 0.5
    assert test["longest"] > 60
    assert any("swe test: 50.0% are longer than max_length" in line for line in about["to_look_at"])
    texts = {row["language"]: row for row in about["texts"]}
    assert texts["eng"]["against_english"] == 1.0
    assert texts["swe"]["subwords_per_word"] > 0
    assert texts["swe"]["unknown_rate"] == 0.0
    assert about["cost"]["seconds"] > 0
    assert about["cost"]["bytes_meanwhile"] >= about["cost"]["bytes_kept"] / 10 > 0
    assert not list((project / "results").rglob("done.json"))


def test_a_text_of_which_nothing_is_left_is_said(project: Path) -> None:
    (project / "languages").mkdir()
    about = 'name = "Swedish"\nscript = "Latn"\ntext = [{ file = "swe.txt", lines = [9000, 9999] }]\n'
    (project / "languages" / "swe.toml").write_text(about)
    recipe = project / "recipe.toml"
    recipe.write_text(recipe.read_text().replace('swe = "swe.txt"\n', ""))
    assert any(line.startswith("swe: nothing of its text is left") for line in checked()["to_look_at"])


def test_a_script_that_the_tokenizer_lacks_is_said(project: Path) -> None:
    (project / "swe.txt").write_text("\n".join(f"ᚠᚢᚦᚨᚱᚲ ᚷᚹᚺᚾᛁ {i} ᛃ" for i in range(300)), encoding="utf-8")
    about = checked()
    assert any(
        line.startswith("swe: ") and "unknown to the encoder's tokenizer" in line for line in about["to_look_at"]
    )


def test_a_page_for_people_and_a_wrong_recipe_in_a_line(project: Path) -> None:
    done = CliRunner().invoke(app, ["check", "recipe.toml", *FEW])
    assert done.exit_code == 0, done.exception
    for part in ("read: tags eng train: 18 sentences", "labelled data", "text and tokenizer", "steps to do, 0 reused"):
        assert part in done.stdout
    (project / "swe.tsv").write_text("hunden\tNUON\n")
    done = CliRunner().invoke(app, ["check", "recipe.toml", *FEW])
    assert "label 'NUON' is not in the task's set" in str(done.exception)
