"""A knowledge graph's edges as sentences."""

from pathlib import Path

import pytest

from madx.catalog.find import Catalogue
from madx.config import InputError
from madx.corpora.documents import documents
from madx.corpora.triples import sentences
from madx.pipeline.planner import Planner
from madx.pipeline.recipe import load_recipe
from madx.pipeline.ways import domain_adapter

EDGES = (
    ("IsA", "/c/en/dog/n", "/c/en/animal"),
    ("UsedFor", "/c/en/big_net", "/c/en/catch_fish/v/wn/x"),
    ("RelatedTo", "/c/en/sea", "/c/en/salt"),
    ("Synonym", "/c/en/dog", "/c/sw/mbwa"),
    ("IsA", "/c/sw/mbwa", "/c/sw/mnyama"),
)


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    lines = [f"/a/[{relation}]\t/r/{relation}\t{start}\t{end}\t{{}}" for relation, start, end in EDGES]
    (tmp_path / "graph.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "graph.csv"


def test_edges_of_a_language_become_sentences(graph: Path) -> None:
    assert list(sentences(graph, "en")) == [
        "dog is a animal.", "big net is used for catch fish.", "sea related to salt.",
    ]  # fmt: skip
    assert list(sentences(graph, "sw")) == ["mbwa, mnyama."]
    graph.write_text("dog\tanimal\n")
    with pytest.raises(InputError, match=r"graph.csv:1: not an edge as ConceptNet has them"):
        list(sentences(graph, "en"))


def test_a_recipe_names_a_graph_as_text(project: Path, graph: Path) -> None:
    text = "domain={ name = 'facts', text = ['triples:en:" + graph.name + "'] }"
    planner = Planner(load_recipe(project / "recipe.toml", [text]), Catalogue(project), None, project)
    (source,) = domain_adapter(planner).text.corpus.sources
    assert next(documents(source, None)) == "dog is a animal."
    assert domain_adapter(planner).subject == "facts"
