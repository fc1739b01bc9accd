"""The quick start's plan, as madx's planner makes it, for the peer to execute: texts, labels, trainings, evaluations.

python benchmarks/quickstart_plan.py PLAN.json ENCODER     in `.venv`; ENCODER: `madx models export mini`'s
"""

import json
import sys
from pathlib import Path
from typing import Any

from madx.catalog.find import Catalogue
from madx.corpora.clean import Cleaner, is_held_out
from madx.corpora.documents import documents
from madx.corpora.prepare import HELD_OUT_SHARE
from madx.pipeline.planner import Planner
from madx.pipeline.project import QUICKSTART
from madx.pipeline.recipe import load_recipe
from madx.stages.evaluate import Evaluation
from madx.stages.language import LanguageStage
from madx.stages.task import TaskStage
from madx.tasks.data import LabelledData


def language(stage: LanguageStage) -> dict[str, Any]:
    cleaner, corpus, steps = Cleaner(), stage.text.corpus, stage.schedule.steps
    cleaned = [cleaner(document) for source in corpus.sources for document in documents(source, None)]
    lines = [text for text in cleaned if text is not None]
    aside = [is_held_out(text, HELD_OUT_SHARE) for text in lines]
    return {
        "code": stage.subject,
        "train": [text for text, out in zip(lines, aside, strict=True) if not out],
        "held_out": [text for text, out in zip(lines, aside, strict=True) if out],
        "block_size": corpus.block_size,
        "batch_size": stage.batch_tokens // corpus.block_size,
        **stage.schedule.model_dump(include={"steps", "learning_rate", "warm_up"}),
        "evaluate_at": sorted({0, *(steps * i // 4 for i in (1, 2, 3)), steps}),  # LanguageStage.run
        "adapter": {
            "reduction_factor": stage.method.spec.reduction_factor,
            "inv_adapter_reduction_factor": stage.method.spec.invertible.reduction_factor,
        },
        "seed": stage.seed,
    }


def rows(data: LabelledData) -> list[list[list[str]]]:
    """Words and labels of each sentence."""
    return [[list(example.inputs), list(example.gold)] for example in data.load()]


def training(name: str, stage: TaskStage) -> dict[str, Any]:
    return {
        "name": name,
        "task": stage.subject,
        "labels": list(stage.train[0].task.labels),
        "source": stage.train[0].language,
        "train": rows(stage.train[0]),
        "dev": rows(stage.dev[0]),
        "below": [adapter.subject for adapter in stage.below],
        "adapter": {"reduction_factor": stage.method.spec.reduction_factor},
        **stage.model_dump(include={"cycle", "epochs", "batch_size", "learning_rate", "warm_up", "max_length", "seed"}),
        "evaluations": [],
    }


def quickstart_plan(base: Path) -> dict[str, Any]:
    recipe = load_recipe(QUICKSTART / "recipe.toml")
    plan = Planner(recipe, Catalogue(QUICKSTART), QUICKSTART, QUICKSTART).plan()
    methods: dict[str, list[str]] = {}  # that an evaluation counts for
    for cell in plan.cells:
        methods.setdefault(cell.evaluation.name, []).append(cell.method)
    trainings = {step.name: training(step.name, step) for step in plan.steps if isinstance(step, TaskStage)}
    for step in plan.steps:
        if isinstance(step, Evaluation):
            trainings[step.task.name]["evaluations"].append(
                {
                    "methods": methods[step.name],
                    "target": step.test.language,
                    "over": step.language.subject if step.language else None,
                    "test": rows(step.test),
                }
            )
    return {
        "base": str(base),
        "languages": [language(step) for step in plan.steps if isinstance(step, LanguageStage)],
        "trainings": list(trainings.values()),
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(quickstart_plan(Path(sys.argv[2]))))
