"""Which language an update of a joint training takes: by the size of its text, flattened by alpha."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from madx.catalog.find import Catalogue
from madx.pipeline.planner import Planner
from madx.pipeline.recipe import load_recipe
from madx.stages.many_texts import ManyTexts


@dataclass
class Sized:
    """As much of a MaskedLm as drawing looks at: how many blocks there are."""

    blocks: range


@pytest.mark.parametrize("alpha", [0.0, 0.7, 1.0])
def test_languages_are_drawn_by_their_size_to_alpha(alpha: float) -> None:
    sizes = {"eng": 800, "swe": 150, "fao": 50}
    texts = ManyTexts({code: Sized(range(size)) for code, size in sizes.items()}, print, alpha)  # type: ignore[arg-type, misc]
    drawn = Counter(texts.language(step, seed=3) for step in range(4000))
    total = sum(size**alpha for size in sizes.values())
    for code, size in sizes.items():
        assert drawn[code] / 4000 == pytest.approx(size**alpha / total, abs=0.03), code
    assert [texts.language(step, 3) for step in range(20)] == [texts.language(step, 3) for step in range(20)]


def test_alpha_names_another_training_and_its_default_does_not(project: Path) -> None:
    def names(*overrides: str) -> tuple[str, str]:
        planner = Planner(load_recipe(project / "recipe.toml", list(overrides)), Catalogue(project), None, project)
        return planner.joint.tree.name, planner.joint.generator.name

    assert names("joint.alpha=0.7") == names()
    assert not set(names("joint.alpha=0.3")) & set(names())
