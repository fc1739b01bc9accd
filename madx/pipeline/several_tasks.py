"""Labels of the source languages, of one task and of all of a recipe's tasks together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from madx.catalog.task import TaskSpec
from madx.config import InputError
from madx.methods.hyperformer import HyperFormer
from madx.stages.several_tasks import OneOfTasks, TasksStage
from madx.stages.task import TaskStage
from madx.tasks.data import LabelledData

if TYPE_CHECKING:
    from madx.pipeline.planner import Planner

Labels = tuple[LabelledData, ...]


def labels_of_sources(planner: Planner, task: TaskSpec) -> tuple[Labels, Labels]:
    """Training data, of each, and dev sets. Raises InputError."""
    train = [planner.labelled(task, code, "train") for code in planner.source_codes]
    for code, data in zip(planner.source_codes, train, strict=True):
        if data is None:
            raise InputError(f"task '{task.name}' has no training data for the source language '{code}'")
    dev = [planner.labelled(task, code, "dev") for code in planner.source_codes]
    return tuple(data for data in train if data), tuple(data for data in dev if data)


def tasks_together(planner: Planner, first: TaskStage, method: HyperFormer) -> TasksStage:
    """Joint training of all the recipe's tasks; `first`: one of them, as it would be trained alone."""
    recipe = planner.recipe
    for name, own in recipe.task.items():
        if own.epochs is not None:
            planner.note(f"hyperformer: all tasks have task_adapter.epochs; task.{name}.epochs is not looked at")
    return TasksStage(
        encoder=first.encoder,
        tasks=tuple(_one(planner, planner.task(name)) for name in recipe.tasks),
        method=method,
        below=first.below,
        temperature=recipe.hyperformer.temperature,
        source_temperature=first.temperature,
        epochs=recipe.task_adapter.epochs,
        learning_rate=first.learning_rate,
        warm_up=first.warm_up,
        checkpoint=first.checkpoint,
        average=first.average,
        seed=first.seed,
    )


def _one(planner: Planner, task: TaskSpec) -> OneOfTasks:
    settings, (train, dev) = planner.recipe.stage_two(task.name), labels_of_sources(planner, task)
    return OneOfTasks(train=train, dev=dev, batch_size=settings.batch_size, max_length=settings.max_length)
