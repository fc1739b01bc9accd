"""Targets that a recipe describes."""

from pathlib import Path

import pytest

from madx.catalog.find import Catalogue
from madx.config import InputError
from madx.pipeline.planner import Planner
from madx.pipeline.recipe import load_recipe
from madx.pipeline.targets import filtered, is_filter

CODES = ["swe", "gsw", "rus", "kin", "swa", "tam"]


def chosen(*filters: str, encoder: str = "mini") -> list[str]:
    return filtered(filters, CODES, Catalogue(), encoder)


def test_by_script_family_and_what_the_encoder_has_seen() -> None:
    assert chosen("script:Cyrl") == ["rus"]
    assert chosen("family:germanic") == ["swe", "gsw"]
    assert chosen("unseen") == ["gsw", "kin"]
    assert chosen("seen") == ["swe", "rus", "swa", "tam"]
    assert chosen("script:Taml", "unseen") == ["gsw", "kin", "tam"]
    assert chosen("all") == CODES
    assert not is_filter("Swedish")


def test_what_takes_nothing_or_cannot_be_known_is_one_line() -> None:
    with pytest.raises(InputError, match="'family:Bantoo' is none of the 6 languages"):
        chosen("family:Bantoo")
    with pytest.raises(InputError, match="pretrained on isn't known"):
        chosen("unseen", encoder="me/my-own")


def test_a_plan_has_the_named_and_the_described(project: Path) -> None:
    task = project / "tasks" / "tags.toml"
    task.write_text(task.read_text() + '[data.rus]\ntest = "swe.tsv"\n[data.bul]\ntest = "swe.tsv"\n')

    def targets(override: str) -> set[str]:
        recipe = load_recipe(project / "recipe.toml", [override, "methods=['task-only']"])
        plan = Planner(recipe, Catalogue(project), None, project).plan()
        return {cell.target for cell in plan.cells} - {"eng"}

    assert targets("targets='script:Cyrl'") == {"rus", "bul"}
    assert targets("targets=['swe', 'family:East Slavic']") == {"swe", "rus"}
    assert targets("targets=all") == targets("targets=['all']") == {"swe", "rus", "bul"}
