"""What run.json says beside scores."""

import json
from pathlib import Path

import pytest

import madx
from madx.formats.tensors import load_tensors
from madx.pipeline import about
from madx.pipeline.grid import GRID


def test_languages_texts_test_sets_sizes_and_curves(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(project / "swe.txt", "a", encoding="utf-8") as file:
        file.write("Hunden sover!\n")  # half of the test set
    recipe = (project / "recipe.toml").read_text()
    methods = '["madx", "tlr", "source-adapter", "no-language-adapter", "task-only", "full", "full-target-mlm"]'
    recipe = recipe.replace(methods, '["madx", "madx-sparse", "merge-source"]').replace("seeds = [1, 2]", "seeds = [1]")
    (project / "recipe.toml").write_text(recipe)
    folder = madx.run("recipe.toml").folder
    run = json.loads((folder / "run.json").read_text())
    assert run["languages"]["swe"]["name"] == "Swedish"
    assert run["languages"]["swe"]["seen"] is None  # nobody knows what a random encoder has seen
    assert run["texts"]["swe"]["tokens"] > 2000
    assert "evaluated with the target's" in run["legend"]["madx"]
    assert run["settings"]["language_adapter.steps"] == "12"
    assert run["settings"]["lora.rank"] == "8"  # every table of a recipe, defaults too
    tests = {test["target"]: test for test in run["tests"]}
    assert tests["swe"]["contamination"] == {"sentences": 2, "matched": 1, "long": 0, "overlapping": 0}
    assert tests["eng"]["contamination"]["matched"] == 18  # it is the source's training data
    assert tests["swe"]["health"]["words"] == 5
    (name,) = (name for name in run["steps"] if name.startswith("language-swe"))
    files = (folder / "adapters" / name).glob("*.safetensors")
    assert run["steps"][name]["parameters"] == sum(t.numel() for f in files for t in load_tensors(f).values())
    assert run["curves"][name]
    (sparse,) = (c["adapters"][1] for c in run["cells"] if c["method"] == "madx-sparse" and c["target"] == "swe")
    files = list((folder / "adapters" / sparse).glob("*.safetensors"))
    bits = [t for f in files for t in load_tensors(f).values() if not t.is_floating_point()]
    assert bits  # say where the weights stand that weren't pruned, and are none themselves
    trained = sum(int((t != 0).sum()) for f in files for t in load_tensors(f).values() if t.is_floating_point())
    assert run["steps"][sparse]["parameters"] == trained
    (merged,) = (step for name, step in run["steps"].items() if name.startswith("merged-swe"))
    assert merged["parameters"] == 0  # nothing was trained for it
    assert merged["bytes"] > 0

    # test sets that are as they were aren't read again
    monkeypatch.setattr(about, "contamination", lambda *_: pytest.fail("read again"))
    madx.run("recipe.toml")
    assert json.loads((folder / "run.json").read_text())["tests"] == run["tests"]


def test_every_method_has_words_for_a_legend() -> None:
    words = {name: row.in_words for name, row in GRID.items()}
    assert all(text.isprintable() and len(text) < 300 for text in words.values())
    assert words["madx"] == "trains a task adapter over the source's language adapter; evaluated with the target's"
    assert "BAD-X" in words["bad-x"]
    assert "merged equally" in words["merge-mean"]
    assert "merged by nearness in the family tree" in words["merge-family"]
    assert len(set(words.values())) >= len(words) - 1  # madx and those that differ in stage two's numbers alone
    assert words["full-target-mlm"].startswith("trains every weight over no language adapter")
