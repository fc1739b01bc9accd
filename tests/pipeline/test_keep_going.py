"""`madx run --keep-going`: past a step that fails, to a report that says what is missing and why."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from madx.catalog.find import Catalogue
from madx.cli import app
from madx.config import InputError, RunError
from madx.pipeline.planner import Planner
from madx.pipeline.recipe import load_recipe
from madx.report.page import failures
from madx.report.run_file import read_run

SET = ('methods=["madx", "task-only"]', "seeds=[1]", "language_adapter.steps=4", "task_adapter.epochs=1")


def broken(project: Path) -> Path:
    """Where the Swedish adapter's folder should be there is a file: its step fails, whoever makes it."""
    plan = Planner(load_recipe(project / "recipe.toml", list(SET)), Catalogue(project), None, project).plan()
    (name,) = (step.name for step in plan.steps if step.stage == "language" and step.subject == "swe")
    file = project / "results" / ".store" / name
    file.parent.mkdir(parents=True)
    file.write_text("in the way")
    return file


def run(*options: str) -> object:
    words = [word for setting in SET for word in ("--set", setting)]
    return CliRunner().invoke(app, ["run", "recipe.toml", *words, *options], catch_exceptions=True).exception


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_everything_else_is_made_and_the_report_says_what_failed(project: Path, jobs: str) -> None:
    file = broken(project)
    error = run("--keep-going", "--jobs", jobs)
    assert isinstance(error, RunError)
    assert str(error).startswith("1 cell(s) failed")
    folder = project / "results" / "tiny"
    record = read_run(folder)
    cells = {(cell.method, cell.target) for cell in record.cells}
    assert cells == {("madx", "eng"), ("task-only", "swe"), ("task-only", "eng")}
    assert [(cell.method, cell.target, cell.seed) for cell in record.failed] == [("madx", "swe", 1)]
    assert file.name in record.failed[0].why
    (line,) = failures(record)
    assert line.startswith("tags, madx, Swedish (swe), seed 1: ")
    for page in ("report.md", "report.html"):
        assert file.name in (folder / page).read_text().replace("\\", "")
    data = (folder / "report.html").read_text()
    assert '"failed":{"madx":{"swe":"' in data  # and why

    file.unlink()
    assert run() is None
    assert json.loads((folder / "run.json").read_text())["failed"] == []
    assert "## Failed" not in (folder / "report.md").read_text()


def test_without_it_the_first_failure_ends_the_run(project: Path) -> None:
    file = broken(project)
    error = run("--jobs", "1")
    assert isinstance(error, RunError)
    assert file.name in str(error)
    assert not (project / "results" / "tiny").exists()


def test_where_nothing_is_left_the_failure_is_the_runs(project: Path) -> None:
    file = broken(project)
    file.rename(file.with_name(file.name.replace("swe", "was")))
    plan = Planner(load_recipe(project / "recipe.toml", list(SET)), Catalogue(project), None, project).plan()
    for step in plan.steps:
        if step.stage == "task":
            (file.parent / step.name).write_text("in the way")
    error = run("--keep-going")
    assert isinstance(error, RunError)
    assert "task-tags" in str(error)
    assert not (project / "results" / "tiny").exists()


def test_it_is_refused_where_all_fail_together(project: Path) -> None:
    error = run("--keep-going", "--processes", "2")
    assert isinstance(error, InputError)
