"""Scores folded: over seeds, over targets and over named groups of them, each with what its interval is about.

A cell's interval is its test set's: sentences resampled. The spread over seeds stands beside it, never in its place.
Means, interquartile means, ranks and profiles as in Agarwal et al. 2021 (arXiv 2108.13264), seeds as its runs and
languages as its tasks.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator

from madx.config import Frozen
from madx.scores.bootstrap import interval
from madx.scores.levels import (
    Cells,
    Drawn,
    Draws,
    Group,
    by_seed,
    chosen_languages,
    chosen_seeds,
    methods_of,
    over_languages,
    over_seeds,
    resampled,
)

Seeds = dict[int, Drawn]
Statistic = Literal["mean", "iqm", "rank"]
Perhaps = Annotated[float | None, BeforeValidator(lambda value: None if value == "" else value)]
PROFILE_POINTS = 41


class Summary(Frozen):
    """A method on a target or over a group of them, in percent (`rank`: 1 is the best), with its 95 % interval."""

    task: str
    metric: str
    method: str
    target: str  # a code, or "mean of ..."
    statistic: Statistic
    value: float
    ci_low: float
    ci_high: float
    spread: Perhaps = None  # standard deviation over seeds; none: one seed
    seeds: int
    targets: int
    sentences: int  # of the test sets together
    resampled: str


class ProfilePoint(Frozen):
    """The share of a method's targets and seeds that score above `score`, with its 95 % interval."""

    task: str
    metric: str
    method: str
    score: float
    share: float
    ci_low: float
    ci_high: float
    resampled: str


def summaries(task: str, metric: str, cells: Cells, sizes: dict[str, int], groups: Sequence[Group]) -> list[Summary]:
    """`sizes`: sentences of each target's test set. A group's means are of the methods that have all of it."""
    found, methods = by_seed(cells), methods_of(cells)
    rows = []
    for (method, target), seeds in sorted(found.items(), key=lambda item: (methods.index(item[0][0]), item[0][1])):
        point = float(np.mean([d.value for d in seeds.values()]))
        low, high = interval(point, draws_R := np.mean([d.draws_R for d in seeds.values()], axis=0))
        rows.append(
            Summary(
                task=task, metric=metric, method=method, target=target, statistic="mean", value=point, ci_low=low,
                ci_high=high, spread=_spread([d.value for d in seeds.values()]), seeds=len(seeds), targets=1,
                sentences=sizes[target], resampled=resampled(draws_R.size, 1),
            )
        )  # fmt: skip
    for group in groups:
        full = {m: [found[m, t] for t in group.targets] for m in methods if all((m, t) in found for t in group.targets)}
        ranked = ranks(full)
        for method, targets in full.items():
            fewest = min(map(len, targets))
            values: dict[Statistic, Drawn] = {
                "mean": _mean(targets), "iqm": interquartile_mean(targets), "rank": ranked[method],
            }  # fmt: skip
            common = sorted(set.intersection(*(set(seeds) for seeds in targets)))
            by_common = [float(np.mean([seeds[s].value for seeds in targets])) for s in common]
            for statistic, drawn in values.items():
                low, high = interval(drawn.value, drawn.draws_R)
                rows.append(
                    Summary(
                        task=task, metric=metric, method=method, target=group.mean, statistic=statistic,
                        value=drawn.value, ci_low=low, ci_high=high,
                        spread=_spread(by_common) if statistic == "mean" else None, seeds=fewest,
                        targets=len(targets), sentences=sum(sizes[t] for t in group.targets),
                        resampled=resampled(drawn.draws_R.size, fewest, len(targets)),
                    )
                )  # fmt: skip
    return rows


def _spread(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _mean(targets: Sequence[Seeds]) -> Drawn:
    return Drawn(
        float(np.mean([np.mean([d.value for d in seeds.values()]) for seeds in targets])),
        over_languages(np.stack([over_seeds(_draws(seeds)) for seeds in targets])),
    )


def _draws(seeds: Seeds) -> Draws:
    return np.stack([d.draws_R for d in seeds.values()])


def _pooled(targets: Sequence[Seeds]) -> tuple[Draws, Draws]:
    """Every seed on every target: values (N,), and (N, R) with seeds and languages resampled; S is the fewest seeds."""
    fewest = min(map(len, targets))
    values = np.array([d.value for seeds in targets for d in seeds.values()])
    draws_LSR = np.stack([_draws(seeds)[:fewest] for seeds in targets])
    resamples = draws_LSR.shape[2]
    draws_LSR = np.take_along_axis(draws_LSR, chosen_seeds(fewest, resamples)[None], axis=1)
    draws_LSR = np.take_along_axis(draws_LSR, chosen_languages(len(targets), resamples)[:, None], axis=0)
    return values, draws_LSR.reshape(len(targets) * fewest, resamples)


def interquartile_mean(targets: Sequence[Seeds]) -> Drawn:
    """The mean of the middle half of all scores, seeds on targets: few easy or hard languages don't rule it."""

    def middle(values_N: Draws) -> Draws:
        cut = len(values_N) // 4
        mean: Draws = np.sort(values_N, axis=0)[cut : len(values_N) - cut].mean(0)
        return mean

    values, draws_NR = _pooled(targets)
    return Drawn(float(middle(values)), middle(draws_NR))


def ranks(targets: dict[str, list[Seeds]]) -> dict[str, Drawn]:
    """Mean rank of each method over the same targets, 1 the best; equal scores share their ranks' mean."""
    values = {m: np.array([np.mean([d.value for d in seeds.values()]) for seeds in own]) for m, own in targets.items()}
    draws = {m: np.stack([over_seeds(_draws(seeds)) for seeds in own]) for m, own in targets.items()}
    return {m: Drawn(float(rank(values, m).mean()), over_languages(rank(draws, m))) for m in targets}


def rank(scores: dict[str, Draws], method: str) -> Draws:
    """Of one method among all, element by element."""
    own = scores[method]
    above = np.sum([other > own for other in scores.values()], axis=0)
    equal = np.sum([other == own for other in scores.values()], axis=0)
    ranks: Draws = above + (equal + 1) / 2  # itself among the equal ones
    return ranks


def profiles(task: str, metric: str, cells: Cells, group: Group) -> list[ProfilePoint]:
    """Performance profiles of the methods that have all of a group, at scores between the worst and the best."""
    found = by_seed(cells)
    full = {
        m: [found[m, t] for t in group.targets]
        for m in methods_of(cells)
        if all((m, t) in found for t in group.targets)
    }
    pooled = {method: _pooled(targets) for method, targets in full.items()}
    every = [value for values, _ in pooled.values() for value in values]
    rows = []
    for method, (values, draws_NR) in pooled.items():
        about = resampled(draws_NR.shape[1], min(map(len, full[method])), len(group.targets))
        for score in np.linspace(min(every), max(every), PROFILE_POINTS):
            share = float((values > score).mean())
            low, high = interval(share, (draws_NR > score).mean(0))
            rows.append(
                ProfilePoint(
                    task=task, metric=metric, method=method, score=float(score), share=share, ci_low=low, ci_high=high,
                    resampled=about,
                )
            )  # fmt: skip
    return rows
