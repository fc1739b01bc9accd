"""A budget finds the sizes, and what is then trained is as large as it says."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from madx.catalog.find import Catalogue
from madx.config import InputError
from madx.encoders.encoder import load_encoder
from madx.encoders.reference import resolve_encoder
from madx.encoders.shapes import shapes_of
from madx.formats.adapter_config import config_from_spec, spec_from_config
from madx.methods.beside import Ia3, Lora
from madx.methods.bottleneck import BottleneckAdapter, BottleneckSpec
from madx.methods.method import Method
from madx.methods.prefix import PrefixTuning
from madx.methods.prompt import PromptTuning
from madx.pipeline.budget import Budget
from madx.pipeline.planner import Planner
from madx.pipeline.recipe import load_recipe
from madx.stages.session import Session
from madx.store import Store

METHODS = [BottleneckAdapter(), BottleneckAdapter(spec=BottleneckSpec(phm=2)), Lora(), Lora(matrices=("output",))]


@pytest.mark.parametrize("family", ["bert", "modernbert", "distilbert"])
@pytest.mark.parametrize("method", METHODS, ids=["adapter", "compacter", "lora", "lora-output"])
def test_what_is_trained_comes_as_near_as_a_size_allows(
    encoder_folder: Callable[[str], Path], family: str, method: Method, tmp_path: Path
) -> None:
    ref = resolve_encoder(str(encoder_folder(family)))
    encoder = load_encoder(ref, torch.device("cpu"))
    budget = Budget(ref, "2%")
    assert budget.parameters == pytest.approx(0.02 * sum(p.numel() for p in encoder.base.parameters()))
    sized, _ = budget.fit(method)
    session = Session(Store(tmp_path), torch.device("cpu"))

    def trained(method: Method) -> int:
        with method.borrowed(encoder):
            return sum(p.numel() for p in method.attach(encoder, "x", 1, session).values())

    assert budget.count(sized) == trained(sized)
    others = [
        trained(other) for size in range(1, method.largest(encoder) + 1) if (other := method.sized(size)) is not None
    ]
    assert abs(trained(sized) - budget.parameters) == min(abs(n - budget.parameters) for n in others)


def test_a_budget_makes_no_bottleneck_wider_than_the_encoder(encoder_folder: Callable[[str], Path]) -> None:
    ref = resolve_encoder(str(encoder_folder("bert")))
    encoder, budget = shapes_of(ref), Budget(ref, "99%")
    for method in [*METHODS, PrefixTuning(), PromptTuning()]:
        sized, said = budget.fit(method)
        assert sized == method.sized(method.largest(encoder))
        assert budget.count(sized) < budget.parameters
        assert said.startswith(f"{method.what} at its largest trains")
    compacter, _ = budget.fit(METHODS[1])
    assert isinstance(compacter, BottleneckAdapter)
    assert compacter.spec.bottleneck(encoder.width, 0) == encoder.width


def test_what_has_no_size_stays_as_it_is(encoder_folder: Callable[[str], Path]) -> None:
    ref = resolve_encoder(str(encoder_folder("bert")))
    assert Budget(ref, "2%").fit(Ia3())[0] == Ia3()
    assert next(shapes_of(ref).base.parameters()).device.type == "meta"


def test_a_recipe_has_one(project: Path) -> None:
    overrides = ["budget=3%", "methods=['madx', 'madx-lora', 'full']"]
    planner = Planner(load_recipe(project / "recipe.toml", overrides), Catalogue(project), None, project)
    tags = planner.task("tags")
    adapter, lora = (planner.cell(tags, m, "swe", 1).stage.method for m in ("madx", "madx-lora"))
    budget = Budget(planner.encoder, "3%")
    assert isinstance(adapter, BottleneckAdapter)
    assert isinstance(lora, Lora)
    assert (adapter, lora) == (budget.fit(BottleneckAdapter())[0], budget.fit(Lora())[0])
    assert lora.alpha / lora.rank == 2.0
    planner.plan()
    assert planner.notes == ["budget: encoder has the size that it has"]
    planner = Planner(
        load_recipe(project / "recipe.toml", ["budget=60%", "methods=['madx-compacter']"]),
        Catalogue(project),
        None,
        project,
    )
    planner.plan()
    assert "at its largest trains" in planner.notes[0]
    with pytest.raises(InputError, match="key 'budget"):
        load_recipe(project / "recipe.toml", ["budget=half"])


@pytest.mark.parametrize("width", [16, 33, 384, 768])
def test_any_width_of_a_bottleneck_is_read_as_it_was_written(width: int) -> None:
    for size in range(1, width + 1):
        config = config_from_spec(BottleneckSpec(bottleneck_size=size), width)
        assert spec_from_config(config, "file").bottleneck(width, 0) == size
