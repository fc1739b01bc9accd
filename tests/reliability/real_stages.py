"""A stage of a real run on a tiny encoder, by itself, in a process forked from one that has imported what it needs."""

import multiprocessing
from multiprocessing.context import ForkServerContext
from pathlib import Path

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

SETTINGS = ['methods=["madx"]', "seeds=[1]", "language_adapter.steps=40", "task_adapter.epochs=8"]
STAGES = (TextStage.stage, LanguageStage.stage, TaskStage.stage, Evaluation.stage)
NEEDED = [
    "madx.pipeline.whole", "madx.encoders.load", "transformers.models.modernbert.modeling_modernbert", "madx.cli",
    "madx.tasks.tagging", "seqeval.metrics", "pytest", "faulty_disk",
]  # fmt: skip
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


def forks() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(NEEDED)
    return context
