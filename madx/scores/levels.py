"""What is resampled beside sentences: seeds, then languages. Every method meets the same draws, so methods pair.

Seeds are crossed with languages, as one task adapter answers all targets: a draw takes the same seeds everywhere.
Languages that were drawn are sampled as a whole (a hierarchical bootstrap; Davison & Hinkley 1997, section 3.8). That
is a little wide, as the spread over languages holds that of their sentences already; with two or three seeds their
part is a little narrow. Fewer than five languages are no sample of languages: they are taken as they are.
In simulations 95 % intervals of a mean held the truth in 95 % of cases with 20 languages and four seeds, in 91 % with
two seeds, in 87 % with six languages and three seeds (300 trials each).
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from madx.scores.bootstrap import SEED

FEWEST_LANGUAGES = 5
MEAN = "mean of targets"

Draws = NDArray[np.float64]


class Drawn(NamedTuple):
    """A score and its values in the bootstrap's resamples of the test set, (R,)."""

    value: float
    draws_R: Draws


Cells = Mapping[tuple[str, str, int], Drawn]  # of one task and metric, by method, target, seed


class Group(NamedTuple):
    """Targets that a mean is taken over."""

    name: str  # "targets", "unseen", "script Cyrl", ...
    targets: tuple[str, ...]

    @property
    def mean(self) -> str:
        """What a row with their mean is called."""
        return f"mean of {self.name}"


def methods_of(cells: Cells) -> list[str]:
    """In the recipe's order."""
    return list(dict.fromkeys(method for method, _, _ in cells))


def by_seed(cells: Cells) -> dict[tuple[str, str], dict[int, Drawn]]:
    """The seeds' cells of each method and target, sorted."""
    found: dict[tuple[str, str], dict[int, Drawn]] = {}
    for (method, target, seed), drawn in sorted(cells.items(), key=lambda item: item[0][2]):
        found.setdefault((method, target), {})[seed] = drawn
    return found


@lru_cache(maxsize=32)
def chosen_seeds(seeds: int, resamples: int) -> NDArray[np.int64]:
    """(S, R): which seeds are in each draw."""
    return np.random.default_rng(SEED).integers(0, seeds, (seeds, resamples))


def over_seeds(each_SR: Draws) -> Draws:
    """Means over resampled seeds, (R,); a single seed stays as it is."""
    chosen_SR = chosen_seeds(*each_SR.shape)
    mean_R: Draws = each_SR[0] if len(each_SR) == 1 else np.take_along_axis(each_SR, chosen_SR, axis=0).mean(0)
    return mean_R


@lru_cache(maxsize=32)
def chosen_languages(languages: int, resamples: int) -> NDArray[np.int64]:
    """(L, R): which languages are in each draw; all of them, once, where they are few."""
    if languages < FEWEST_LANGUAGES:
        return np.tile(np.arange(languages)[:, None], (1, resamples))
    return np.random.default_rng((SEED, 1)).integers(0, languages, (languages, resamples))


def over_languages(each_LR: Draws) -> Draws:
    """Means over resampled languages, (R,)."""
    mean_R: Draws = np.take_along_axis(each_LR, chosen_languages(*each_LR.shape), axis=0).mean(0)
    return mean_R


def resampled(sentences: int, seeds: int, languages: int = 1) -> str:
    """Which levels an interval is about, in words; "nothing" where there were no resamples."""
    levels = {"languages": languages >= FEWEST_LANGUAGES, "seeds": seeds > 1, "sentences": True}
    return " x ".join(name for name, there in levels.items() if there) if sentences else "nothing"


def groups_of(targets: Mapping[str, Sequence[str]], labels: Mapping[str, Sequence[str]]) -> list[Group]:
    """Targets that a mean is worth taking over. `targets`: the scored ones of each method, the source's not among them;
    `labels`: what a target is ("unseen", "script Cyrl", "family Bantu", "family Turkic").

    All of the methods with the most targets; those that every method has, where some are held to fewer, so that no
    method is without a mean; and each label that three of the targets share and not all have (seen and unseen: one, and
    those of them that every method has).
    """
    most = max((len(set(codes)) for codes in targets.values()), default=0)
    full = [set(codes) for codes in targets.values() if len(set(codes)) == most]
    all_ = sorted(set.intersection(*full)) if full else []
    if not all_:
        return []
    groups = [Group("targets", tuple(all_))]
    common = sorted(set.intersection(*map(set, targets.values())))
    if common and common != all_:
        groups.append(Group("common targets", tuple(common)))
    names = sorted({label for code in all_ for label in labels.get(code, ())}, key=_order)
    sets: set[tuple[str, ...]] = {tuple(all_)}
    for name in names:
        own = tuple(code for code in all_ if name in labels.get(code, ()))
        if own not in sets and len(own) >= (
            1 if name in SEEN else 3
        ):  # a family's branch that is all of it says no more
            groups.append(Group(name, own))
            sets.add(own)
            shared = tuple(code for code in own if code in common)
            if name in SEEN and 0 < len(shared) < len(own) and list(shared) != common:
                groups.append(Group(f"common {name}", shared))
    return groups


SEEN = ("seen", "unseen")  # by the encoder in its pretraining


def _order(label: str) -> tuple[bool, bool, str]:
    return label not in SEEN, label.startswith("family"), label
