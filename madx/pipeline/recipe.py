"""A recipe: an experiment in one TOML file. Unknown keys are errors; what is left out is MAD-X's own choice."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import Field, field_validator, model_validator

from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.config import Frozen, InputError, nearest, validate
from madx.foreign import read_toml
from madx.pipeline.grid import GRID
from madx.pipeline.method_settings import (
    MOST,
    MOST_TOKENS,
    BitFitSettings,
    CompacterSettings,
    DistillationSettings,
    DomainSettings,
    FederatedSettings,
    FullSettings,
    FusionSettings,
    HyperFormerSettings,
    Ia3Settings,
    JointSettings,
    LilySettings,
    LoraSettings,
    MergeSettings,
    PrefixSettings,
    PromptSettings,
    PruningSettings,
    SparseSettings,
    UniPeltSettings,
    VocabularySettings,
)


class LanguageAdapterSettings(Frozen):
    """Stage one. Defaults: Pfeiffer et al. 2020, section 4."""

    reduction_factor: float = Field(2.0, gt=0)  # the encoder's width over the bottleneck's
    invertible: Literal["nice", "glow", False] = "nice"  # the part at the embeddings
    non_linearity: str = "relu"  # one of AdapterHub's names
    leave_out: tuple[int, ...] = ()  # layers without an adapter, from 0
    steps: int = Field(100_000, ge=1, le=MOST)  # updates
    batch_tokens: int = Field(16_384, ge=64, le=MOST_TOKENS)  # in an update
    learning_rate: float = Field(1e-4, gt=0)  # AdamW's, after the warm-up; it falls to zero in a line
    warm_up: float = Field(0.05, ge=0, lt=1)  # share of the steps
    max_length: int = Field(256, ge=16, le=1 << 17)  # tokens in a block of text
    softmax: Literal["full", "corpus"] = "full"  # corpus: over the tokens that the text has; faster, not the same
    compile: bool = False  # the encoder by torch.compile, on a GPU with CUDA graphs; needs a C++ compiler
    source_share: float = Field(1.0, gt=0, le=100)  # bad-x: the source's text, for one part of the language's own
    near: float = Field(0.0, ge=0)  # madx-from-...: pull towards where it began
    kl: float = Field(0.1, gt=0)  # madx-kl: pull towards the encoder's own predictions
    alignment_weight: float = Field(1.0, gt=0)  # madx-aligned: of its loss, beside the masked-LM loss
    alignment_pairs: int = Field(32, ge=2, le=1 << 20)  # sentence pairs in an update
    seed: int = Field(1, ge=0, le=MOST)  # one adapter a language; the recipe's `seeds` are stage two's

    @model_validator(mode="after")
    def _can_be_built(self) -> "LanguageAdapterSettings":
        self.spec  # noqa: B018  it checks itself
        return self

    @property
    def spec(self) -> BottleneckSpec:
        return BottleneckSpec(
            reduction_factor=self.reduction_factor,
            non_linearity=self.non_linearity,
            leave_out=self.leave_out,
            invertible=InvertibleSpec(kind=self.invertible) if self.invertible else None,
        )


class TaskAdapterSettings(Frozen):
    """Stage two. Defaults: Pfeiffer et al. 2020, section 4."""

    reduction_factor: float = Field(16.0, gt=0)  # the encoder's width over the bottleneck's
    non_linearity: str = "relu"  # one of AdapterHub's names
    leave_out: tuple[int, ...] = ()  # layers without an adapter, from 0
    epochs: int = Field(10, ge=1, le=1_000_000)  # times through the labelled data
    batch_size: int = Field(16, ge=1, le=1 << 20)  # examples in an update
    learning_rate: float = Field(1e-4, gt=0)  # AdamW's, after the warm-up; it falls to zero in a line
    warm_up: float = Field(0.05, ge=0, lt=1)  # share of the updates
    max_length: int = Field(256, ge=16, le=1 << 17)  # tokens of an example that are read
    checkpoint: Literal["best", "last"] = "best"  # by the source language's dev set
    lower_layers: Literal["run", "kept"] = "run"  # kept: what enters the lowest layer with a task adapter, once
    average: int = Field(0, ge=0)  # so many last epochs, whose mean is kept instead of a checkpoint
    temperature: float = Field(1.0, ge=1, le=1e6)  # source languages come in proportion to size ** (1 / temperature)
    unfreeze_every: int = Field(0, ge=0, le=MOST)  # updates, after each of which a layer more is trained, top down

    @model_validator(mode="after")
    def _something_is_below(self) -> "TaskAdapterSettings":
        if self.lower_layers == "kept" and 0 not in self.leave_out:
            raise ValueError("lower_layers = 'kept' needs layers without a task adapter: leave_out = [0, 1, ...]")
        if self.average > self.epochs:
            raise ValueError(f"average = {self.average}: there are {self.epochs} epochs")
        self.spec  # noqa: B018  it checks itself
        return self

    @property
    def spec(self) -> BottleneckSpec:
        return BottleneckSpec(
            reduction_factor=self.reduction_factor, non_linearity=self.non_linearity, leave_out=self.leave_out
        )


class TaskSettings(Frozen):
    """What one of several tasks has otherwise than `[task_adapter]`."""

    epochs: int | None = Field(None, ge=1, le=1_000_000)  # None: as in [task_adapter]
    batch_size: int | None = Field(None, ge=1, le=1 << 20)  # None: as in [task_adapter]
    max_length: int | None = Field(None, ge=16, le=1 << 17)  # None: as in [task_adapter]


class EvaluationSettings(Frozen):
    """How scores are taken."""

    bootstrap: int = Field(1000, ge=0, le=100_000)  # samples behind an interval; 0: no intervals
    entropy_steps: int = Field(1, ge=1, le=1000)  # emea: steps of the weights for each sentence
    weights: Literal["fp32", "int8"] = "fp32"  # int8: the frozen encoder in 8 bits, on CPUs; faster, not the same


def check_seeds(seeds: tuple[int, ...]) -> tuple[int, ...]:
    """Two equal seeds are one run twice: their spread would say nothing."""
    if len(set(seeds)) < len(seeds) or min(seeds) < 0 or max(seeds) > MOST:
        raise ValueError(f"{list(seeds)}: seeds are different whole numbers from 0 on")
    return seeds


class Limit(Frozen):
    """Holds a dear method to fewer seeds or targets."""

    seeds: tuple[int, ...] | None = Field(None, min_length=1)  # None: all of the recipe's
    targets: tuple[str, ...] | None = Field(None, min_length=1)  # None: all of the recipe's

    _seeds = field_validator("seeds")(lambda seeds: seeds and check_seeds(seeds))


class Recipe(Frozen):
    """An experiment. The tables below stand behind these keys."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)  # the run's folder in results/
    model: str = "mini"  # the encoder: bundled, a folder, or a name on the Hub
    revision: str | None = None  # of the encoder on the Hub
    precision: Literal["fp32", "bf16", "auto"] = "auto"  # of the encoder's matrix products; auto: by the device
    tasks: tuple[str, ...] = Field(min_length=1)  # names in tasks/
    source: tuple[str, ...] = ("eng",)  # languages whose labels are trained on
    # languages that are scored; also script:Cyrl, family:Bantu, seen, unseen, or "all" that have a test set
    targets: Annotated[tuple[str, ...], Field(min_length=1)] | Literal["all"]
    methods: tuple[str, ...] = ("madx", "source-adapter", "no-language-adapter", "task-only")  # methods.md has them all
    seeds: tuple[int, ...] = Field((1, 2, 3), min_length=1)  # of stage two, each a training
    # share of the encoder's parameters, "0.5%", that stage two's methods train beside the head, where they have a size
    budget: Annotated[str, Field(pattern=r"^[0-9]{1,2}(\.[0-9]{1,6})?%$")] | None = None
    text: dict[str, tuple[str, ...]] = {}  # own files instead of the catalogue's: [text] fao = ["a.txt", "b.txt"]
    text_licence: dict[str, str] = {}  # of a language's own text: what its adapter's card says, CC BY 4.0 or the like
    text_lines: int | None = Field(None, ge=1)  # one number: of each language's text at most so many; sources have all
    without_text: tuple[str, ...] = ()  # targets that are treated as if they had none
    romanise: tuple[str, ...] = ()  # languages whose text is read in Latin letters, in all stages (extra `romanise`)
    relatives: tuple[str, ...] = ()  # languages beside, whose text and adapters merges and joint trainings use
    parallel: dict[str, tuple[str, str]] = {}  # the source's file and its own: fao = ["eng.txt", "fao.txt"]
    language_adapters: dict[str, str] = {}  # ready-made: swe = "me/mini-swe", a folder, or an address
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ()  # that get a training's numbers (extras)
    language_adapter: LanguageAdapterSettings = LanguageAdapterSettings()
    task_adapter: TaskAdapterSettings = TaskAdapterSettings()
    task: dict[str, TaskSettings] = {}
    full: FullSettings = FullSettings()
    sparse: SparseSettings = SparseSettings()
    lora: LoraSettings = LoraSettings()
    ia3: Ia3Settings = Ia3Settings()
    prefix: PrefixSettings = PrefixSettings()
    prompt: PromptSettings = PromptSettings()
    unipelt: UniPeltSettings = UniPeltSettings()
    bitfit: BitFitSettings = BitFitSettings()
    compacter: CompacterSettings = CompacterSettings()
    pruning: PruningSettings = PruningSettings()
    distillation: DistillationSettings = DistillationSettings()
    fusion: FusionSettings = FusionSettings()
    hyperformer: HyperFormerSettings = HyperFormerSettings()
    joint: JointSettings = JointSettings()
    federated: FederatedSettings = FederatedSettings()
    vocabulary: VocabularySettings = VocabularySettings()
    lily: LilySettings = LilySettings()
    merge: MergeSettings = MergeSettings()
    domain: DomainSettings | None = None
    limit: dict[str, Limit] = {}
    evaluation: EvaluationSettings = EvaluationSettings()

    @property
    def target_list(self) -> tuple[str, ...]:
        """Names of languages, and what describes some: see madx/pipeline/targets.py."""
        return (self.targets,) if isinstance(self.targets, str) else self.targets

    @field_validator("seeds")
    @classmethod
    def _different_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        return check_seeds(seeds)

    @field_validator("methods")
    @classmethod
    def _known_methods(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        for method in methods:
            if method not in GRID:
                raise ValueError(f"unknown method '{method}'{nearest(method, list(GRID))}")
        return methods

    @model_validator(mode="after")
    def _limits_are_of_methods(self) -> "Recipe":
        for method in self.limit:
            if method not in self.methods:
                raise ValueError(f"limit.{method}: the recipe has no such method")
            for seed in self.limit[method].seeds or ():
                if seed not in self.seeds:
                    raise ValueError(f"limit.{method}.seeds: {seed} is none of the recipe's, {list(self.seeds)}")
        return self

    @model_validator(mode="after")
    def _settings_are_of_tasks(self) -> "Recipe":
        for task in self.task:
            if task not in self.tasks:
                raise ValueError(f"task.{task}: the recipe has no such task")
        return self

    def stage_two(self, task: str) -> TaskAdapterSettings:
        """As a task has it."""
        own = self.task.get(task, TaskSettings()).model_dump(exclude_none=True)
        return self.task_adapter.model_copy(update=own)

    def toml(self) -> str:
        plain: dict[str, Any] = self.model_dump(mode="json", exclude_none=True)
        return tomli_w.dumps(plain)


def load_recipe(path: Path, overrides: list[str] | None = None) -> Recipe:
    """A recipe file with `key=value` overrides (TOML values, dotted keys). Raises InputError."""
    return recipe_from(read_toml(path), str(path), overrides or [])


def recipe_from(data: dict[str, Any], where: str, overrides: list[str]) -> Recipe:
    for override in overrides:
        key, separator, value = override.partition("=")
        if not separator:
            raise InputError(f"--set {override}: write key=value")
        try:
            parsed = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            parsed = value  # a bare word is a text
        table = data
        *parents, last = key.strip().split(".")
        for parent in parents:
            table = table.setdefault(parent, {})
            if not isinstance(table, dict):
                raise InputError(f"--set {override}: '{parent}' is no table")
        table[last] = parsed
    if isinstance(data.get("source"), str):
        data["source"] = [data["source"]]
    if isinstance(data.get("targets"), str) and data["targets"] != "all":
        data["targets"] = [data["targets"]]
    if isinstance(data.get("text"), dict):
        data["text"] = {code: [v] if isinstance(v, str) else v for code, v in data["text"].items()}
    return validate(Recipe, data, where)
