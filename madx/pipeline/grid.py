"""The control grid: what each method trains, over which language adapters, and which it is evaluated with.

Pfeiffer et al. 2020, section 5 (madx and its ablations); Parović et al. 2023 (tlr). A further method is a line here and
a module that its line names: what is trained (methods/), or how a language gets its adapter (stages/).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from madx.adapters.spec import BottleneckSpec
from madx.config import InputError
from madx.methods.beside import Ia3, Lora
from madx.methods.bitfit import BitFit
from madx.methods.bottleneck import BottleneckAdapter
from madx.methods.full import Full
from madx.methods.fused import FusedAdapters
from madx.methods.hyper import HyperX
from madx.methods.method import Method
from madx.methods.prefix import PrefixTuning
from madx.methods.prompt import PromptTuning
from madx.methods.pruned import PrunedAdapter
from madx.methods.robust import RobustAdapter
from madx.methods.sparse import LotteryTicket, SparseFineTuning
from madx.methods.unipelt import UniPelt
from madx.pipeline import ways
from madx.stages.distillation import Distillation
from madx.stages.entropy import Adapts, EntropyMinimisation, ProbabilityMean
from madx.step import AdapterStep, Step

if TYPE_CHECKING:
    from madx.pipeline.planner import Planner
    from madx.pipeline.recipe import Recipe
    from madx.stages.language import LanguageStage
    from madx.stages.task import TaskStage
    from madx.tasks.data import LabelledData


@dataclass(frozen=True)
class Trained:
    """What stage two trains, as a recipe has it."""

    method: Method
    learning_rate: float
    after: Callable[[Planner, TaskStage], TaskStage] = lambda planner, first: first  # a training that others prepare


def task_adapter(recipe: Recipe) -> Trained:
    return Trained(BottleneckAdapter(spec=recipe.task_adapter.spec), recipe.task_adapter.learning_rate)


def every_weight(recipe: Recipe) -> Trained:
    return Trained(Full(), recipe.full.learning_rate)


def sparse_change(recipe: Recipe) -> Trained:
    """LT-SFT (Ansell et al. 2022): the entries that a first training moved farthest, trained from the start again."""

    def second(planner: Planner, first: TaskStage) -> TaskStage:
        return first.model_copy(update={"method": SparseFineTuning(ticket=first)})

    first = LotteryTicket(share=recipe.sparse.task_share, l1=0.0, norms=True)
    return Trained(first, recipe.sparse.learning_rate, second)


def lora(recipe: Recipe) -> Trained:
    settings = recipe.lora
    method = Lora(rank=settings.rank, alpha=settings.alpha, matrices=settings.matrices)
    return Trained(method, settings.learning_rate)


def robust_adapter(recipe: Recipe) -> Trained:
    """AdapterDrop: fit to have its lower layers dropped."""
    return Trained(RobustAdapter(spec=recipe.task_adapter.spec), recipe.task_adapter.learning_rate)


def fusion_of_sources(recipe: Recipe) -> Trained:
    """AdapterFusion of each source language's own task adapter, trained on all sources."""

    def fused(planner: Planner, first: TaskStage) -> TaskStage:
        if len(first.train) < 2:
            raise InputError('fusion-sources fuses task adapters of several source languages: source = ["eng", ...]')
        alone = [
            first.model_copy(update={"train": (data,), "dev": _dev_of(first, data.language), "below": (below,)})
            for data, below in zip(first.train, first.below, strict=True)
        ]
        return _fused(planner, first, alone)

    return replace(task_adapter(recipe), after=fused)


def _dev_of(first: TaskStage, language: str) -> tuple[LabelledData, ...]:
    return tuple(data for data in first.dev if data.language == language)


def fusion_of_tasks(recipe: Recipe) -> Trained:
    """AdapterFusion of the adapters of all the recipe's tasks, trained on each task by itself."""

    def fused(planner: Planner, first: TaskStage) -> TaskStage:
        if len(recipe.tasks) < 2:
            raise InputError('fusion-tasks fuses adapters of several tasks: tasks = ["NAME", ...]')
        code = planner.source_codes[0]
        return _fused(planner, first, [planner.cell(task, "madx", code, first.seed).stage
                                       for task in map(planner.task, recipe.tasks)])  # fmt: skip

    return replace(task_adapter(recipe), after=fused)


def hyper_network(recipe: Recipe) -> Trained:
    """Hyper-X (Üstün et al. 2022): on labels of the sources and text of all the recipe's languages in turn."""

    def on_texts_too(planner: Planner, first: TaskStage) -> TaskStage:
        return first.model_copy(update={"method": planner.joint.hyper, "beside": planner.joint.texts_beside})

    return Trained(HyperX(spec=recipe.task_adapter.spec), recipe.task_adapter.learning_rate, on_texts_too)


