"""Language arithmetic: lambda is the one with the lowest masked-LM loss on the language's text."""

from pathlib import Path

import pytest
import torch

from madx.catalog.find import Catalogue
from madx.formats.adapterhub import load_adapter
from madx.pipeline.merges import arithmetic, merge
from madx.pipeline.planner import Planner
from madx.pipeline.recipe import load_recipe
from madx.stages.arithmetic import LAMBDAS, Arithmetic
from madx.stages.session import Session
from madx.step import Step, closure
from madx.store import Store


def make(session: Session, wanted: Step) -> None:
    for step in closure([wanted]):
        with session.store.claim(step.name) as folder:
            assert folder is not None
            session.store.finish(step.name, {"seconds": 0.0, "memory_mb": 0, "result": step.run(folder, session)})


def test_lambda_is_found_on_text_and_theta_is_the_sum(project: Path) -> None:
    session = Session(Store(project / "store"), torch.device("cpu"))
    settings = ["language_adapter.steps=40", "language_adapter.learning_rate=0.01"]
    planner = Planner(load_recipe(project / "recipe.toml", settings), Catalogue(project), None, project)
    step = arithmetic(planner, "swe")
    assert isinstance(step, Arithmetic)
    make(session, step)
    about = session.result(step)
    losses = {float(share): loss for share, loss in about["losses"].items()}
    assert tuple(losses) == LAMBDAS
    assert losses[about["lambda"]] == min(losses.values())
    assert losses[1.0] < losses[0.0]  # its own adapter knows its text better than the source's
    encoder = session.encoder(planner.encoder)
    states = [load_adapter(session.folder(s), encoder)[1].state_dict() for s in (step, step.own, step.other)]
    share = about["lambda"]
    for key, tensor in states[0].items():
        assert torch.allclose(tensor, share * states[1][key] + (1 - share) * states[2][key], atol=1e-6), key


def test_a_merge_that_is_worse_than_none_says_so(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(Store(project / "store"), torch.device("cpu"))
    planner = Planner(load_recipe(project / "recipe.toml", []), Catalogue(project), None, project)
    step = merge(planner, "swe", ["eng"], [60.0])  # far beyond any adapter
    make(session, step)
    about = session.result(step)
    assert about["held_out_after"] > about["held_out_before"]
    assert "does not lower the held-out loss" in about["warnings"][0]
    planner = Planner(load_recipe(project / "recipe.toml", ["without_text=['swe']"]), Catalogue(project), None, project)
    assert merge(planner, "swe", ["eng"], [1.0]).judged_on is None
