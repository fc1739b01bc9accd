"""The control grid: what each method trains, over which language adapters, and which it is evaluated with.

Pfeiffer et al. 2020, section 5 (madx and its ablations); Parović et al. 2023 (tlr). A further method is a line here and
what its line names: what is trained (trains.py, methods/), or how a language gets its adapter (ways.py, merges.py,
stages/).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from madx.pipeline import merges, trains, ways
from madx.pipeline.trains import Trained
from madx.stages.entropy import Adapts, EntropyMinimisation, ProbabilityMean
from madx.step import AdapterStep

if TYPE_CHECKING:
    from madx.pipeline.planner import Planner
    from madx.pipeline.recipe import Recipe
    from madx.stages.language import LanguageStage
    from madx.stages.task import TaskStage


def by_entropy(recipe: Recipe) -> EntropyMinimisation:
    """The others' outputs, mixed with weights that are found for each sentence by entropy."""
    return EntropyMinimisation(steps=recipe.evaluation.entropy_steps)


def by_probability(recipe: Recipe) -> ProbabilityMean:
    """The others' by turns, the probabilities of the answers averaged."""
    return ProbabilityMean()


@dataclass(frozen=True)
class Row:
    """One method. `below`: the frozen language adapters that stage two trains over."""

    trains: Callable[[Recipe], Trained]
    below: Literal["sources", "sources and targets", "target", "none"]  # "target": the adapter it is evaluated with
    evaluated_with: Literal["target", "source", "none"]  # whose language adapter
    # how a language's adapter is made; for a source language: the one that stage two trains over
    adapter: Callable[[Planner, str], AdapterStep] = ways.own
    possible: Callable[[Planner, str], bool] = ways.has_text  # whether there is what it is made of
    adapts: Callable[[Recipe], Adapts | None] = lambda recipe: None  # what is done with a mixture at evaluation
    # a language's adapter out of what stage two has trained, in place of `adapter`
    out_of: Callable[[TaskStage, str], AdapterStep] | None = None
    start: Callable[[Planner, str], LanguageStage] | None = None  # what stage two goes on from, made for the target

    @property
    def in_words(self) -> str:
        """For a legend."""
        trained = _words(self.trains)
        below = {"sources": "the source's language adapter", "sources and targets": "all languages' adapters in turn",
                 "target": "the adapter of source and target", "none": "no language adapter"}[self.below]  # fmt: skip
        plain = self.adapter is ways.own and self.out_of is None
        told = self.adapts if self.adapts.__doc__ else self.out_of or self.adapter
        way = "" if plain else f" ({(told.__doc__ or '').splitlines()[0].rstrip('.')})"
        used = {"target": f"with the target's{way}", "source": "with the source's", "none": "with none"}
        start = "" if self.start is None else "; begun with the encoder after masked LM on the target's text"
        return f"trains {trained} over {below}; evaluated {used[self.evaluated_with]}{start}"

    @property
    def needs_targets(self) -> bool:
        """Whether stage two is another one for other targets."""
        return self.start is not None or self.below in ("sources and targets", "target")

    @property
    def needs_text(self) -> bool:
        """Of the target."""
        return (self.evaluated_with == "target" and self.possible is not ways.anything) or self.start is not None


def _words(trains: Callable[[Recipe], Trained]) -> str:
    first = (trains.__doc__ or "").splitlines()[0].rstrip(".")
    return first[0].lower() + first[1:]


