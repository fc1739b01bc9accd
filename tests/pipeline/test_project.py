"""Where a project's finished steps lie, seen from another folder."""

from pathlib import Path

import pytest

from madx.pipeline.project import earlier_results


def test_steps_beside_a_recipe_or_above_it_are_named_where_there_are_none_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "mine"
    project.mkdir()
    (project / "recipe.toml").touch()
    monkeypatch.chdir(project)
    assert earlier_results(Path("recipe.toml"), Path("results")) is None  # nothing anywhere
    (tmp_path / "results" / ".store").mkdir(parents=True)  # run from above, as `madx init` says
    assert earlier_results(Path("recipe.toml"), Path("results")) == tmp_path / "results"
    monkeypatch.chdir(tmp_path)
    assert earlier_results(Path("mine"), Path("results")) is None  # it goes on here
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    (project / "results" / ".store").mkdir(parents=True)
    assert earlier_results(project, Path("results")) == project / "results"
