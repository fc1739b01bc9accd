"""Processes that help with a plan: they make steps, say what went wrong, and end with the one they help."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch

from madx.catalog.find import Catalogue
from madx.config import RunError
from madx.pipeline.helpers import helpers, jobs_for
from madx.pipeline.plan import Plan
from madx.pipeline.planner import Planner
from madx.pipeline.recipe import load_recipe
from madx.stages.session import Session
from madx.store import Store


@pytest.fixture
def plan(project: Path) -> Plan:
    recipe = load_recipe(project / "recipe.toml", ['methods=["madx"]', "language_adapter.steps=4"])
    return Planner(recipe, Catalogue(project), None, project).plan()


def wait_for(condition: Any, check: Any) -> None:
    began = time.monotonic()
    while not condition():
        check()
        assert time.monotonic() - began < 60
        time.sleep(0.1)


def test_a_helper_makes_the_plan_by_itself(plan: Plan, tmp_path: Path) -> None:
    session = Session(Store(tmp_path / "store"), torch.device("cpu"))
    threads = torch.get_num_threads()
    with helpers(plan, session, 2) as check:
        wait_for(lambda: all(session.store.is_done(step.name) for step in plan.steps), check)
    assert torch.get_num_threads() == threads


def test_what_a_helper_fails_with_is_raised(plan: Plan, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.write_text("a file where a folder should be")
    with pytest.raises((RunError, OSError)), helpers(plan, Session(Store(store), torch.device("cpu")), 2) as check:
        wait_for(lambda: False, check)


def test_one_job_is_no_helper(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(Store(tmp_path / "store"), torch.device("cpu"))
    assert jobs_for(plan, session) == 1  # one thread
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert jobs_for(plan, session) == 2  # there are two task adapters to train
    monkeypatch.setattr("madx.pipeline.helpers.SMALL", 8)
    assert jobs_for(plan, session) == 1  # the encoder is too wide
