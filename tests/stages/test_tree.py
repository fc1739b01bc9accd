"""The tree's adapters: a batch trains its language's path alone, and a language without text takes what is above it."""

from pathlib import Path

import pytest
import torch

from madx.adapters.setup import Stack
from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.catalog.find import Catalogue
from madx.catalog.language import Language
from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.pipeline.planner import Planner
from madx.pipeline.recipe import load_recipe
from madx.stages.session import Session
from madx.stages.source_data import Over
from madx.stages.tree import TreeStage, path_of
from madx.store import Store

SWE = Language(code="swe", name="Swedish", script="Latn", family=("Indo-European", "Germanic", "North"))


def made(project: Path, session: Session, *overrides: str) -> tuple[Planner, TreeStage]:
    planner = Planner(load_recipe(project / "recipe.toml", list(overrides)), Catalogue(project), None, project)
    tree = planner.joint.tree
    for step in (*tree.upstream, tree):
        with session.store.claim(step.name) as folder:
            assert folder is not None
            session.store.finish(step.name, {"seconds": 0.0, "memory_mb": 0, "result": step.run(folder, session)})
    return planner, tree


def test_a_path_is_family_genus_and_language() -> None:
    assert path_of(SWE) == ("node-Indo-European", "node-North", "node-swe")
    assert path_of(SWE.model_copy(update={"family": ("Isolate",)})) == ("node-Isolate", "node-swe")
    assert path_of(SWE.model_copy(update={"family": ()})) == ("node-swe",)


def test_a_language_is_read_through_its_path(project: Path) -> None:
    session = Session(Store(project / "store"), torch.device("cpu"))
    planner, tree = made(project, session)
    assert tree.nodes == ["node-Indo-European", *tree.nodes[1:]]
    ids = torch.tensor([[1, 50, 60, 70, 2]])
    branch = planner.joint.branch("swe")
    for part in branch.parts:
        with session.store.claim(part.name) as folder:
            assert folder is not None
            session.store.finish(part.name, {"seconds": 0.0, "memory_mb": 0, "result": part.run(folder, session)})
    encoder: Encoder = session.encoder(tree.encoder)
    with encoder.lent():
        encoder.activate(branch.attach(encoder, session))
        states = encoder.hidden(ids)
        assert encoder.adapters.active == Stack(*path_of(planner.language("swe")))
        assert encoder.adapters.invertible is encoder.adapters.get("node-Indo-European").invertible
        assert encoder.adapters.get("node-swe").invertible is None
        encoder.activate(*(part.subject for part in branch.parts[:-1]))
        assert not torch.allclose(encoder.hidden(ids), states)
    assert encoder.setups == {}


def test_without_text_the_upper_levels_are_taken(project: Path) -> None:
    overrides = (
        "without_text=['nno', 'eus']",
        "targets=['swe', 'nno', 'eus']",
        "methods=['hierarchical', 'task-only']",
    )
    planner = Planner(load_recipe(project / "recipe.toml", list(overrides)), Catalogue(project), None, project)
    assert [language.code for language in planner.joint.languages] == ["eng", "swe"]
    branch = planner.joint.branch("nno")
    assert branch.each[0].subject == "node-Indo-European"
    assert "node-nno" not in [part.subject for part in branch.each]
    with pytest.raises(InputError, match="'eus' has no text, and no language of its family is in the recipe"):
        planner.joint.branch("eus")


def test_only_the_path_of_a_batch_is_trained(tiny: Encoder) -> None:
    tiny.add(" family", BottleneckSpec(invertible=InvertibleSpec()))
    for code in ("swe", "dan"):
        tiny.add(f" {code}", BottleneckSpec())
        tiny.setups[code] = Stack(" family", f" {code}")
    tiny.activate("swe")
    tiny.hidden(torch.tensor([[1, 50, 60, 2]])).square().sum().backward()
    trained = {
        name for name in tiny.adapters.names if any(p.grad is not None for p in tiny.adapters.get(name).parameters())
    }
    assert trained == {" family", " swe"}


def test_stage_two_pairs_sources_and_adapters_by_place() -> None:
    """A stack's or a pair's adapter has another name than the language."""
    own = Over(["eng+medical", "deu+medical"], ["eng", "deu"], cycle=False)
    assert [own.of_batch(step, "deu") for step in (0, 1)] == ["deu+medical"] * 2
    turn = Over(["eng", "swe", "nno"], ["eng"], cycle=True)
    assert [turn.of_batch(step, "eng") for step in range(4)] == ["eng", "swe", "nno", "eng"]
    pair = Over(["nno+eng"], ["eng", "deu"], cycle=True)
    assert (pair.of("eng"), pair.of("deu")) == ("nno+eng", "nno+eng")
    assert Over([], ["eng"], cycle=False).of_batch(3, "eng") is None


def test_joint_trainings_need_a_trained_masked_lm_head_too(project: Path) -> None:
    session = Session(Store(project / "store"), torch.device("cpu"))
    planner = Planner(load_recipe(project / "recipe.toml", []), Catalogue(project), None, project)
    for stage in (planner.joint.tree, planner.joint.generator):
        stage.check(session)
        session.encoder(stage.encoder).lm_head_is_trained = False
        with pytest.raises(InputError, match="no trained masked-LM head; stage one needs one"):
            stage.check(session)
        session.encoder(stage.encoder).lm_head_is_trained = True
