"""URIEL+'s typology: distances and vectors of real languages, and what is said where it knows nothing."""

import logging
from pathlib import Path

import pytest

from madx.catalog import uriel
from madx.catalog.find import Catalogue
from madx.catalog.uriel import DISTANCES, nearness_by, vector_of
from madx.config import InputError
from madx.pipeline.planner import Planner
from madx.pipeline.recipe import load_recipe
from madx.stages.merge import MergedAdapter


def planner(project: Path, *overrides: str) -> Planner:
    return Planner(load_recipe(project / "recipe.toml", list(overrides)), Catalogue(project), None, project)


def test_without_the_extra_one_line_says_what_to_install(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uriel, "find_spec", lambda name: None)
    for overrides in (["methods=['merge-typology']"], ["methods=['generated']", "joint.typology=uriel"]):
        with pytest.raises(InputError, match=r"typology needs urielplus; pip install 'madx-adapters\[typology\]'"):
            planner(project, *overrides).plan()


@pytest.fixture
def installed() -> None:
    pytest.importorskip("urielplus", reason="pip install -e '.[typology]'")


@pytest.mark.usefixtures("installed")
def test_relatives_are_nearer(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger().handlers[:], logging.getLogger().level
    for kind in ("featural", "syntactic", "genetic"):
        swedish, amharic = nearness_by(kind, "fao", ["swe", "amh"])
        assert 0 <= amharic < swedish < 1, kind
    assert nearness_by("featural", "swe", ["swe", "fao", "xxx"])[::2] == [1.0, 0.0]
    assert set(DISTANCES) > {"featural", "genetic"}
    assert capsys.readouterr() == ("", "")
    assert (logging.getLogger().handlers, logging.getLogger().level) == before


@pytest.mark.usefixtures("installed")
def test_a_vector_is_of_length_one_and_unknown_features_are_zero() -> None:
    english, faroese = vector_of("eng"), vector_of("fao")
    assert len(english) == len(faroese) == 289
    for vector in (english, faroese):
        assert sum(value * value for value in vector) == pytest.approx(1.0, abs=1e-3)
    assert faroese.count(0.0) > english.count(0.0)
    assert min(english) < 0 < max(english)
    assert vector_of("eng-Latn") == english


@pytest.mark.usefixtures("installed")
def test_what_it_knows_nothing_of() -> None:
    with pytest.raises(InputError, match="urielplus knows no features of 'nno'"):
        vector_of("nno")
    with pytest.raises(InputError, match="urielplus has no featural distance of 'nno' from eng, swe"):
        nearness_by("featural", "nno", ["eng", "swe"])


@pytest.mark.usefixtures("installed")
def test_a_merge_takes_the_nearest(project: Path) -> None:
    for code in ("fao", "amh"):
        (project / f"{code}.txt").write_text((project / "swe.txt").read_text())
    chosen = ("methods=['merge-typology']", "targets=['fao']", "relatives=['swe', 'amh']",
              "text={ eng = ['eng.txt'], swe = ['swe.txt'], amh = ['amh.txt'], fao = ['fao.txt'] }")  # fmt: skip

    def weights(*overrides: str) -> dict[str, float]:
        plan = planner(project, *chosen, *overrides)
        merged = plan.cell(plan.task("tags"), "merge-typology", "fao", 1).language
        assert isinstance(merged, MergedAdapter)
        return {part.adapter.subject: part.weight for part in merged.parts}

    every = weights()
    assert every.keys() == {"eng", "swe", "amh"}
    assert sum(every.values()) == pytest.approx(1.0)
    assert every["swe"] == max(every.values())
    assert weights("merge.top=1") == {"swe": 1.0}
    flat = weights("merge.temperature=10.0")
    assert max(flat.values()) - min(flat.values()) < 0.05


@pytest.mark.usefixtures("installed")
def test_a_generator_is_given_it(project: Path) -> None:
    described = planner(project, "joint.typology=uriel").joint.generator.described
    assert {d.language: d.values for d in described} == {"eng": vector_of("eng"), "swe": vector_of("swe")}
