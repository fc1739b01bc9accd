"""How a language gets an adapter out of other languages': merged, weighted against its own, or side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from madx.catalog.uriel import nearness_by
from madx.corpora.health import ENOUGH
from madx.stages.arithmetic import Arithmetic
from madx.stages.ensemble import Ensemble
from madx.stages.merge import MergedAdapter, Weighted, softmax, softmax_of_nearness
from madx.step import AdapterStep

if TYPE_CHECKING:
    from madx.pipeline.planner import Planner

Weigh = Callable[["Planner", str, "list[str]"], "list[float]"]


def merged(weigh: Weigh) -> Callable[[Planner, str], AdapterStep]:
    """For a language without an adapter: the others at hand, weighted; its own, if there is one, is left out."""

    def adapter(planner: Planner, code: str) -> AdapterStep:
        if code in planner.source_codes:
            return planner.language_adapter(code)
        others = planner.others(code)
        weights = dict(zip(others, weigh(planner, code, others), strict=True))
        kept = [other for other in others if weights[other] > 0]
        return merge(planner, code, kept, [weights[other] for other in kept])

    said = (weigh.__doc__ or "").splitlines()[0]
    adapter.__doc__ = f"Other languages' adapters, merged {said[0].lower()}{said[1:]}"
    return adapter


def merge(planner: Planner, code: str, others: Sequence[str], weights: Sequence[float]) -> MergedAdapter:
    parts = [
        Weighted(adapter=planner.language_adapter(other), weight=weight)
        for other, weight in zip(others, weights, strict=True)
    ]
    text = planner.text(code) if planner.has_lines(code, 1) else None
    return MergedAdapter(encoder=planner.encoder, language=code, parts=tuple(parts), judged_on=text)


def equally(planner: Planner, code: str, others: list[str]) -> list[float]:
    """Equally."""
    return [1 / len(others)] * len(others)


def by_family(planner: Planner, code: str, others: list[str]) -> list[float]:
    """By nearness in the family tree, as TIPA (arXiv 2601.16629) weighs by typology."""
    return softmax_of_nearness(planner.language(code), [planner.language(other) for other in others])


def by_typology(planner: Planner, code: str, others: list[str]) -> list[float]:
    """By nearness in URIEL+'s typology (TIPA, arXiv 2601.16629)."""
    settings = planner.recipe.merge
    return softmax(nearness_by(settings.distance, code, others), settings.temperature, settings.top)


def half_source(planner: Planner, code: str, others: list[str]) -> list[float]:
    """With half the source language's, half by family: language arithmetic with lambda = 0.5 (arXiv 2404.15737)."""
    near = by_family(planner, code, others)
    return [0.5 * w + 0.5 * (other == planner.source_codes[0]) for other, w in zip(others, near, strict=True)]


def arithmetic(planner: Planner, code: str) -> AdapterStep:
    """Its own and the source's, weighted by the masked-LM loss on its text (stages/arithmetic.py)."""
    own = planner.language_adapter(code)
    if code in planner.source_codes:
        return own
    other = planner.language_adapter(planner.source_codes[0])
    return Arithmetic(encoder=planner.encoder, own=own, other=other, text=planner.text(code))


def side_by_side(planner: Planner, code: str) -> AdapterStep:
    """The others' outputs, mixed (stages/ensemble.py); its own, if there is one, is left out."""
    if code in planner.source_codes:
        return planner.language_adapter(code)
    parts = tuple(planner.language_adapter(other) for other in planner.others(code))
    return Ensemble(encoder=planner.encoder, language=code, parts=parts)


def automatic(planner: Planner, code: str) -> AdapterStep:
    """Its own where there is text enough for one; else the others' merged by nearness in the family tree.

    Of the merges that one is the best on twelve languages (results/languages). Never the nearest language's alone,
    which was published as worse than none (arXiv 2601.16629).
    """
    if code in planner.source_codes or planner.has_ready(code) or planner.has_lines(code, ENOUGH):
        return planner.language_adapter(code)
    return merged(by_family)(planner, code)
