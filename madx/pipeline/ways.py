"""How a language gets its adapter, by method: what the rows of the control grid (grid.py) name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from madx.adapters.spec import BottleneckSpec
from madx.config import InputError
from madx.methods.beside import Lora
from madx.methods.bottleneck import BottleneckAdapter
from madx.methods.full import Full
from madx.methods.hyper import HyperX
from madx.methods.lily import LilyAdapter
from madx.methods.shared import SharedBottleneck
from madx.methods.sparse import LotteryTicket, SparseFineTuning
from madx.methods.vocabulary import VocabularyAdapter
from madx.pipeline.merges import by_family, merged
from madx.stages.alignment import Alignment
from madx.stages.distillation import Distillation
from madx.stages.federated import FederatedStage
from madx.stages.hyper import HyperAdapter
from madx.stages.language import LanguageStage, Share
from madx.stages.stacked import Stacked
from madx.stages.vocabulary import VocabularyStage
from madx.step import AdapterStep

if TYPE_CHECKING:
    from madx.pipeline.planner import Planner
    from madx.stages.task import TaskStage


def own(planner: Planner, code: str) -> AdapterStep:
    """Stage one on the language's text; or an adapter that the recipe names, ready-made."""
    return planner.language_adapter(code)


def aligned(planner: Planner, code: str) -> AdapterStep:
    """The same, drawn to the source language's adapter on parallel text (stages/alignment.py)."""
    source, settings = planner.source_codes[0], planner.recipe.language_adapter
    if code in planner.source_codes:
        return planner.language_adapter(code)
    parallel = planner.sources.parallel(source, code)
    if parallel is None:
        raise InputError(
            f"madx-aligned: '{code}' has no parallel text with '{source}'; give it some ([parallel] {code} = "
            f'["SOURCE_FILE", "FILE"]) or leave it out ([limit.madx-aligned] targets = [...])'
        )
    sides = tuple(side for side in (source, code) if side in planner.romanised)
    alignment = Alignment(
        parallel=parallel.model_copy(update={"romanised": sides}),
        toward=planner.language_adapter(source),
        weight=settings.alignment_weight,
        pairs=settings.alignment_pairs,
    )
    return planner.language_stage(code).model_copy(update={"alignment": alignment})


def without_last_layer(planner: Planner, code: str) -> AdapterStep:
    """MAD-X 2.0: nothing in the last layer (Pfeiffer et al. 2021, arXiv 2012.15562)."""
    return planner.language_stage(code).model_copy(update={"method": cut(planner.recipe.language_adapter.spec)})


def cut(spec: BottleneckSpec) -> BottleneckAdapter:
    return BottleneckAdapter(spec=spec.model_copy(update={"leave_out": (*spec.leave_out, -1)}))


def bilingual(planner: Planner, code: str) -> AdapterStep:
    """BAD-X (Parović et al. 2022): one adapter for a pair, on a mixture of the source's text and the target's."""
    source = planner.source_codes[0]
    if code == source:
        return planner.language_adapter(source)
    share = Share(text=planner.text(source), weight=planner.recipe.language_adapter.source_share)
    return planner.language_stage(code).model_copy(update={"mixed_with": (share,)})


def with_vocabulary(planner: Planner, code: str) -> AdapterStep:
    """Trained together with a vocabulary of the language's own."""
    if code in planner.source_codes:
        return planner.language_adapter(code)
    stage = planner.language_stage(code)
    about = planner.recipe.vocabulary
    own = VocabularyStage(
        encoder=planner.encoder, corpus=stage.text.corpus, size=about.size, seed=stage.seed, start=about.start
    )
    method = VocabularyAdapter(spec=planner.recipe.language_adapter.spec, begins_as=own)
    text = stage.text.model_copy(update={"vocabulary": own})
    # its decoder is trained, and small
    return stage.model_copy(update={"text": text, "method": method, "softmax": "full"})


