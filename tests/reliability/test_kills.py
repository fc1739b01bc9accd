"""Each stage of a real run on a tiny encoder, killed at moments drawn by chance and made again: the same bytes.

`MADX_KILLS` says how often in each stage (`make hostile`: 200). Processes are forked from one that has imported what
they need; each kill is a SIGKILL to a process that writes a checkpoint after every update.
"""

import multiprocessing
import os
import random
import shutil
import time
from pathlib import Path

import pytest
import torch

from madx.pipeline.plan import Plan
from madx.pipeline.project import project as plan_and_session
from madx.pipeline.project import read_recipe
from madx.pipeline.run import run_plan
from madx.stages.evaluate import Evaluation
from madx.stages.language import LanguageStage
from madx.stages.task import TaskStage
from madx.stages.text import TextStage
from madx.step import closure
from madx.training import fit

KILLS = int(os.environ.get("MADX_KILLS", "3"))
SETTINGS = ['methods=["madx"]', "seeds=[1]", "language_adapter.steps=40", "task_adapter.epochs=8"]
STAGES = (TextStage.stage, LanguageStage.stage, TaskStage.stage, Evaluation.stage)
NEEDED = ["madx.pipeline.project", "madx.encoders.load", "transformers.models.modernbert.modeling_modernbert", "pytest"]
# what a step says of itself differs by its seconds
SAYS = ("done.json", "log.jsonl", ".running.json")


def make(stage: str, results: Path) -> None:
    """The first step of this stage of the project in the working directory, and what it needs."""
    torch.set_num_threads(1)
    fit.CHECKPOINT_SECONDS = 0.0  # after every update
    path = Path("recipe.toml")
    planner, session = plan_and_session(read_recipe(path, SETTINGS), path, None, results, None, "cpu")
    plan = planner.plan()
    step = next(step for step in plan.steps if step.stage == stage)
    run_plan(Plan(recipe=plan.recipe, encoder=plan.encoder, steps=tuple(closure([step]))), session, lambda told: None)


def artefacts(results: Path) -> dict[str, bytes]:
    store = results / ".store"
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.is_file() and path.name not in SAYS and path.suffix != ".lock"
    }


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_is_killed_at_any_moment_ends_in_the_same_bytes(project: Path, stage: str) -> None:
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(NEEDED)

    def seconds(results: Path, last: str, at_most: float | None = None) -> float:
        """Until it is made up to this stage, or killed."""
        began = time.monotonic()
        process = forks.Process(target=make, args=(last, results))
        process.start()
        process.join(at_most)
        if process.is_alive():
            process.kill()
            process.join()
        elif at_most is None:
            assert process.exitcode == 0
        return time.monotonic() - began

    below = STAGES.index(stage)
    seconds(project / "first", STAGES[max(0, below - 1)])
    before = project / ("first" if below else "nothing")
    before.mkdir(exist_ok=True)
    shutil.copytree(before, project / "whole")
    whole = seconds(project / "whole", stage)
    wanted = artefacts(project / "whole")
    chance = random.Random(stage)
    killed = 0
    for _ in range(KILLS):
        cut = project / "cut"
        shutil.copytree(before, cut)
        for _ in range(chance.choice((1, 1, 2, 3))):  # a run that goes on can be killed too
            seconds(cut, stage, chance.uniform(0.1, 1) * whole)
            killed += not _finished(cut, stage)
        seconds(cut, stage)
        assert artefacts(cut) == wanted
        shutil.rmtree(cut)
    print(f"{stage}: {KILLS} runs, {killed} kills before their end, {whole:.2f} s each undisturbed")
    assert killed >= KILLS // 2


def _finished(results: Path, stage: str) -> bool:
    return bool(list((results / ".store").glob(f"{stage}-*/done.json")))
