"""A run's folder: links to adapters that several processes may make at once, and that move with the results."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from madx.pipeline.folder import _link_adapters, noted
from madx.pipeline.project import project as plan_and_session
from madx.pipeline.project import read_recipe
from madx.stages.session import Session
from madx.store import Store


def test_links_to_adapters_are_never_absent_and_move_with_the_results(tmp_path: Path) -> None:
    session = Session(Store(tmp_path / "results" / ".store"), torch.device("cpu"))
    names = [f"language-swe-{number}" for number in range(5)]
    for name in names:
        session.store.folder(name).mkdir(parents=True)
        (session.store.folder(name) / "adapter_config.json").write_text(name)
    folder = tmp_path / "results" / "tiny" / "adapters"
    folder.parent.mkdir()
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(_link_adapters, folder, names, session) for _ in range(100)]:
            done.result()
    assert sorted(path.name for path in folder.iterdir()) == names
    shutil.move(tmp_path / "results", tmp_path / "moved")
    for name in names:
        assert (tmp_path / "moved" / "tiny" / "adapters" / name / "adapter_config.json").read_text() == name


def test_a_run_that_will_be_replaced_is_noted(project: Path) -> None:
    """Where its settings are others; what is made again of the same recipe is no news."""
    path = project / "recipe.toml"
    planner, _ = plan_and_session(read_recipe(path, []), path, None, Path("results"), None, "cpu")
    plan, folder = planner.plan(), project / "results" / "tiny"
    assert noted(plan, folder) == plan
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    (folder / "recipe.toml").write_text(plan.recipe.toml())
    assert noted(plan, folder) == plan
    (folder / "recipe.toml").write_text(plan.recipe.toml().replace("epochs = 3", "epochs = 4"))
    *before, said = noted(plan, folder).notes
    assert before == list(plan.notes)
    assert "tiny has a run of other settings; its scores and report are made anew" in said