def layers_share(planner: Planner, code: str) -> AdapterStep:
    """One bottleneck for all layers (methods/shared.py)."""
    method = SharedBottleneck(spec=planner.recipe.language_adapter.spec)
    return planner.language_stage(code).model_copy(update={"method": method})


def across_layers(planner: Planner, code: str) -> AdapterStep:
    """Projections that layers share, mixed by routers (methods/lily.py)."""
    settings = planner.recipe.lily
    method = LilyAdapter(spec=planner.recipe.language_adapter.spec, groups=settings.groups, experts=settings.experts)
    return planner.language_stage(code).model_copy(update={"method": method})


def near_frozen(planner: Planner, code: str) -> AdapterStep:
    """Held near the encoder's own predictions (stages/near_frozen.py)."""
    return planner.language_stage(code).model_copy(update={"kl": planner.recipe.language_adapter.kl})


def distilled(planner: Planner, code: str) -> AdapterStep:
    """A small one, taught by the language's own (stages/taught.py)."""
    settings, spec = planner.recipe.distillation, planner.recipe.language_adapter.spec
    small = spec.model_copy(update=settings.model_dump(include={"reduction_factor", "leave_out"}))
    loss = Distillation(**settings.model_dump(include=set(Distillation.model_fields)))
    about = {
        "method": BottleneckAdapter(spec=small), "teacher": planner.language_adapter(code), "distillation": loss,
    }  # fmt: skip
    return planner.language_stage(code).model_copy(update=about)


def federated(planner: Planner, code: str) -> AdapterStep:
    """Federated averaging: its text lies in silos, which give away adapters alone (stages/federated.py)."""
    if code in planner.source_codes:
        return planner.language_adapter(code)
    alone, settings = planner.language_stage(code), planner.recipe.federated
    sources, parts = planner.sources.text(code), settings.silos
    if parts is None and len(sources) < 2:
        raise InputError(
            f"madx-federated: the text of '{code}' is one file; give each silo's ([text] {code} = [\"FILE\", ...]), or "
            "say in how many parts it is cut ([federated] silos = N)"
        )
    if settings.rounds > alone.schedule.steps:
        raise InputError(
            f"federated.rounds = {settings.rounds}: there are {alone.schedule.steps} steps to part in them"
        )
    shares = [[source] for source in sources] if parts is None else [
        [source.model_copy(update={"part": (k, parts)}) for source in sources] for k in range(1, parts + 1)
    ]  # fmt: skip
    language = planner.language(code)
    texts = [planner.text_of(language, share) for share in shares]
    return FederatedStage.of(alone, texts, settings.rounds, settings.flower)


# ------------------------------------------------------------------------------------------------ beginning elsewhere


def from_source(planner: Planner, code: str) -> AdapterStep:
    """Begun with the source language's adapter, and kept near it where the recipe says how strongly."""
    return _begun_as(planner, code, lambda: planner.language_adapter(planner.source_codes[0]))


def from_family(planner: Planner, code: str) -> AdapterStep:
    """Begun with the merge of the others' by family."""
    return _begun_as(planner, code, lambda: merged(by_family)(planner, code))


def from_generated(planner: Planner, code: str) -> AdapterStep:
    """Begun with what the generator gives for the language, in that one's shape."""
    method = BottleneckAdapter(spec=planner.joint.generator.spec)
    begun = {"method": method, "start": planner.joint.generated(code), "near": planner.recipe.language_adapter.near}
    return planner.language_stage(code).model_copy(update=begun)


def _begun_as(planner: Planner, code: str, start: Callable[[], AdapterStep]) -> AdapterStep:
    if code == planner.source_codes[0]:
        return planner.language_adapter(code)
    near = planner.recipe.language_adapter.near
    return planner.language_stage(code).model_copy(update={"start": start(), "near": near})


# ----------------------------------------------------------------------------------------------- trained together


def branch(planner: Planner, code: str) -> AdapterStep:
    """Family, genus and language, stacked (stages/tree.py); without text: what the tree has above it."""
    return planner.joint.branch(code)


