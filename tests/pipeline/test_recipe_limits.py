"""A recipe's numbers and names have an end: a slip of the finger is an error, and not 10 GB of memory."""

import pytest

from madx.config import InputError
from madx.pipeline.recipe import Recipe, recipe_from

BASE = {"name": "a", "tasks": ["pos"], "targets": ["swe"]}


@pytest.mark.parametrize(
    "override",
    ["language_adapter.batch_tokens=4294967296", "language_adapter.steps=1e9", "language_adapter.steps=99999999999",
     "language_adapter.max_length=1000000000", "language_adapter.seed=-1", "task_adapter.epochs=2000000000",
     "task_adapter.batch_size=99999999", "seeds=[99999999999]", "evaluation.bootstrap=1000000000",
     f"name={'x' * 250}", "name=../x", "name=.", "language_adapter.reduction_factor=nan"],
)  # fmt: skip
def test_what_is_far_beyond_use_is_refused_with_its_key(override: str) -> None:
    key = override.partition("=")[0]
    with pytest.raises(InputError, match=f"recipe.toml: key '{key}") as caught:
        recipe_from(dict(BASE), "recipe.toml", [override])
    assert len(str(caught.value)) < 600


def test_what_people_use_is_far_below() -> None:
    recipe = recipe_from(dict(BASE), "recipe.toml", ["language_adapter.batch_tokens=1048576", "seeds=[2147483647]"])
    assert isinstance(recipe, Recipe)


def test_tables_without_end_are_one_line() -> None:
    deep: dict[str, object] = {}
    for _ in range(5000):
        deep = {"a": deep}
    with pytest.raises(InputError, match="nested too deeply"):
        recipe_from({**BASE, "text": deep}, "recipe.toml", [])