GRID: dict[str, Row] = {
    "madx": Row(trains.task_adapter, "sources", "target"),
    "madx-aligned": Row(
        trains.task_adapter, "sources", "target", adapter=ways.aligned, possible=ways.has_parallel_text
    ),
    "madx-2": Row(trains.task_adapter_without_last_layer, "sources", "target", adapter=ways.without_last_layer),
    "madx-shared": Row(trains.task_adapter, "sources", "target", adapter=ways.layers_share),
    "madx-lily": Row(trains.task_adapter, "sources", "target", adapter=ways.across_layers),
    "madx-kl": Row(trains.task_adapter, "sources", "target", adapter=ways.near_frozen),
    "madx-federated": Row(trains.task_adapter, "sources", "target", adapter=ways.federated),
    "madx-vocabulary": Row(trains.task_adapter, "sources", "target", adapter=ways.with_vocabulary),
    "madx-domain": Row(trains.task_adapter, "sources", "target", adapter=ways.with_domain),
    "tlr": Row(trains.task_adapter, "sources and targets", "target"),
    "bad-x": Row(trains.task_adapter, "target", "target", adapter=ways.bilingual),
    "madx-from-source": Row(trains.task_adapter, "sources", "target", adapter=ways.from_source),
    "madx-from-family": Row(trains.task_adapter, "sources", "target", adapter=ways.from_family),
    "madx-from-generated": Row(trains.task_adapter, "sources", "target", adapter=ways.from_generated),
    "hierarchical": Row(trains.task_adapter, "sources", "target", adapter=ways.branch, possible=ways.has_relatives),
    "generated": Row(trains.task_adapter, "sources", "target", adapter=ways.generated, possible=ways.anything),
    "arithmetic": Row(trains.task_adapter, "sources", "target", adapter=merges.arithmetic),
    "merge-mean": Row(
        trains.task_adapter, "sources", "target", adapter=merges.merged(merges.equally), possible=ways.anything
    ),
    "merge-family": Row(
        trains.task_adapter, "sources", "target", adapter=merges.merged(merges.by_family), possible=ways.anything
    ),
    "merge-typology": Row(
        trains.task_adapter, "sources", "target", adapter=merges.merged(merges.by_typology), possible=ways.anything
    ),
    "merge-source": Row(
        trains.task_adapter, "sources", "target", adapter=merges.merged(merges.half_source), possible=ways.anything
    ),
    "ensemble": Row(trains.task_adapter, "sources", "target", adapter=merges.side_by_side, possible=ways.anything),
    "emea": Row(
        trains.task_adapter, "sources", "target", adapter=merges.side_by_side, possible=ways.anything, adapts=by_entropy
    ),
    "ensemble-logits": Row(
        trains.task_adapter,
        "sources",
        "target",
        adapter=merges.side_by_side,
        possible=ways.anything,
        adapts=by_probability,
    ),
    "auto": Row(trains.task_adapter, "sources", "target", adapter=merges.automatic, possible=ways.anything),
    "hyper-x": Row(trains.hyper_network, "none", "target", out_of=ways.out_of_network),
    "lt-sft": Row(trains.sparse_change, "sources", "target", adapter=ways.sparse_change),
    "madx-lora": Row(trains.lora, "sources", "target"),
    "fusion-sources": Row(trains.fusion_of_sources, "sources", "target"),
    "fusion-tasks": Row(trains.fusion_of_tasks, "sources", "target"),
    "fusion-languages": Row(trains.fusion_of_languages, "none", "none"),
    "hyperformer": Row(trains.made_for_tasks, "sources", "target"),
    "madx-drop": Row(trains.robust_adapter, "sources", "target"),
    "madx-sparse": Row(trains.sparse_adapter, "sources", "target"),
    "madx-distilled": Row(trains.distilled, "sources", "target"),
    "madx-compacter": Row(trains.compacter, "sources", "target"),
    "madx-compacter-plus": Row(trains.compacter_plus, "sources", "target"),
    "distilled-language": Row(trains.task_adapter, "sources", "target", adapter=ways.distilled),
    "lora-language": Row(trains.task_adapter, "sources", "target", adapter=ways.lora),
    "source-adapter": Row(trains.task_adapter, "sources", "source"),
    "no-language-adapter": Row(trains.task_adapter, "sources", "none"),
    "task-only": Row(trains.task_adapter, "none", "none"),
    "lora": Row(trains.lora, "none", "none"),
    "ia3": Row(trains.ia3, "none", "none"),
    "prefix": Row(trains.prefix, "none", "none"),
    "prompt": Row(trains.prompt, "none", "none"),
    "unipelt": Row(trains.unipelt, "none", "none"),
    "bitfit": Row(trains.biases, "none", "none"),
    "full": Row(trains.every_weight, "none", "none"),
    "full-target-mlm": Row(trains.every_weight, "none", "none", start=ways.masked_lm_of_every_weight),
}
