"""paper/: what a paper takes from a run."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from madx.pipeline.rescore import score_run
from madx.report.citations import bibtex, citations
from madx.report.page import write_report
from madx.report.run_file import read_run

Write = Callable[..., Path]
LATEX = shutil.which("tectonic") or shutil.which("pdflatex")


@pytest.fixture
def paper(tmp_path: Path, write_run: Write) -> Path:
    folder = write_run(
        tmp_path, 3, 3, 2, methods=["madx-2", "method-1", "task-only"], bootstrap=20,
        settings={"language_adapter.steps": "80"},
        licences={"tags": {"name": "tags of Universal Dependencies", "licence": "CC BY-SA 4.0 & others"}},
    )  # fmt: skip
    run = json.loads((folder / "run.json").read_text())
    run["texts"]["qaa"]["sources"] = [{"name": "ntrex", "licence": "CC BY-SA 4.0"}]
    run["steps"]["task-tags-0"]["device"] = "NVIDIA H100 80GB HBM3"  # the others on the machine that the run ended on
    run["languages"]["qab"]["name"] = r"\input{x} & 50 % <b>"
    (folder / "run.json").write_text(json.dumps(run))
    write_report(folder, score_run(folder))
    return folder / "paper"


def test_tables_have_their_columns_and_every_name_is_text(paper: Path) -> None:
    table = (paper / "scores-0.tex").read_text()
    assert r"\toprule" in table
    rows = [line for line in table.splitlines() if line.endswith(r"\\")]
    assert len(rows) >= 4
    assert {len(re.findall(r"(?<!\\)&", line)) for line in rows} == {5}  # in pretraining, sentences and three methods
    every = "".join(path.read_text() for path in paper.glob("[sd]*.tex"))
    assert r"\textbackslash{}input\{x\} \& 50 \% \textless{}b\textgreater{}" in every
    assert r"\input" not in every
    assert "+" in (paper / "differences-0.tex").read_text()


def test_figures_are_pdf_here_and_svg_among_the_plots(paper: Path) -> None:
    for name, plot in (("scores-0", ""), ("gains-0", "-gains"), ("profile-0", "-profile")):
        assert (paper / f"{name}.pdf").read_bytes().startswith(b"%PDF-")
        assert (paper.parent / "plots" / f"tags{plot}.svg").read_text().startswith("<svg")


def test_what_was_used_is_cited(paper: Path) -> None:
    found = {citation.key for citation in citations(read_run(paper.parent))}
    assert {"pfeiffer-etal-2020-mad", "pfeiffer-etal-2021-unks", "federmann-etal-2022-ntrex"} <= found
    assert {"nivre-etal-2020-universal", "wang-etal-2024-multilingual-e5"} <= found
    assert "parovic-etal-2022-bad" not in found
    text = (paper / "references.bib").read_text()
    assert set(re.findall(r"^@\w+\{([^,]+),$", text, re.MULTILINE)) == found
    assert text.count("{") == text.count("}")


def test_every_citation_is_an_entry() -> None:
    from madx.report.citations import _known

    known = _known()
    assert len(known) > 60
    text = bibtex(known)
    assert "%s" not in text
    assert len(re.findall(r"^  title=", text, re.MULTILINE)) == len(known)
    assert len({citation.key for citation in known}) == len(known)


def test_every_method_text_and_task_of_the_catalogue_is_cited() -> None:
    """Methods of our own, and those of the paper that is always cited, have none for themselves."""
    from madx.catalog.find import Catalogue
    from madx.catalog.language import _known_sources
    from madx.pipeline.grid import GRID
    from madx.report.citations import _known

    wanted = {name for citation in _known() for name in citation.wanted}
    own = {"madx", "madx-aligned", "madx-kl", "madx-from-source", "full", "full-target-mlm"}
    assert {method for method in GRID if f"method:{method}" not in wanted} == own
    assert {name for name in wanted if name.startswith("method:")} <= {f"method:{method}" for method in GRID}
    assert {f"text:{name}" for name in _known_sources()} <= wanted
    data = [name.partition(":")[2] for name in wanted if name.startswith("data:")]
    catalogue = Catalogue()
    for task in map(catalogue.task, catalogue.task_files):
        assert any(part in f"{task.description} {task.licence}" for part in data), task.name


def test_the_checklist_is_filled_in(paper: Path) -> None:
    text = (paper / "checklist.md").read_text()
    for what in ("language_adapter.steps = 80", "ntrex (CC BY-SA 4.0)", "seeds 1, 2", "20 resamples", "qaa 12",
                 "on NVIDIA H100 80GB HBM3, x86_64 (x86_64, "):  # fmt: skip
        assert what in text, what


@pytest.mark.skipif(LATEX is None, reason="neither tectonic nor pdflatex: the tables were not compiled")
def test_it_compiles(paper: Path) -> None:
    assert LATEX
    done = subprocess.run([LATEX, "main.tex"], cwd=paper, capture_output=True, text=True, timeout=300)
    assert (paper / "main.pdf").exists(), done.stdout[-2000:]
