"""Processes that help with a plan: they make steps, say what went wrong, and end with the one they help."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from madx.catalog.find import Catalogue
from madx.pipeline.engines.engine import Event
from madx.pipeline.helpers import helpers, jobs_for
from madx.pipeline.plan import Plan
from madx.pipeline.planner import Planner
from madx.pipeline.recipe import load_recipe
from madx.stages.session import Session
from madx.step import closure
from madx.store import Store


@pytest.fixture
def plan(project: Path) -> Plan:
    recipe = load_recipe(project / "recipe.toml", ['methods=["madx"]', "language_adapter.steps=4"])
    return Planner(recipe, Catalogue(project), None, project).plan()


def wait_for(condition: Any, check: Any) -> None:
    began = time.monotonic()
    while not condition():
        check()
        assert time.monotonic() - began < 300
        time.sleep(0.1)


def test_a_helper_makes_the_plan_by_itself(plan: Plan, tmp_path: Path) -> None:
    session = Session(Store(tmp_path / "store"), torch.device("cpu"))
    threads = torch.get_num_threads()
    with helpers(plan, session, 2) as check:
        wait_for(lambda: all(session.store.is_done(step.name) for step in plan.steps), check)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("keep_going", [False, True])
def test_what_a_helper_fails_with_is_said(plan: Plan, tmp_path: Path, keep_going: bool) -> None:
    session, heard = Session(Store(tmp_path / "store"), torch.device("cpu")), list[Event]()
    (swedish,) = (step for step in plan.steps if step.stage == "language" and step.subject == "swe")
    session.store.root.mkdir()
    session.store.folder(swedish.name).write_text("a file where a folder should be")
    with helpers(plan, session, 2, keep_going) as more:
        wait_for(lambda: heard, lambda: heard.extend(more()))
        if keep_going:  # what doesn't stand on it is made
            apart = [step for step in plan.steps if swedish not in closure([step])]
            wait_for(lambda: all(session.store.is_done(step.name) for step in apart), lambda: heard.extend(more()))
    assert [event.what for event in heard] == ["failed"]
    assert heard[0].error is not None
    assert swedish.name in str(heard[0].error)


def test_a_script_without_a_guard_is_not_run_again(project: Path) -> None:
    """multiprocessing would import it in every helper: it would plan, train and start helpers itself."""
    script = project / "script.py"
    script.write_text(
        "import madx\n"
        "print('begins')\n"
        "settings = ['methods=[\"madx\", \"task-only\"]', 'seeds=[1]', 'language_adapter.steps=4']\n"
        "print(madx.run('recipe.toml', overrides=settings, jobs=2, device='cpu').folder)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=project)
    assert done.stdout.split() == ["begins", "results/tiny"], done.stderr
    assert "Traceback" not in done.stderr


def test_one_job_is_no_helper(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(Store(tmp_path / "store"), torch.device("cpu"))
    assert jobs_for(plan, session) == 1  # one thread
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert jobs_for(plan, session) == 2  # there are two task adapters to train
    monkeypatch.setattr("madx.pipeline.helpers.SMALL", 8)
    assert jobs_for(plan, session) == 1  # the encoder is too wide