def fusion_of_languages(recipe: Recipe) -> Trained:
    """AdapterFusion of the adapters of the recipe's languages, trained on the task."""

    def fused(planner: Planner, first: TaskStage) -> TaskStage:
        codes = [planner.source_codes[0], *planner.others(planner.source_codes[0])]
        return _fused(planner, first, [planner.language_adapter(code) for code in codes])

    return replace(task_adapter(recipe), after=fused)


def _fused(planner: Planner, first: TaskStage, over: Sequence[Step]) -> TaskStage:
    return first.model_copy(
        update={
            "method": FusedAdapters(over=tuple(over)), "learning_rate": planner.recipe.fusion.learning_rate,
            "unfreeze_every": 0,
        }
    )  # fmt: skip


def compacter(recipe: Recipe) -> Trained:
    """Mahabadi et al. 2021: in both places, before the layer's norm, as AdapterHub's `compacter`."""
    spec = _compacter(recipe).model_copy(update={"placement": ("attention", "ffn"), "original_ln_before": False})
    return Trained(BottleneckAdapter(spec=spec), recipe.compacter.learning_rate)


def compacter_plus(recipe: Recipe) -> Trained:
    """After the feed-forward block alone, as AdapterHub's `compacter++`."""
    return Trained(BottleneckAdapter(spec=_compacter(recipe)), recipe.compacter.learning_rate)


def _compacter(recipe: Recipe) -> BottleneckSpec:
    settings = recipe.compacter
    return BottleneckSpec(reduction_factor=settings.reduction_factor, phm=settings.products, non_linearity="gelu")


def sparse_adapter(recipe: Recipe) -> Trained:
    """SparseAdapter (He et al. 2022): pruned before it is trained."""
    settings = recipe.pruning
    method = PrunedAdapter(spec=recipe.task_adapter.spec, sparsity=settings.sparsity, score=settings.score)
    return Trained(method, recipe.task_adapter.learning_rate)


def distilled(recipe: Recipe) -> Trained:
    """A smaller adapter, taught by madx's (stages/distillation.py)."""
    settings = recipe.distillation
    small = {"reduction_factor": settings.reduction_factor, "leave_out": settings.leave_out}

    def taught(planner: Planner, first: TaskStage) -> TaskStage:
        task = planner.task(first.subject)
        teacher = planner.cell(task, "madx", planner.source_codes[0], first.seed).stage
        loss = Distillation(**settings.model_dump(include=set(Distillation.model_fields)))
        return first.model_copy(update={"teacher": teacher, "distillation": loss})

    spec = recipe.task_adapter.spec.model_copy(update=small)
    return Trained(BottleneckAdapter(spec=spec), recipe.task_adapter.learning_rate, taught)


def ia3(recipe: Recipe) -> Trained:
    return Trained(Ia3(), recipe.ia3.learning_rate)


def prefix(recipe: Recipe) -> Trained:
    settings = recipe.prefix
    method = PrefixTuning(length=settings.length, bottleneck_size=settings.bottleneck_size)
    return Trained(method, settings.learning_rate)


def prompt(recipe: Recipe) -> Trained:
    return Trained(PromptTuning(length=recipe.prompt.length), recipe.prompt.learning_rate)


def unipelt(recipe: Recipe) -> Trained:
    settings = recipe.unipelt
    return Trained(UniPelt(**settings.model_dump(exclude={"learning_rate"})), settings.learning_rate)


def biases(recipe: Recipe) -> Trained:
    return Trained(BitFit(), recipe.bitfit.learning_rate)


def task_adapter_without_last_layer(recipe: Recipe) -> Trained:
    return Trained(ways.cut(recipe.task_adapter.spec), recipe.task_adapter.learning_rate)


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
        what: dict[Callable[[Recipe], Trained], str] = {
            every_weight: "every weight", sparse_change: "a sparse change of the encoder", lora: "a LoRA",
            ia3: "IA3's factors", biases: "the encoder's biases", prefix: "a prefix", prompt: "a prompt",
            unipelt: "a gated LoRA, prefix and adapter",
            compacter: "a Compacter", compacter_plus: "a Compacter++",
            fusion_of_sources: "a fusion of the sources' task adapters",
            fusion_of_tasks: "a fusion of the tasks' adapters", fusion_of_languages: "a fusion of language adapters",
            hyper_network: "a network that gives adapters",
            robust_adapter: "a task adapter with lower layers dropped at random",
            distilled: "a small task adapter, taught by madx's,",
            sparse_adapter: "a task adapter pruned before training",
        }  # fmt: skip
        trained = what.get(self.trains, "a task adapter")
        below = {"sources": "the source's language adapter", "sources and targets": "all languages' adapters in turn",
                 "target": "the adapter of source and target", "none": "no language adapter"}[self.below]  # fmt: skip
        told = self.adapts.__doc__ or (self.out_of or self.adapter).__doc__ or ""
        plain = self.adapter is ways.own and self.out_of is None
        way = "" if plain else f" ({told.splitlines()[0].rstrip('.')})"
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


