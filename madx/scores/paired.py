"""What a method is worth beside another one, in one test: paired over seeds and sentences.

Both methods meet the same resamples of the same sentences and of the same seeds (Koehn 2004; Dror et al. 2018), so
what is hard about a sentence, or lucky about a seed, falls out of the difference.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from madx.config import Frozen
from madx.scores.bootstrap import interval
from madx.scores.levels import Cells, Drawn, Draws, Group, by_seed, methods_of, over_languages, over_seeds, resampled

BASELINE = "task-only"
DOUBT = 0.05


class Difference(Frozen):
    """Method minus baseline, mean over seeds, in percentage points, with its 95 % interval.

    `p`: two-sided, of the difference over the bootstrap's standard error against the normal distribution; `p_holm`:
    corrected for the targets of its method and baseline, for which a table makes a test each (Holm 1979). A mean is one
    test, and not corrected.
    """

    task: str
    metric: str
    method: str
    baseline: str
    target: str
    value: float
    ci_low: float
    ci_high: float
    seeds: int
    targets: int = 1
    p: float = 1.0
    p_holm: float = 1.0
    resampled: str = "sentences"


class Comparison(Frozen):
    """Two methods over a group of targets: how often one is better beyond doubt (p_holm under 0.05), and how likely.

    `improvement`: the probability that the method, with one of its seeds, is above the baseline with one of its own on
    a target drawn at random (Agarwal et al. 2021, arXiv 2108.13264), with its 95 % interval.
    """

    task: str
    metric: str
    method: str
    baseline: str
    group: str
    targets: int
    wins: int
    losses: int
    undecided: int
    improvement: float
    ci_low: float
    ci_high: float
    resampled: str


def pairs(methods: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each two methods once, (method, baseline): the later one is the baseline, and task-only is the last."""
    ordered = [*(m for m in methods if m != BASELINE), *(m for m in methods if m == BASELINE)]
    for i, method in enumerate(ordered):
        for baseline in ordered[i + 1 :]:
            yield method, baseline


def differences(
    task: str, metric: str, cells: Cells, groups: Sequence[Group]
) -> tuple[list[Difference], list[Comparison]]:
    """Of each two methods, on every target that both have, and over every group of targets as far as both have it."""
    found = by_seed(cells)
    codes = sorted({target for _, target, _ in cells})
    rows: list[Difference] = []
    comparisons = []
    for method, baseline in pairs(methods_of(cells)):
        about = {"task": task, "metric": metric, "method": method, "baseline": baseline}
        each: dict[str, Drawn] = {}
        own = {}
        for target in codes:
            ours, theirs = found.get((method, target), {}), found.get((baseline, target), {})
            if seeds := [seed for seed in ours if seed in theirs]:
                each_SR = np.stack([ours[s].draws_R - theirs[s].draws_R for s in seeds])
                point = float(np.mean([ours[s].value - theirs[s].value for s in seeds]))
                each[target] = Drawn(point, over_seeds(each_SR))
                own[target] = _row(about, target, each[target], len(seeds), 1)
        tested = [code for code in codes if code in own and any(code in group.targets for group in groups)]
        for target, p in zip(tested, holm([own[code].p for code in tested]), strict=True):
            own[target] = own[target].model_copy(update={"p_holm": p})
        rows += own.values()
        improved = {target: improvement(found[method, target], found[baseline, target]) for target in tested}
        for group in groups:
            both = [target for target in group.targets if target in each]
            if both:
                rows.append(_of_group(about, group, {t: each[t] for t in both}, min(own[t].seeds for t in both)))
                compared = [own[t] for t in both], [improved[t] for t in both]
                comparisons.append(_compared(about, group, *compared, rows[-1].resampled))
    return rows, comparisons


def _of_group(about: dict[str, str], group: Group, each: dict[str, Drawn], seeds: int) -> Difference:
    point = float(np.mean([drawn.value for drawn in each.values()]))
    draws_R = over_languages(np.stack([drawn.draws_R for drawn in each.values()]))
    return _row(about, group.mean, Drawn(point, draws_R), seeds, len(each))


def _compared(
    about: dict[str, str], group: Group, own: list[Difference], improved: list[Drawn], resampled: str
) -> Comparison:
    decided = [row.value > 0 for row in own if row.p_holm < DOUBT]
    value = float(np.mean([drawn.value for drawn in improved]))
    low, high = interval(value, over_languages(np.stack([drawn.draws_R for drawn in improved])))
    return Comparison(
        **about, group=group.name, targets=len(own), wins=sum(decided), losses=len(decided) - sum(decided),
        undecided=len(own) - len(decided), improvement=value, ci_low=low, ci_high=high, resampled=resampled,
    )  # fmt: skip


def improvement(ours: dict[int, Drawn], theirs: dict[int, Drawn]) -> Drawn:
    """P(X > Y) + P(X = Y) / 2 over the seeds of one target: the Mann-Whitney statistic over its largest value."""

    def above(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(S, ...) and (S', ...) to (S, S', ...)."""
        better: np.ndarray = (x[:, None] > y[None]) + 0.5 * (x[:, None] == y[None])
        return better

    values = above(np.array([d.value for d in ours.values()]), np.array([d.value for d in theirs.values()]))
    each_SSR = above(np.stack([d.draws_R for d in ours.values()]), np.stack([d.draws_R for d in theirs.values()]))
    # theirs, then ours, over the same draws of seeds
    return Drawn(float(values.mean()), over_seeds(np.stack([over_seeds(each_SR) for each_SR in each_SSR])))


def p_value(point: float, draws_R: Draws) -> float:
    """Two-sided; 1 where the draws don't differ, as from a single sentence nothing follows."""
    error = float(draws_R.std(ddof=1)) if draws_R.size > 1 else 0.0
    return math.erfc(abs(point) / error / math.sqrt(2)) if error > 0 else 1.0


def holm(p: Sequence[float]) -> list[float]:
    """Corrected for their number, step down (Holm 1979): below a level alpha, all errors together stay below alpha."""
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(np.arange(len(p), 0, -1) * np.asarray(p)[order]) if len(p) else np.empty(0)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(steps, 1.0)
    return [float(value) for value in corrected]


def _row(about: dict[str, str], target: str, drawn: Drawn, seeds: int, targets: int) -> Difference:
    low, high = interval(*drawn)
    p = p_value(*drawn)
    return Difference(
        **about, target=target, value=drawn.value, ci_low=low, ci_high=high, seeds=seeds, targets=targets, p=p,
        p_holm=p, resampled=resampled(drawn.draws_R.size, seeds, targets),
    )  # fmt: skip
