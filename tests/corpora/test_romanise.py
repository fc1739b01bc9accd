"""Text in Latin letters: of text sources, parallel text and labels alike, and never of what isn't asked for."""

from pathlib import Path

import pytest

from madx.catalog.find import Catalogue
from madx.catalog.language import TextSource, parse_source
from madx.config import InputError
from madx.corpora import romanise
from madx.corpora.documents import documents
from madx.corpora.parallel import ParallelFiles, ParallelText
from madx.corpora.romanise import everywhere, romaniser
from madx.pipeline.planner import Planner
from madx.pipeline.recipe import load_recipe


def test_every_text_of_a_value_is_changed() -> None:
    value = ("a", None, ["b", ("c", 3)])
    assert everywhere(str.upper, value) == ("A", None, ["B", ("C", 3)])


def test_without_uroman_one_line_says_what_to_install(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(romanise, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"romanise needs uroman; pip install 'madx-adapters\[romanise\]'"):
        Planner(load_recipe(project / "recipe.toml", ["romanise=['swe']"]), Catalogue(project), None, project)


def test_a_catalogue_cannot_romanise_text_alone() -> None:
    with pytest.raises(InputError, match="x.toml: key 'romanised': a recipe says that"):
        parse_source({"file": "a.txt", "romanised": "amh"}, "x.toml")


@pytest.fixture
def uroman() -> None:
    pytest.importorskip("uroman", reason="pip install -e '.[romanise]'")


@pytest.mark.usefixtures("uroman")
def test_texts_are_romanised_by_their_languages_rules(tmp_path: Path) -> None:
    (tmp_path / "amh.txt").write_text("ሰላም ለዓለም\nthe sea\n", encoding="utf-8")
    source = TextSource(file=str(tmp_path / "amh.txt"))
    assert list(documents(source, None)) == ["ሰላም ለዓለም", "the sea"]
    read = list(documents(source.model_copy(update={"romanised": "amh"}), None))
    assert all(text.isascii() for text in read)
    assert read == [romaniser("amh-Ethi")("ሰላም ለዓለም"), "the sea"]


@pytest.mark.usefixtures("uroman")
def test_one_side_of_parallel_text(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("вода\n" * 100, encoding="utf-8")
    (tmp_path / "b").write_text("ሰላም\n" * 100, encoding="utf-8")
    files = (ParallelFiles(source=str(tmp_path / "a"), target=str(tmp_path / "b")),)
    text = ParallelText(source="bul", target="amh", files=files, digests=("1", "2"))
    assert set(text.pairs()) == {("вода", "ሰላም")}
    ((left, right),) = set(text.model_copy(update={"romanised": ("amh",)}).pairs())
    assert (left, right.isascii()) == ("вода", True)


@pytest.mark.usefixtures("uroman")
def test_a_plan_romanises_text_and_labels_of_that_language_alone(project: Path) -> None:
    def planner(*overrides: str) -> Planner:
        return Planner(load_recipe(project / "recipe.toml", list(overrides)), Catalogue(project), None, project)

    plain, romanised = planner(), planner("romanise=['swe']")
    task = plain.task("tags")
    for of in (lambda p, code: p.text(code).name, lambda p, code: p.labelled(task, code, "test").digest_of_fields):
        assert of(plain, "swe") != of(romanised, "swe")
        assert of(plain, "eng") == of(romanised, "eng")
    assert romanised.cell(task, "madx", "swe", 1).romanised
    (project / "tasks" / "tags.toml").write_text(
        'kind = "question-answering"\nmetric = "qa-f1"\n[data.eng]\ntrain = "eng.tsv"\n'
    )
    with pytest.raises(
        InputError, match="romanise: 'swe' is in it, and the answers of tags are places in its own writing"
    ):
        planner("romanise=['swe']").plan()
