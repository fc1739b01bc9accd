"""Targets that a recipe describes instead of naming: `all`, `seen`, `unseen`, `script:Cyrl`, `family:Bantu`."""

from collections.abc import Sequence

from madx.catalog.find import Catalogue
from madx.catalog.language import Language
from madx.config import InputError
from madx.encoders.reference import seen_as

PLAIN = ("all", "seen", "unseen")
MARKED = ("script:", "family:")


def is_filter(name: str) -> bool:
    return name in PLAIN or name.startswith(MARKED)


def filtered(filters: Sequence[str], codes: Sequence[str], catalogue: Catalogue, encoder: str) -> list[str]:
    """The languages that some filter takes, in their order.

    Raises InputError for a filter that takes none of them, and for `seen` and `unseen` where what the encoder was
    pretrained on isn't known.
    """
    taken = set()
    for name in filters:
        own = [code for code in codes if _takes(name, catalogue.language(code), encoder)]
        if not own:
            raise InputError(f"targets: '{name}' is none of the {len(codes)} languages that have what the task needs")
        taken.update(own)
    return [code for code in codes if code in taken]


def _takes(name: str, language: Language, encoder: str) -> bool:
    kind, _, value = name.partition(":")
    if kind == "script":
        return language.script.lower() == value.lower()
    if kind == "family":
        return value.lower() in (branch.lower() for branch in language.family)
    if kind == "all":
        return True
    group = seen_as(encoder)
    if group is None:
        raise InputError(f"targets: '{name}': which languages '{encoder}' was pretrained on isn't known; name them")
    return (group in language.seen_by) == (kind == "seen")
