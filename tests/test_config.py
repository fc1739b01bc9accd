"""Digests: whatever changes a result changes its name; where things lie doesn't; a new option renames nothing."""

import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.catalog.language import TextSource
from madx.catalog.task import TaskSpec
from madx.config import PLACE, Frozen, digest
from madx.corpora.parallel import ParallelFiles, ParallelText
from madx.corpora.prepare import Corpus
from madx.encoders.reference import EncoderRef
from madx.methods.bottleneck import BottleneckAdapter
from madx.methods.full import Full
from madx.methods.hyper import HyperX
from madx.methods.hyperformer import HyperFormer
from madx.stages.alignment import Alignment
from madx.stages.arithmetic import Arithmetic
from madx.stages.distillation import Distillation
from madx.stages.ensemble import Ensemble
from madx.stages.entropy import EntropyMinimisation, ProbabilityMean
from madx.stages.evaluate import Evaluation
from madx.stages.federated import FederatedStage
from madx.stages.generator import Described, GeneratedAdapter, GeneratorStage
from madx.stages.hyper import HyperAdapter, TextsBeside
from madx.stages.imported import ImportedAdapter, ImportedChange
from madx.stages.language import LanguageStage, Share
from madx.stages.merge import MergedAdapter, Weighted
from madx.stages.pruned import PrunedTask
from madx.stages.several_tasks import HandedOut, OneOfTasks, TasksStage
from madx.stages.stacked import Stacked
from madx.stages.task import TaskStage
from madx.stages.text import TextStage
from madx.stages.tree import NodeAdapter, TreeStage
from madx.stages.vocabulary import VocabularyStage
from madx.step import Step, closure
from madx.tasks.data import LabelledData
from madx.training.fit import Schedule