def generated(planner: Planner, code: str) -> AdapterStep:
    """MAD-G: from the language's place in the family tree and its script (stages/generator.py)."""
    return planner.joint.generated(code)


def out_of_network(trained: TaskStage, code: str) -> AdapterStep:
    """Hyper-X: for the task and the language at once."""
    method = trained.method
    assert isinstance(method, HyperX)
    if code not in method.languages:
        raise InputError(
            f"hyper-x: '{code}' is not among the languages that it is trained on ({', '.join(method.languages)}); give "
            "it text, or leave it out ([limit.hyper-x] targets = [...])"
        )
    return HyperAdapter(trained=trained, encoder=trained.encoder, method=method, language=code)


def with_domain(planner: Planner, code: str) -> AdapterStep:
    """The language's adapter, and on it one for the domain, trained on the source's (MAD-X squared)."""
    domain = domain_adapter(planner)
    return Stacked(called=f"{code}+{domain.subject}", parts=(planner.language_adapter(code), domain))


def domain_adapter(planner: Planner) -> LanguageStage:
    """On text of the recipe's domain in the source's language, over that one's adapter."""
    domain, source = planner.recipe.domain, planner.source_codes[0]
    if domain is None:
        raise InputError('madx-domain: the recipe has no domain; [domain] name = "NAME", text = ["FILE"]')
    text = planner.text_of(planner.language(source), planner.sources.own(domain.text, "domain.text"))
    below = (planner.language_adapter(source),)
    method = BottleneckAdapter(spec=planner.recipe.language_adapter.spec.model_copy(update={"invertible": None}))
    about = {"text": text, "below": below, "called": domain.name, "method": method}
    return planner.language_stage(source).model_copy(update=about)


# ------------------------------------------------------------------------------------------- the encoder's own weights


def sparse_change(planner: Planner, code: str) -> AdapterStep:
    """LT-SFT (Ansell et al. 2022); the decoder and the encoder's norms stay as they are. Or a ready-made change."""
    if (ready := planner.sources.ready_made(code, planner.encoder, "change")) is not None:
        return ready
    stage, sparse = planner.language_stage(code), planner.recipe.sparse
    schedule = stage.schedule.model_copy(update={"learning_rate": sparse.mlm_learning_rate})
    ticket = LotteryTicket(share=sparse.language_share, l1=sparse.l1)
    first = stage.model_copy(update={"method": ticket, "schedule": schedule})
    return first.model_copy(update={"method": SparseFineTuning(ticket=first)})


def lora(planner: Planner, code: str) -> AdapterStep:
    """A LoRA, by default on the feed-forward blocks: in a language's place attention's alone does less (2412.12674)."""
    stage, lora = planner.language_stage(code), planner.recipe.lora
    method = Lora(rank=lora.language_rank, alpha=2.0 * lora.language_rank, matrices=lora.language_matrices)
    schedule = stage.schedule.model_copy(update={"learning_rate": lora.language_learning_rate})
    return stage.model_copy(update={"method": method, "schedule": schedule})


def masked_lm_of_every_weight(planner: Planner, code: str) -> LanguageStage:
    """Not an adapter: the encoder itself, after masked language modelling on the language's text; with the full
    softmax, as its decoder is trained.
    """
    stage = planner.language_stage(code)
    schedule = stage.schedule.model_copy(update={"learning_rate": planner.recipe.full.mlm_learning_rate})
    return stage.model_copy(update={"method": Full(), "schedule": schedule, "softmax": "full"})


# ------------------------------------------------------------------------------------------------- what it takes


def anything(planner: Planner, code: str) -> bool:
    """Nothing of the target's own."""
    return True


def has_text(planner: Planner, code: str) -> bool:
    return planner.has_adapter_or_text(code)


def has_parallel_text(planner: Planner, code: str) -> bool:
    return planner.sources.parallel(planner.source_codes[0], code) is not None


def has_relatives(planner: Planner, code: str) -> bool:
    """Text of its own, or of a language of the same family."""
    return planner.joint.knows(code)
