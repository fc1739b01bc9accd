"""Languages' typology out of URIEL+ (Khan et al. 2025), by `urielplus`, an optional extra.

Its vectors are CC BY-SA and not in here: a plan holds the numbers that it took from them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from importlib.util import find_spec
from io import StringIO
from typing import Any, Literal, get_args

from madx.config import InputError

Distance = Literal["featural", "syntactic", "phonological", "inventory", "genetic", "geographic"]
DISTANCES: tuple[Distance, ...] = get_args(Distance)
UNKNOWN = -1.0


def nearness_by(kind: Distance, target: str, others: list[str]) -> list[float]:
    """1 - URIEL+'s distance of each from the target, over the features that are known of both; 0 where none is.

    Raises InputError where it knows nothing of the target, or isn't installed.
    """
    with _uriel() as uriel:
        found = [_distance(uriel, kind, target, other) for other in others]
    if all(distance is None for distance in found):
        raise InputError(
            f"urielplus has no {kind} distance of '{target}' from {', '.join(others)}; take another one "
            "(merge.distance), or merge-family"
        )
    return [0.0 if distance is None else round(1.0 - distance, 6) for distance in found]


def _distance(uriel: Any, kind: Distance, target: str, other: str) -> float | None:
    if target[:3] == other[:3]:  # a language in two scripts
        return 0.0
    try:
        return float(uriel.new_distance(kind, [target[:3], other[:3]]))
    except ValueError:  # an unknown language, or nothing known of both
        return None


def vector_of(language: str) -> tuple[float, ...]:
    """Its 289 features of syntax, phonology and inventory: 1 where it has one, -1 where not, 0 where that isn't known;
    divided by the root of how many are known, so that all languages' are equally long.

    Raises InputError for a language that it knows nothing of, or where it isn't installed.
    """
    with _uriel() as uriel:
        try:
            values = uriel.get_vector("featural", [language[:3]])[language[:3]]
        except ValueError:
            values = []
    signs = [0.0 if value == UNKNOWN else 2.0 * float(value) - 1.0 for value in values]
    length = sum(sign * sign for sign in signs) ** 0.5
    if not length:
        raise InputError(f"urielplus knows no features of '{language}'; leave it out, or joint.typology = 'catalogue'")
    return tuple(round(sign / length, 6) for sign in signs)


@contextmanager
def _uriel() -> Iterator[Any]:
    """Within: its tables, and what it says of itself goes nowhere."""
    if find_spec("urielplus") is None:
        raise InputError("typology needs urielplus; pip install 'madx-adapters[typology]'")
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        logging.disable(logging.INFO)
        try:
            yield _loaded()
        finally:
            logging.disable(logging.NOTSET)
            root.handlers[:] = handlers  # it sets up logging for the whole program
            root.setLevel(level)


@cache
def _loaded() -> Any:
    from urielplus.urielplus import URIELPlus

    return URIELPlus()