ENCODER = EncoderRef(name="mini", digest="sha256:1", settings="2")
TEXT = TextStage(
    encoder=ENCODER,
    corpus=Corpus(
        language="swe", has_spaces=True, sources=(TextSource(file="a.txt"),), digests=("x",), tokenizer="t",
        block_size=64, max_tokens=1000,
    ),
)  # fmt: skip
LANGUAGE = LanguageStage(
    encoder=ENCODER, text=TEXT, method=BottleneckAdapter(spec=BottleneckSpec(invertible=InvertibleSpec())),
    schedule=Schedule(steps=10, learning_rate=1e-3), batch_tokens=64,
)  # fmt: skip
IMPORTED = ImportedAdapter(encoder=ENCODER, language="eng", origin="me/eng", folder="/here", digests=("y",))
CHANGE = ImportedChange(encoder=ENCODER, language="eng", folder="/here", digest="y")
ALIGNED = LANGUAGE.model_copy(
    update={
        "alignment": Alignment(
            parallel=ParallelText(
                source="eng", target="swe", files=(ParallelFiles(source="a", target="b"),), digests=("p", "q")
            ),
            toward=IMPORTED, weight=1.0, pairs=4,
        )
    }
)  # fmt: skip
TASK = TaskSpec(name="pos", kind="tagging", metric="accuracy", labels=("A", "B"))
DATA = LabelledData(task=TASK, language="eng", has_spaces=True, split="train", files=("f",), digests=("d",))
STAGE = TaskStage(
    encoder=ENCODER, train=(DATA,), dev=(), method=BottleneckAdapter(), below=(IMPORTED,), epochs=1, batch_size=2,
    learning_rate=1e-3, max_length=32, seed=1,
)  # fmt: skip
FEDERATED = FederatedStage.of(LANGUAGE, (TEXT, TEXT.model_copy()), 2)
PRUNED = PrunedTask.of(STAGE, 0.5)
EVALUATION = Evaluation(task=STAGE, language=LANGUAGE, test=DATA.model_copy(update={"split": "test"}))
TAUGHT = LANGUAGE.model_copy(update={"teacher": IMPORTED})
MIXED = LANGUAGE.model_copy(update={"mixed_with": (Share(text=TEXT, weight=1.0),), "start": IMPORTED, "near": 0.1})
MERGED = MergedAdapter(encoder=ENCODER, language="fao", parts=(Weighted(adapter=IMPORTED, weight=0.5),))
SCHEDULE = Schedule(steps=10, learning_rate=1e-3)
TREE = TreeStage(
    encoder=ENCODER, texts=(TEXT,), paths=((" a", " swe"),), spec=BottleneckSpec(), schedule=SCHEDULE, batch_tokens=64
)  # fmt: skip
NODE = NodeAdapter(tree=TREE, node=" a")
DESCRIBED = Described(language="swe", values=(1.0, 0.0))
GENERATOR = GeneratorStage(
    encoder=ENCODER, texts=(TEXT,), described=(DESCRIBED,), spec=BottleneckSpec(), schedule=SCHEDULE, batch_tokens=64
)  # fmt: skip
GENERATED = GeneratedAdapter(generator=GENERATOR, described=DESCRIBED)
ARITHMETIC = Arithmetic(encoder=ENCODER, own=LANGUAGE, other=IMPORTED, text=TEXT)
STACKED = Stacked(called="swe+x", parts=(LANGUAGE, IMPORTED))
ENSEMBLE = Ensemble(encoder=ENCODER, language="fao", parts=(IMPORTED,))
ADAPTED = EVALUATION.model_copy(update={"adapts": EntropyMinimisation()})
AVERAGED = EVALUATION.model_copy(update={"adapts": ProbabilityMean()})
HYPER_STAGE = STAGE.model_copy(
    update={
        "method": HyperX(languages=("eng", "swe")), "below": (),
        "beside": TextsBeside(texts=(TEXT,), updates=1, batch_tokens=64, alpha=0.7, softmax="full"),
    }
)  # fmt: skip
HYPER = HyperAdapter(trained=HYPER_STAGE, encoder=ENCODER, method=HyperX(languages=("eng", "swe")), language="swe")
TASKS = TasksStage(
    encoder=ENCODER, tasks=(OneOfTasks(train=(DATA,), dev=(DATA,), batch_size=2, max_length=32),), method=HyperFormer(),
    below=(IMPORTED,), temperature=10.0, epochs=1, learning_rate=3e-4, warm_up=0.05, checkpoint="best", seed=1,
)  # fmt: skip
HANDED = HandedOut.of(STAGE, TASKS)
VOCABULARY = VocabularyStage(encoder=ENCODER, corpus=TEXT.corpus, size=1000)
STEPS: list[Step] = [
    TEXT, LANGUAGE, FEDERATED, TAUGHT, ALIGNED, MIXED, IMPORTED, CHANGE, MERGED, TREE, NODE,
    GENERATOR, GENERATED, ARITHMETIC, STACKED, ENSEMBLE, ADAPTED, STAGE, PRUNED,
    EVALUATION, VOCABULARY, HYPER_STAGE, HYPER, TASKS, HANDED,
]  # fmt: skip


def other(value: Any, annotation: Any) -> Any:
    """Another value of a field of this type."""
    choices = [c for c in literals(annotation) if c != value]
    if choices:
        return choices[0]
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x"
        case tuple():
            return (*value, value[0]) if value else (placeholder(annotation),)
        case dict():
            return {**value, "other": 3.0}
        case None:
            return placeholder(annotation)
    raise AssertionError(f"{value!r}: say what another value is")


