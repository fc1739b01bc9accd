"""A recipe's tables of single methods: what each can be told, and what it does where it isn't."""

from typing import Literal

from pydantic import Field

from madx.adapters.spec import Matrix
from madx.catalog.uriel import Distance
from madx.config import Frozen
from madx.methods.pruned import Score
from madx.stages.distillation import Distillation

# far beyond any use: a slip of the finger is an error, and not 10 GB of memory
MOST, MOST_TOKENS = (1 << 31) - 1, 1 << 26


class FullSettings(Frozen):
    """The controls that train every weight; epochs and batch size are the task adapter's."""

    learning_rate: float = Field(2e-5, gt=0)  # in stage two
    mlm_learning_rate: float = Field(5e-5, gt=0)  # in stage one


class SparseSettings(Frozen):
    """lt-sft; epochs, steps and batches are the adapters'. Defaults: Ansell et al. 2022, section 4.3."""

    language_share: float = Field(0.04, gt=0, le=1)  # of the encoder's weights, for a language
    task_share: float = Field(0.08, gt=0, le=1)  # and for a task
    l1: float = Field(0.1, ge=0)  # pull towards the encoder while a language's entries are chosen
    learning_rate: float = Field(5e-5, gt=0)  # in stage two
    mlm_learning_rate: float = Field(5e-5, gt=0)  # in stage one


class LoraSettings(Frozen):
    """lora, madx-lora, lora-language; epochs, steps and batches are the adapters'."""

    rank: int = Field(8, ge=1, le=4096)  # of the task's
    alpha: float = Field(16.0, gt=0)  # over the rank it is the update's factor
    matrices: tuple[Matrix, ...] = Field(("query", "value"), min_length=1)  # of each layer
    learning_rate: float = Field(5e-4, gt=0)  # in stage two
    language_rank: int = Field(32, ge=1, le=4096)  # lora-language: of a language's; alpha is twice as much
    language_matrices: tuple[Matrix, ...] = Field(("intermediate", "output"), min_length=1)  # of each layer
    language_learning_rate: float = Field(5e-4, gt=0)  # in stage one


class Ia3Settings(Frozen):
    """ia3; epochs and batches are the task adapters'."""

    learning_rate: float = Field(3e-3, gt=0)  # AdamW's


class PrefixSettings(Frozen):
    """prefix; epochs and batches are the task adapters'."""

    length: int = Field(30, ge=1, le=1 << 12)  # positions in front of each layer's keys and values
    bottleneck_size: int = Field(512, ge=1, le=1 << 16)  # of the map that makes the prefix
    learning_rate: float = Field(5e-4, gt=0)  # AdamW's


class PromptSettings(Frozen):
    """prompt; epochs and batches are the task adapters'."""

    length: int = Field(20, ge=1, le=1 << 12)  # positions in front of the text
    learning_rate: float = Field(1e-2, gt=0)  # AdamW's


class UniPeltSettings(Frozen):
    """unipelt. Defaults: AdapterHub's."""

    rank: int = Field(8, ge=1, le=4096)  # of its LoRA
    alpha: float = Field(2.0, gt=0)  # over the rank it is the update's factor
    length: int = Field(10, ge=1, le=1 << 12)  # of the prefix
    bottleneck_size: int = Field(512, ge=1, le=1 << 16)  # of the map that makes it
    reduction_factor: float = Field(16.0, gt=0)  # the encoder's width over the bottleneck's
    learning_rate: float = Field(5e-4, gt=0)  # AdamW's


class BitFitSettings(Frozen):
    """bitfit; epochs and batches are the task adapters'."""

    learning_rate: float = Field(1e-3, gt=0)  # AdamW's


class CompacterSettings(Frozen):
    """madx-compacter and madx-compacter-plus. Defaults: Mahabadi et al. 2021, section 4."""

    reduction_factor: float = Field(32.0, gt=0)  # the encoder's width over the bottleneck's
    products: int = Field(4, ge=2, le=64)  # Kronecker products in a projection; divides the bottleneck
    learning_rate: float = Field(3e-3, gt=0)  # AdamW's


class PruningSettings(Frozen):
    """madx-sparse."""

    sparsity: float = Field(0.8, ge=0, lt=1)  # the share of the adapter's weights that goes before training
    score: Score = "snip"  # by which it goes


class DistillationSettings(Distillation):
    """madx-distilled, distilled-language: the loss, and what the small adapter is; the teacher is madx's."""

    reduction_factor: float = Field(64.0, gt=0)  # the encoder's width over the small bottleneck's
    leave_out: tuple[int, ...] = ()  # layers without a small adapter, from 0


class FusionSettings(Frozen):
    """fusion-sources, fusion-tasks, fusion-languages. Default: Pfeiffer et al. 2021, section 4."""

    learning_rate: float = Field(5e-5, gt=0)  # AdamW's


class HyperFormerSettings(Frozen):
    """hyperformer; epochs and batches are the task adapters'. Defaults: Mahabadi et al. 2021, section 3."""

    reduction_factor: float = Field(32.0, gt=0)  # the encoder's width over the bottleneck's
    temperature: float = Field(10.0, ge=1, le=1e6)  # tasks come in proportion to size ** (1 / temperature)
    learning_rate: float = Field(3e-4, gt=0)  # AdamW's


class FederatedSettings(Frozen):
    """madx-federated. Rates, steps (each silo's) and batches are the language adapters'."""

    silos: int | None = Field(None, ge=2, le=1000)  # parts that a language's text is cut into; None: a file is a silo
    rounds: int = Field(10, ge=1, le=MOST)  # after each of which the silos' adapters are averaged
    flower: bool = False  # the silos in other processes, by Flower's simulation (an extra); the result is the same


class JointSettings(Frozen):
    """hierarchical, generated, hyper-x: one training on all languages' text, at the language adapters' rates."""

    reduction_factor: float = Field(16.0, gt=0)  # the encoder's width over the bottlenecks'
    layer_shared: bool = False  # generated: one generator for all layers
    text_updates: int = Field(1, ge=1, le=1000)  # hyper-x: updates on text after each one on labels
    typology: Literal["catalogue", "uriel"] = "catalogue"  # generated: what a language is described by; an extra
    alpha: float = Field(0.7, ge=0, le=1)  # a language is drawn in proportion to its text ** alpha
    steps: int | None = Field(None, ge=1, le=MOST)  # None: as many as the languages take one by one


class VocabularySettings(Frozen):
    """madx-vocabulary; rates, steps and batches are the language adapters'."""

    size: int = Field(10_000, ge=100, le=1 << 20)  # pieces of the language's own tokenizer, special ones among them
    start: Literal["script", "overlap"] = "script"  # of new pieces' embeddings: by their script, or as FOCUS has it


class LilySettings(Frozen):
    """madx-lily; the width of the bottleneck is the language adapters'."""

    groups: int = Field(3, ge=1, le=1000)  # of neighbouring layers, each with one projection down
    experts: int = Field(4, ge=1, le=1000)  # projections up, of all layers


class MergeSettings(Frozen):
    """merge-typology (extra `typology`): softmax((1 - distance) / temperature) over the `top` nearest."""

    distance: Distance = "featural"  # URIEL's
    temperature: float = Field(0.1, gt=0)  # of the softmax
    top: int | None = Field(None, ge=1)  # None: all


class DomainSettings(Frozen):
    """madx-domain: text of a domain, in the source's language."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=40)  # of the domain, in names of adapters
    text: tuple[str, ...] = Field(min_length=1)  # files, as in [text]; or edges of a knowledge graph
