"""The control grid: what each method trains, over which language adapters, and which it is evaluated with.

Pfeiffer et al. 2020, section 5 (madx and its ablations); Parović et al. 2023 (tlr). A further method is a line here and
a module that its line names: what is trained (methods/), or how a language gets its adapter (stages/).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from madx.methods.bottleneck import BottleneckAdapter
from madx.methods.full import Full
from madx.methods.method import Method
from madx.stages.step import AdapterStep

if TYPE_CHECKING:
    from madx.pipeline.planner import Planner
    from madx.pipeline.recipe import Recipe
    from madx.stages.language import LanguageStage


@dataclass(frozen=True)
class Trained:
    """What stage two trains, as a recipe has it."""

    method: Method
    learning_rate: float


def task_adapter(recipe: Recipe) -> Trained:
    return Trained(BottleneckAdapter(spec=recipe.task_adapter.spec), recipe.task_adapter.learning_rate)


def every_weight(recipe: Recipe) -> Trained:
    return Trained(Full(), recipe.full.learning_rate)


def own(planner: Planner, code: str) -> AdapterStep:
    """Stage one on the language's text; or an adapter that the recipe names, ready-made."""
    return planner.language_adapter(code)


def aligned(planner: Planner, code: str) -> AdapterStep:
    """The same, drawn to the source language's adapter on parallel text (stages/alignment.py)."""
    return planner.language_adapter(code) if code in planner.source_codes else planner.aligned_adapter(code)


def has_text(planner: Planner, code: str) -> bool:
    return planner.has_adapter_or_text(code)


def has_parallel_text(planner: Planner, code: str) -> bool:
    return planner.sources.parallel(planner.source_codes[0], code) is not None


def masked_lm_of_every_weight(planner: Planner, code: str) -> LanguageStage:
    """Not an adapter: the encoder itself, after masked language modelling on the language's text."""
    return planner.language_encoder(code)


@dataclass(frozen=True)
class Row:
    """One method. `below`: the frozen language adapters that stage two trains over."""

    trains: Callable[[Recipe], Trained]
    below: Literal["sources", "sources and targets", "none"]
    evaluated_with: Literal["target", "source", "none"]  # whose language adapter
    adapter: Callable[[Planner, str], AdapterStep] = own  # how the evaluated language's is made
    possible: Callable[[Planner, str], bool] = has_text  # whether there is what that is made of
    start: Callable[[Planner, str], LanguageStage] | None = None  # what stage two goes on from, made for the target

    @property
    def needs_text(self) -> bool:
        """Of the target."""
        return self.evaluated_with == "target" or self.start is not None


GRID: dict[str, Row] = {
    "madx": Row(task_adapter, "sources", "target"),
    "madx-aligned": Row(task_adapter, "sources", "target", adapter=aligned, possible=has_parallel_text),
    "tlr": Row(task_adapter, "sources and targets", "target"),
    "source-adapter": Row(task_adapter, "sources", "source"),
    "no-language-adapter": Row(task_adapter, "sources", "none"),
    "task-only": Row(task_adapter, "none", "none"),
    "full": Row(every_weight, "none", "none"),
    "full-target-mlm": Row(every_weight, "none", "none", start=masked_lm_of_every_weight),
}
