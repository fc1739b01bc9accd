"""A plan: the cells of a recipe's grid, and the steps that they stand on, in an order in which each can be made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

from madx.encoders.reference import EncoderRef
from madx.pipeline.recipe import Recipe
from madx.stages.entropy import Adapts
from madx.stages.evaluate import Evaluation
from madx.stages.imported import ImportedAdapter
from madx.stages.session import Session
from madx.stages.task import TaskStage
from madx.stages.text import TextStage
from madx.step import AdapterStep, Step, closure
from madx.tasks.data import LabelledData


@dataclass(frozen=True)
class Cell:
    """What a method, with a seed, trains for a task and answers a target language with."""

    task: str
    method: str
    target: str
    seed: int
    stage: TaskStage
    language: AdapterStep | None  # the adapter that is swapped in
    test: LabelledData | None  # None: the target has no labels
    weights: Literal["fp32", "int8"] = "fp32"
    adapts: Adapts | None = None
    romanised: bool = False  # whether the target's text is read in Latin letters

    @cached_property
    def evaluation(self) -> Evaluation | None:
        """The step that scores it."""
        if self.test is None:
            return None
        return Evaluation(
            task=self.stage, language=self.language, test=self.test, weights=self.weights, adapts=self.adapts
        )

    @property
    def needs(self) -> tuple[Step, ...]:
        """The steps that make it what it is."""
        if self.evaluation is not None:
            return (self.evaluation,)
        return (self.stage, *([self.language] if self.language else []))


class Failed(NamedTuple):
    """A cell that couldn't be made, and why."""

    cell: Cell
    why: str


@dataclass(frozen=True)
class Plan:
    """`steps`: each after those that it stands on; texts and ready-made adapters first, so that what is wrong with them
    is found before any training.
    """

    recipe: Recipe
    encoder: EncoderRef
    steps: tuple[Step, ...]
    cells: tuple[Cell, ...] = ()
    notes: tuple[str, ...] = ()

    def without(self, failed: Mapping[str, str]) -> tuple[Plan, list[Failed]]:
        """The same without the cells that stand on a failed step, and those. `failed`: why, by a step's name."""
        if not failed:
            return self, []
        whole, lost = [], []
        for cell in self.cells:
            why = [failed[step.name] for step in closure(cell.needs) if step.name in failed]
            if why:
                lost.append(Failed(cell, why[0]))
            else:
                whole.append(cell)
        steps = {step.name for step in closure([step for cell in whole for step in cell.needs])}
        kept = tuple(step for step in self.steps if step.name in steps)
        return replace(self, steps=kept, cells=tuple(whole)), lost


def plan_of(
    recipe: Recipe, encoder: EncoderRef, wanted: Iterable[Step], cells: Sequence[Cell] = (), notes: Sequence[str] = ()
) -> Plan:
    """The closure of some steps."""
    ranks = {TextStage.stage: 0, ImportedAdapter.stage: 1, TaskStage.stage: 3, Evaluation.stage: 4}
    ranked = sorted(closure(wanted), key=lambda step: ranks.get(step.stage, 2))  # between them: what gives adapters
    return Plan(recipe, encoder, tuple(closure(ranked)), tuple(cells), tuple(notes))


def look_at(plan: Plan, session: Session) -> Plan:
    """The same checks as far as they go without a download, for a look at the plan; what was left out is a note."""
    if plan.encoder.is_here:
        check_plan(plan, session)
        return plan
    for step in plan.steps:
        for data in (*step.train, *step.dev) if isinstance(step, TaskStage) else ():
            session.check_data(data)
        if isinstance(step, Evaluation):
            session.check_data(step.test)
    note = f"{plan.encoder.name} is not on this machine: its weights will be downloaded first; no estimate before that"
    return replace(plan, notes=(*plan.notes, note))


def check_plan(plan: Plan, session: Session) -> None:
    """What is still to do, checked before any work. Raises InputError."""
    for step in plan.steps:
        if not session.store.is_done(step.name):
            step.check(session)
