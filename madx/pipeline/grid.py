"""The control grid: what each method trains, over which language adapters, and which it is evaluated with.

Pfeiffer et al. 2020, section 5 (madx and its ablations); Parović et al. 2023 (tlr). A further method is a line here and
a module that its line names: what is trained (methods/), or how a language gets its adapter (stages/).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from madx.adapters.spec import BottleneckSpec
from madx.methods.bottleneck import BottleneckAdapter
from madx.methods.full import Full
from madx.methods.method import Method
from madx.stages.language import Share
from madx.stages.merge import softmax_of_nearness
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


def without_last_layer(planner: Planner, code: str) -> AdapterStep:
    """MAD-X 2.0: nothing in the last layer (Pfeiffer et al. 2021, arXiv 2012.15562)."""
    return planner.language_stage(code).model_copy(update={"method": _cut(planner.recipe.language_adapter.spec)})


def task_adapter_without_last_layer(recipe: Recipe) -> Trained:
    return Trained(_cut(recipe.task_adapter.spec), recipe.task_adapter.learning_rate)


def _cut(spec: BottleneckSpec) -> BottleneckAdapter:
    return BottleneckAdapter(spec=spec.model_copy(update={"leave_out": (*spec.leave_out, -1)}))


def bilingual(planner: Planner, code: str) -> AdapterStep:
    """BAD-X (Parović et al. 2022): one adapter for a pair, on a mixture of the source's text and the target's."""
    source = planner.source_codes[0]
    if code == source:
        return planner.language_adapter(source)
    share = Share(text=planner.text(source), weight=planner.recipe.language_adapter.source_share)
    return planner.language_stage(code).model_copy(update={"mixed_with": (share,)})


def from_source(planner: Planner, code: str) -> AdapterStep:
    """Begun with the source language's adapter, and kept near it where the recipe says how strongly."""
    source = planner.source_codes[0]
    if code == source:
        return planner.language_adapter(source)
    start, near = planner.language_adapter(source), planner.recipe.language_adapter.near
    return planner.language_stage(code).model_copy(update={"start": start, "near": near})


Weigh = Callable[["Planner", str, "list[str]"], "list[float]"]


def merged(weigh: Weigh) -> Callable[[Planner, str], AdapterStep]:
    """For a language without an adapter: the others at hand, weighted; its own, if there is one, is left out."""

    def adapter(planner: Planner, code: str) -> AdapterStep:
        """Other languages' adapters, merged."""
        if code in planner.source_codes:
            return planner.language_adapter(code)
        others = planner.others(code)
        return planner.merged(code, others, weigh(planner, code, others))

    return adapter


def equally(planner: Planner, code: str, others: list[str]) -> list[float]:
    return [1 / len(others)] * len(others)


def by_family(planner: Planner, code: str, others: list[str]) -> list[float]:
    """By nearness in the family tree, as TIPA (arXiv 2601.16629) weighs by typology."""
    return softmax_of_nearness(planner.language(code), [planner.language(other) for other in others])


def half_source(planner: Planner, code: str, others: list[str]) -> list[float]:
    """Half the source language's, half by family: language arithmetic with lambda = 0.5 (arXiv 2404.15737)."""
    near = by_family(planner, code, others)
    return [0.5 * w + 0.5 * (other == planner.source_codes[0]) for other, w in zip(others, near, strict=True)]


def anything(planner: Planner, code: str) -> bool:
    """It needs nothing of the target's own."""
    return True


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
    below: Literal["sources", "sources and targets", "target", "none"]  # "target": the adapter it is evaluated with
    evaluated_with: Literal["target", "source", "none"]  # whose language adapter
    # how a language's adapter is made; for a source language: the one that stage two trains over
    adapter: Callable[[Planner, str], AdapterStep] = own
    possible: Callable[[Planner, str], bool] = has_text  # whether there is what it is made of
    start: Callable[[Planner, str], LanguageStage] | None = None  # what stage two goes on from, made for the target

    @property
    def in_words(self) -> str:
        """For a legend."""
        trained = "every weight" if self.trains is every_weight else "a task adapter"
        below = {"sources": "the source's language adapter", "sources and targets": "all languages' adapters in turn",
                 "target": "the adapter of source and target", "none": "no language adapter"}[self.below]  # fmt: skip
        way = "" if self.adapter is own else f" ({(self.adapter.__doc__ or '').splitlines()[0].rstrip('.')})"
        used = {"target": f"with the target's{way}", "source": "with the source's", "none": "with none"}
        start = "" if self.start is None else "; begun with the encoder after masked LM on the target's text"
        return f"trains {trained} over {below}; evaluated {used[self.evaluated_with]}{start}"

    @property
    def needs_text(self) -> bool:
        """Of the target."""
        return (self.evaluated_with == "target" and self.possible is not anything) or self.start is not None


GRID: dict[str, Row] = {
    "madx": Row(task_adapter, "sources", "target"),
    "madx-aligned": Row(task_adapter, "sources", "target", adapter=aligned, possible=has_parallel_text),
    "madx-2": Row(task_adapter_without_last_layer, "sources", "target", adapter=without_last_layer),
    "tlr": Row(task_adapter, "sources and targets", "target"),
    "bad-x": Row(task_adapter, "target", "target", adapter=bilingual),
    "madx-from-source": Row(task_adapter, "sources", "target", adapter=from_source),
    "merge-mean": Row(task_adapter, "sources", "target", adapter=merged(equally), possible=anything),
    "merge-family": Row(task_adapter, "sources", "target", adapter=merged(by_family), possible=anything),
    "merge-source": Row(task_adapter, "sources", "target", adapter=merged(half_source), possible=anything),
    "source-adapter": Row(task_adapter, "sources", "source"),
    "no-language-adapter": Row(task_adapter, "sources", "none"),
    "task-only": Row(task_adapter, "none", "none"),
    "full": Row(every_weight, "none", "none"),
    "full-target-mlm": Row(every_weight, "none", "none", start=masked_lm_of_every_weight),
}