def literals(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [c for part in get_args(annotation) for c in literals(part)] if is_union(annotation) else []


def is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (typing.Union, types.UnionType, Annotated)


def placeholder(annotation: Any) -> Any:
    """Some value of a type that may be absent or empty."""
    for part in [annotation, *get_args(annotation)]:
        found = {str: "x", int: 7, float: 7.5, bool: True}.get(part)
        if found is not None:
            return found
        if is_union(part) or get_origin(part) is tuple:
            first = placeholder(get_args(part)[0])
            return (first,) if get_origin(part) is tuple else first
        if isinstance(part, type) and issubclass(part, BaseModel):
            return object.__new__(part) if part is not Frozen else None
    raise AssertionError(f"{annotation}: say what a value is")


def changes(value: Frozen, where: str = "") -> Iterator[tuple[str, bool, Frozen]]:
    """(field, whether it only says where something lies, the value with that field changed), at any depth."""
    for name, field in type(value).model_fields.items():
        have, path = getattr(value, name), f"{where}{type(value).__name__}.{name}"
        place = PLACE in field.metadata
        nested = have[0] if isinstance(have, tuple) and have and isinstance(have[0], Frozen) else have
        if isinstance(nested, Frozen) and not place:
            for inner, inner_place, changed in changes(nested, f"{path} > "):
                new = (changed, *have[1:]) if isinstance(have, tuple) else changed
                yield inner, inner_place, value.model_copy(update={name: new})
        elif not (have is None and is_model(field.annotation)) and have != ():
            yield path, place, value.model_copy(update={name: other(have, field.annotation)})


def is_model(annotation: Any) -> bool:
    parts = [annotation, *get_args(annotation)]
    return any(isinstance(part, type) and issubclass(part, BaseModel) for part in parts)


ALL = [(step, *change) for step in STEPS for change in changes(step)]


def test_the_walk_sees_every_kind_of_step_and_their_fields() -> None:
    assert {type(step) for step in STEPS} == set(concrete(Step))
    assert len(ALL) > 250
    assert sum(place for _, _, place, _ in ALL) > 40


def concrete(base: type[Step]) -> Iterator[type[Step]]:
    for kind in base.__subclasses__():
        if kind.__module__.startswith("madx."):
            yield from ([kind] if "stage" in vars(kind) else [])
            yield from concrete(kind)


@pytest.mark.parametrize(("step", "field", "place", "changed"), ALL, ids=[f"{s.stage}:{f}" for s, f, _, _ in ALL])
def test_a_changed_value_is_another_name_and_a_changed_place_is_not(
    step: Step, field: str, place: bool, changed: Step
) -> None:
    assert (digest(changed) == digest(step)) is place, field


def test_another_type_of_value_is_another_name() -> None:
    full = STAGE.model_copy(update={"method": Full()})
    assert full.name != STAGE.name
    assert STAGE.model_copy(update={"below": (LANGUAGE,)}).name != STAGE.name
    assert EVALUATION.model_copy(update={"language": None}).name != EVALUATION.name
    assert len({AVERAGED.name, ADAPTED.name, EVALUATION.name}) == 3


def test_a_new_option_at_its_default_renames_nothing() -> None:
    class Now(Frozen):
        a: int

    old = digest(Now(a=1))

    class Now(Frozen):  # type: ignore[no-redef]
        a: int
        new: str = "off"

    assert digest(Now(a=1)) == old
    assert digest(Now(a=1, new="on")) != old


def test_a_raised_version_is_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(TEXT)
    monkeypatch.setattr(Corpus, "version", 99)
    assert digest(TextStage(encoder=ENCODER, corpus=TEXT.corpus.model_copy())) != before


def test_a_copy_has_a_digest_of_its_own() -> None:
    first = LANGUAGE.name
    assert LANGUAGE.model_copy(update={"seed": 2}).name != first
    assert LANGUAGE.name == first
    assert LANGUAGE.model_copy() == LANGUAGE


def test_defaults_are_part_of_names_so_they_stay() -> None:
    """A field at its default isn't in a digest: were the default changed, old results would be taken for new."""
    stages = {kind.__name__: kind for kind in (LanguageStage, TaskStage, Evaluation, BottleneckSpec, InvertibleSpec,
                                               Schedule, Corpus, TextStage, TextSource, TaskSpec,
                                               EncoderRef, TreeStage, GeneratorStage, TasksStage)}  # fmt: skip
    found = {
        f"{name}.{key}": field.get_default()
        for name, kind in stages.items()
        for key, field in kind.model_fields.items()
        if not field.is_required() and PLACE not in field.metadata
    }
    found["TaskSpec.columns"] = found["TaskSpec.columns"].model_dump()
    assert found == {
        "LanguageStage.alignment": None, "LanguageStage.softmax": "full", "LanguageStage.seed": 1,
        "LanguageStage.mixed_with": (), "LanguageStage.start": None, "LanguageStage.near": 0.0,
        "LanguageStage.teacher": None, "LanguageStage.distillation": Distillation(),
        "LanguageStage.kl": 0.0, "LanguageStage.below": (), "LanguageStage.called": None,
        "LanguageStage.compiled": False, "TextStage.vocabulary": None,
        "TaskStage.below": (), "TaskStage.cycle": False, "TaskStage.start": None, "TaskStage.beside": None,
        "TaskStage.warm_up": 0.05,
        "TaskStage.checkpoint": "best", "TaskStage.lower_layers": "run",
        "TaskStage.unfreeze_every": 0, "TaskStage.average": 0, "TaskStage.temperature": 1.0,
        "TaskStage.teacher": None, "TaskStage.distillation": Distillation(),
        "Evaluation.weights": "fp32", "Evaluation.adapts": None, "Evaluation.dropped": 0,
        "BottleneckSpec.reduction_factor": 16.0, "BottleneckSpec.bottleneck_size": None,
        "BottleneckSpec.non_linearity": "relu", "BottleneckSpec.placement": ("ffn",), "BottleneckSpec.parallel": False,
        "BottleneckSpec.scaling": 1.0, "BottleneckSpec.leave_out": (), "BottleneckSpec.original_ln_before": True,
        "BottleneckSpec.original_ln_after": True, "BottleneckSpec.ln_before": False, "BottleneckSpec.ln_after": False,
        "BottleneckSpec.residual_before_ln": True, "BottleneckSpec.adapter_residual_before_ln": False,
        "BottleneckSpec.use_gating": False, "BottleneckSpec.dropout": 0.0, "BottleneckSpec.init_weights": "bert",
        "BottleneckSpec.init_weights_seed": None, "BottleneckSpec.invertible": None, "BottleneckSpec.phm": None,
        "InvertibleSpec.kind": "nice", "InvertibleSpec.reduction_factor": 2.0,
        "Schedule.warm_up": 0.05, "Schedule.weight_decay": 0.0, "Schedule.max_grad_norm": 1.0,
        "TextSource.triples": None, "TextSource.lines": None, "TextSource.part": None,
        "TextSource.hub": None, "TextSource.config": None,
        "TextSource.split": "train",
        "TextSource.column": "text", "TextSource.revision": None, "TextSource.romanised": None,
        "Corpus.lines": None,
        "TaskSpec.image_digests": (), "TaskSpec.labels": (), "TaskSpec.outside": (), "TaskSpec.label_column": None,
        "TaskSpec.read_as": {},
        "TaskSpec.columns": {"text": "text", "pair": None, "label": "label"},
        "TreeStage.softmax": "full", "TreeStage.alpha": 0.7, "TreeStage.seed": 1,
        "GeneratorStage.softmax": "full", "GeneratorStage.alpha": 0.7, "GeneratorStage.seed": 1,
        "GeneratorStage.layer_shared": False,
        "TasksStage.source_temperature": 1.0, "TasksStage.average": 0,
        "EncoderRef.settings": None, "EncoderRef.precision": "fp32",
    }  # fmt: skip


def test_a_step_says_what_it_stands_on() -> None:
    assert ALIGNED.upstream == (TEXT, IMPORTED)
    assert EVALUATION.upstream == (STAGE, LANGUAGE)
    names = [step.name for step in closure([EVALUATION, ALIGNED])]
    assert len(names) == len(set(names)) == 6
    for step in (TEXT, LANGUAGE, ALIGNED, IMPORTED, STAGE, EVALUATION):
        assert all(names.index(below.name) < names.index(step.name) for below in step.upstream)
