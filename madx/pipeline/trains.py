"""What stage two trains, by method: what the rows of the control grid (grid.py) name.

The first line of each says it in words, for a report's legend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from madx.adapters.spec import BottleneckSpec
from madx.config import InputError
from madx.methods.beside import Ia3, Lora
from madx.methods.bitfit import BitFit
from madx.methods.bottleneck import BottleneckAdapter
from madx.methods.full import Full
from madx.methods.fused import FusedAdapters
from madx.methods.hyper import HyperX
from madx.methods.hyperformer import HyperFormer
from madx.methods.method import Method
from madx.methods.prefix import PrefixTuning
from madx.methods.prompt import PromptTuning
from madx.methods.pruned import PrunedAdapter
from madx.methods.robust import RobustAdapter
from madx.methods.sparse import LotteryTicket, SparseFineTuning
from madx.methods.unipelt import UniPelt
from madx.pipeline import ways
from madx.pipeline.several_tasks import tasks_together
from madx.stages.distillation import Distillation
from madx.stages.several_tasks import HandedOut
from madx.step import Step

if TYPE_CHECKING:
    from madx.pipeline.planner import Planner
    from madx.pipeline.recipe import Recipe
    from madx.stages.task import TaskStage
    from madx.tasks.data import LabelledData


@dataclass(frozen=True)
class Trained:
    """What stage two trains, as a recipe has it."""

    method: Method
    learning_rate: float
    after: Callable[[Planner, TaskStage], TaskStage] = lambda planner, first: first  # a training that others prepare


def task_adapter(recipe: Recipe) -> Trained:
    """A task adapter."""
    return Trained(BottleneckAdapter(spec=recipe.task_adapter.spec), recipe.task_adapter.learning_rate)


def every_weight(recipe: Recipe) -> Trained:
    """Every weight."""
    return Trained(Full(), recipe.full.learning_rate)


def sparse_change(recipe: Recipe) -> Trained:
    """A sparse change of the encoder.

    LT-SFT (Ansell et al. 2022): the entries that a first training moved farthest, trained from the start again.
    """

    def second(planner: Planner, first: TaskStage) -> TaskStage:
        return first.model_copy(update={"method": SparseFineTuning(ticket=first)})

    first = LotteryTicket(share=recipe.sparse.task_share, l1=0.0, norms=True)
    return Trained(first, recipe.sparse.learning_rate, second)


def lora(recipe: Recipe) -> Trained:
    """A LoRA."""
    settings = recipe.lora
    method = Lora(rank=settings.rank, alpha=settings.alpha, matrices=settings.matrices)
    return Trained(method, settings.learning_rate)


def robust_adapter(recipe: Recipe) -> Trained:
    """A task adapter with lower layers dropped at random.

    AdapterDrop: fit to have its lower layers dropped.
    """
    return Trained(RobustAdapter(spec=recipe.task_adapter.spec), recipe.task_adapter.learning_rate)


def fusion_of_sources(recipe: Recipe) -> Trained:
    """A fusion of the sources' task adapters.

    AdapterFusion of each source language's own task adapter, trained on all sources.
    """

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
    """A fusion of the tasks' adapters.

    AdapterFusion of the adapters of all the recipe's tasks, trained on each task by itself.
    """

    def fused(planner: Planner, first: TaskStage) -> TaskStage:
        if len(recipe.tasks) < 2:
            raise InputError('fusion-tasks fuses adapters of several tasks: tasks = ["NAME", ...]')
        code = planner.source_codes[0]
        return _fused(planner, first, [planner.cell(task, "madx", code, first.seed).stage
                                       for task in map(planner.task, recipe.tasks)])  # fmt: skip

    return replace(task_adapter(recipe), after=fused)


def hyper_network(recipe: Recipe) -> Trained:
    """A network that gives adapters.

    Hyper-X (Üstün et al. 2022): on labels of the sources and text of all the recipe's languages in turn.
    """

    def on_texts_too(planner: Planner, first: TaskStage) -> TaskStage:
        return first.model_copy(update={"method": planner.joint.hyper, "beside": planner.joint.texts_beside})

    return Trained(HyperX(spec=recipe.task_adapter.spec), recipe.task_adapter.learning_rate, on_texts_too)


def made_for_tasks(recipe: Recipe) -> Trained:
    """An adapter that a network of all tasks makes.

    HyperFormer++ (Mahabadi et al. 2021): after attention and feed-forward, before the layer's norm, as the paper's.
    """
    settings, places = recipe.hyperformer, {"placement": ("attention", "ffn"), "original_ln_before": False}
    size = {"reduction_factor": settings.reduction_factor}
    method = HyperFormer(spec=recipe.task_adapter.spec.model_copy(update={**places, **size}))

    def handed_out(planner: Planner, first: TaskStage) -> TaskStage:
        update = {"epochs": recipe.task_adapter.epochs, "lower_layers": "run", "unfreeze_every": 0}
        return HandedOut.of(first.model_copy(update=update), tasks_together(planner, first, method))

    return Trained(method, settings.learning_rate, handed_out)


def fusion_of_languages(recipe: Recipe) -> Trained:
    """A fusion of language adapters.

    AdapterFusion of the adapters of the recipe's languages, trained on the task.
    """

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
    """A Compacter.

    Mahabadi et al. 2021: in both places, before the layer's norm, as AdapterHub's `compacter`.
    """
    spec = _compacter(recipe).model_copy(update={"placement": ("attention", "ffn"), "original_ln_before": False})
    return Trained(BottleneckAdapter(spec=spec), recipe.compacter.learning_rate)


def compacter_plus(recipe: Recipe) -> Trained:
    """A Compacter++.

    After the feed-forward block alone, as AdapterHub's `compacter++`.
    """
    return Trained(BottleneckAdapter(spec=_compacter(recipe)), recipe.compacter.learning_rate)


def _compacter(recipe: Recipe) -> BottleneckSpec:
    settings = recipe.compacter
    return BottleneckSpec(reduction_factor=settings.reduction_factor, phm=settings.products, non_linearity="gelu")


def sparse_adapter(recipe: Recipe) -> Trained:
    """A task adapter pruned before training.

    SparseAdapter (He et al. 2022): pruned before it is trained.
    """
    settings = recipe.pruning
    method = PrunedAdapter(spec=recipe.task_adapter.spec, sparsity=settings.sparsity, score=settings.score)
    return Trained(method, recipe.task_adapter.learning_rate)


def distilled(recipe: Recipe) -> Trained:
    """A small task adapter, taught by madx's.

    A smaller adapter, taught by madx's (stages/distillation.py).
    """
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
    """The factors of IA3."""
    return Trained(Ia3(), recipe.ia3.learning_rate)


def prefix(recipe: Recipe) -> Trained:
    """A prefix."""
    settings = recipe.prefix
    method = PrefixTuning(length=settings.length, bottleneck_size=settings.bottleneck_size)
    return Trained(method, settings.learning_rate)


def prompt(recipe: Recipe) -> Trained:
    """A prompt."""
    return Trained(PromptTuning(length=recipe.prompt.length), recipe.prompt.learning_rate)


def unipelt(recipe: Recipe) -> Trained:
    """A gated LoRA, prefix and adapter."""
    settings = recipe.unipelt
    return Trained(UniPelt(**settings.model_dump(exclude={"learning_rate"})), settings.learning_rate)


def biases(recipe: Recipe) -> Trained:
    """The encoder's biases."""
    return Trained(BitFit(), recipe.bitfit.learning_rate)


def task_adapter_without_last_layer(recipe: Recipe) -> Trained:
    """A task adapter."""
    return Trained(ways.cut(recipe.task_adapter.spec), recipe.task_adapter.learning_rate)
