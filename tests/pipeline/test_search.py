"""madx search: the space that a person writes, a search that goes on where it was, and a recipe that it ends with."""

import json
import tomllib
from pathlib import Path

import pytest

from madx.config import InputError
from madx.pipeline.recipe import load_recipe
from madx.pipeline.search import Over, over
from tests.end_to_end.test_pipeline import madx, start


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("task_adapter.learning_rate=1e-5..1e-2", Over("task_adapter.learning_rate", low=1e-5, high=1e-2)),
        ("task_adapter.epochs=1..4", Over("task_adapter.epochs", low=1, high=4)),
        ("language_adapter.non_linearity=['relu', 'gelu']", Over("language_adapter.non_linearity", ("relu", "gelu"))),
    ],
)
def test_what_is_searched_over(said: str, expected: Over) -> None:
    assert over(said) == expected


@pytest.mark.parametrize("said", ["task_adapter.epochs", "x=3", "x=4..1", "x=[]", "x=a..b"])
def test_what_is_no_space(said: str) -> None:
    with pytest.raises(InputError, match=r"write KEY=LOW\.\.HIGH"):
        over(said)


def test_a_search_finds_goes_on_and_writes_a_recipe(project: Path) -> None:
    settings = ["--set", 'methods=["task-only"]', "--set", "seeds=[1]", "--over",
                "task_adapter.learning_rate=1e-6..1e-1", "--over", "task_adapter.reduction_factor=[2.0, 4.0]",
                "--json"]  # fmt: skip
    first = json.loads(madx(project, "search", "recipe.toml", "--trials", "2", *settings)[0])
    assert first["trials"] == 2
    again = json.loads(madx(project, "search", "recipe.toml", "--trials", "4", *settings)[0])
    assert again["trials"] == 4
    assert again["value"] >= first["value"]
    best = load_recipe(project / again["recipe"])
    assert best.task_adapter.learning_rate == again["settings"]["task_adapter.learning_rate"]
    assert best.methods == ("task-only",)
    assert not list((project / "results" / ".store").glob("evaluation-*"))  # no target's labels were read
    dev = [
        max(entry["dev"] for entry in json.loads(path.read_text())["result"]["evaluations"])
        for path in (project / "results" / ".store").glob("task-tags-*/done.json")
    ]
    assert again["value"] == pytest.approx(max(dev))
    assert (project / "results" / "tiny" / "search.db").exists()
    assert tomllib.loads((project / "results" / "tiny" / "best.toml").read_text())["name"] == "tiny"


def test_a_misspelt_key_is_refused(project: Path) -> None:
    process = start(project, "search", "recipe.toml", "--over", "task_adapter.learning=1e-6..1e-1")
    _, error = process.communicate()
    assert process.returncode == 2
    assert "unknown key 'task_adapter.learning'" in error
