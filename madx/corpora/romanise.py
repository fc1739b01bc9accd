"""Text in Latin letters, for scripts that an encoder hardly knows: by uroman (Hermjakob et al. 2018), an extra.

This project uses the universal romanizer software 'uroman' written by Ulf Hermjakob, USC Information Sciences Institute
(2015-2020). (Its licence asks publications that use it to say so.)
"""

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

from madx.config import InputError


def check_romaniser() -> None:
    """Raises InputError where uroman isn't installed."""
    if find_spec("uroman") is None:
        raise InputError("romanise needs uroman; pip install 'madx-adapters[romanise]'")


def romaniser(code: str) -> Callable[[str], str]:
    """What romanises text of this language (ISO 639-3, with or without a script). Raises InputError without uroman."""
    check_romaniser()
    return lambda text: _uroman().romanize_string(text, lcode=code[:3])  # type: ignore[no-any-return]


@cache
def _uroman() -> Any:
    """Its tables take seconds to read."""
    import uroman

    return uroman.Uroman()


def everywhere(change: Callable[[str], str], value: Any) -> Any:
    """Every text in a value made of texts, lists and tuples."""
    match value:
        case str():
            return change(value)
        case tuple() | list():
            return type(value)(everywhere(change, part) for part in value)
    return value
