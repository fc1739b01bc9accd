"""Languages as numbers: where they stand in the family tree, and their script. From the catalogue alone.

(URIEL's vectors, which MAD-G used, are in uriel.py's extra.)
"""

from collections.abc import Sequence

from madx.catalog.language import Language


def features_of(languages: Sequence[Language]) -> list[str]:
    """What languages can be told apart by: nodes of their paths, and scripts; in a fixed order."""
    return sorted({name for language in languages for name in _has(language)})


def values_of(language: Language, features: Sequence[str]) -> tuple[float, ...]:
    """1 for each feature that a language has, divided by the root of their number, so that all are equally long."""
    has = _has(language) & set(features)
    return tuple((name in has) / max(1, len(has)) ** 0.5 for name in features)


def _has(language: Language) -> set[str]:
    return {f"family {name}" for name in language.family} | {f"script {language.script}"}
