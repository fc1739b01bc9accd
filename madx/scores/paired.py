"""What a method is worth beside the baseline, in one test: paired over seeds and sentences.

Both methods meet the same resamples of the same sentences and of the same seeds (Koehn 2004; Dror et al. 2018), so
what is hard about a sentence, or lucky about a seed, falls out of the difference.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from madx.config import Frozen
from madx.scores.bootstrap import SEED, interval

BASELINE = "task-only"
MEAN = "mean of targets"

Draws = NDArray[np.float64]


class Drawn(NamedTuple):
    """A score and its values in the bootstrap's resamples, (R,)."""

    value: float
    draws_R: Draws


class Difference(Frozen):
    """Method minus baseline, mean over seeds, in percentage points, with its 95 % interval."""

    task: str
    metric: str
    method: str
    baseline: str
    target: str
    value: float
    ci_low: float
    ci_high: float
    seeds: int


def differences(
    task: str, metric: str, cells: Mapping[tuple[str, str, int], Drawn], sources: Sequence[str]
) -> list[Difference]:
    """From the cells (method, target, seed) of one task; nothing where the baseline was not run."""
    methods = list(dict.fromkeys(method for method, _, _ in cells))
    if BASELINE not in methods:
        return []
    rows = []
    for method in methods:
        if method == BASELINE:
            continue
        points, draws = [], []
        for target in sorted({t for m, t, _ in cells if m == method}):
            seeds = sorted(
                {s for m, t, s in cells if m == method and t == target}
                & {s for m, t, s in cells if m == BASELINE and t == target}
            )
            if not seeds:
                continue
            pairs = [(cells[method, target, s], cells[BASELINE, target, s]) for s in seeds]
            each_SR = np.stack([ours.draws_R - theirs.draws_R for ours, theirs in pairs])
            resamples = each_SR.shape[1]
            # the seeds are a sample too
            chosen_SR = np.random.default_rng(SEED).integers(0, len(seeds), (len(seeds), resamples))
            drawn_R = np.take_along_axis(each_SR, chosen_SR, axis=0).mean(0)
            point = float(np.mean([ours.value - theirs.value for ours, theirs in pairs]))
            about = {"task": task, "metric": metric, "method": method, "baseline": BASELINE, "seeds": len(seeds)}
            rows.append(_row(about, target, point, drawn_R))
            if target not in sources:
                points.append(point)
                draws.append(drawn_R)
        if points:
            rows.append(_row(about, MEAN, float(np.mean(points)), np.mean(draws, axis=0)))
    return rows


def _row(about: dict[str, Any], target: str, point: float, draws_R: Draws) -> Difference:
    low, high = interval(point, draws_R)
    return Difference(**about, target=target, value=point, ci_low=low, ci_high=high)