GRID: dict[str, Row] = {
    "madx": Row(task_adapter, "sources", "target"),
    "madx-aligned": Row(task_adapter, "sources", "target", adapter=ways.aligned, possible=ways.has_parallel_text),
    "madx-2": Row(task_adapter_without_last_layer, "sources", "target", adapter=ways.without_last_layer),
    "madx-shared": Row(task_adapter, "sources", "target", adapter=ways.layers_share),
    "madx-lily": Row(task_adapter, "sources", "target", adapter=ways.across_layers),
    "madx-kl": Row(task_adapter, "sources", "target", adapter=ways.near_frozen),
    "madx-vocabulary": Row(task_adapter, "sources", "target", adapter=ways.with_vocabulary),
    "madx-domain": Row(task_adapter, "sources", "target", adapter=ways.with_domain),
    "tlr": Row(task_adapter, "sources and targets", "target"),
    "bad-x": Row(task_adapter, "target", "target", adapter=ways.bilingual),
    "madx-from-source": Row(task_adapter, "sources", "target", adapter=ways.from_source),
    "madx-from-family": Row(task_adapter, "sources", "target", adapter=ways.from_family),
    "madx-from-generated": Row(task_adapter, "sources", "target", adapter=ways.from_generated),
    "hierarchical": Row(task_adapter, "sources", "target", adapter=ways.branch, possible=ways.has_relatives),
    "generated": Row(task_adapter, "sources", "target", adapter=ways.generated, possible=ways.anything),
    "arithmetic": Row(task_adapter, "sources", "target", adapter=ways.arithmetic),
    "merge-mean": Row(task_adapter, "sources", "target", adapter=ways.merged(ways.equally), possible=ways.anything),
    "merge-family": Row(task_adapter, "sources", "target", adapter=ways.merged(ways.by_family), possible=ways.anything),
    "merge-typology": Row(
        task_adapter, "sources", "target", adapter=ways.merged(ways.by_typology), possible=ways.anything
    ),
    "merge-source": Row(
        task_adapter, "sources", "target", adapter=ways.merged(ways.half_source), possible=ways.anything
    ),
    "ensemble": Row(task_adapter, "sources", "target", adapter=ways.side_by_side, possible=ways.anything),
    "emea": Row(
        task_adapter, "sources", "target", adapter=ways.side_by_side, possible=ways.anything, adapts=by_entropy
    ),
    "ensemble-logits": Row(
        task_adapter, "sources", "target", adapter=ways.side_by_side, possible=ways.anything, adapts=by_probability
    ),
    "auto": Row(task_adapter, "sources", "target", adapter=ways.automatic, possible=ways.anything),
    "hyper-x": Row(hyper_network, "none", "target", out_of=ways.out_of_network),
    "lt-sft": Row(sparse_change, "sources", "target", adapter=ways.sparse_change),
    "madx-lora": Row(lora, "sources", "target"),
    "fusion-sources": Row(fusion_of_sources, "sources", "target"),
    "fusion-tasks": Row(fusion_of_tasks, "sources", "target"),
    "fusion-languages": Row(fusion_of_languages, "none", "none"),
    "madx-drop": Row(robust_adapter, "sources", "target"),
    "madx-sparse": Row(sparse_adapter, "sources", "target"),
    "madx-distilled": Row(distilled, "sources", "target"),
    "madx-compacter": Row(compacter, "sources", "target"),
    "madx-compacter-plus": Row(compacter_plus, "sources", "target"),
    "lora-language": Row(task_adapter, "sources", "target", adapter=ways.lora),
    "source-adapter": Row(task_adapter, "sources", "source"),
    "no-language-adapter": Row(task_adapter, "sources", "none"),
    "task-only": Row(task_adapter, "none", "none"),
    "lora": Row(lora, "none", "none"),
    "ia3": Row(ia3, "none", "none"),
    "prefix": Row(prefix, "none", "none"),
    "prompt": Row(prompt, "none", "none"),
    "unipelt": Row(unipelt, "none", "none"),
    "bitfit": Row(biases, "none", "none"),
    "full": Row(every_weight, "none", "none"),
    "full-target-mlm": Row(every_weight, "none", "none", start=ways.masked_lm_of_every_weight),
}
