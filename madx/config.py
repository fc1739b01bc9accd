"""Values that come from people: read into frozen, strict models, and a digest for any value.

An error names the file, the key and the nearest known key.
"""

import difflib
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError


class InputError(Exception):
    """Something a person wrote cannot be right: a recipe, a catalogue file, data, an option. Exit status 2."""


class RunError(Exception):
    """Something went wrong while running. Exit status 1."""


def first_line(error: BaseException) -> str:
    """What another library's error says, in one line."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


class Place:
    """Marks a field that only says where something lies, or what people call it: `folder: Annotated[str, PLACE]`.

    Such a field is not part of a value's digest.
    """


PLACE = Place()


class Frozen(BaseModel):
    """A value: immutable, strict about unknown keys, equal by content."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    version: ClassVar[int] = 1  # raised where the same fields come to mean another result

    @cached_property
    def digest_of_fields(self) -> str:
        """See `digest`; computed once."""
        return _short({"type": [type(self).__name__, self.version], **{name: _plain(v) for name, v in self.said()}})

    def said(self) -> Iterator[tuple[str, Any]]:
        """The fields that tell this value from others: those that aren't places, where they aren't their defaults."""
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if PLACE not in field.metadata and (field.is_required() or value != field.get_default()):
                yield name, value

    def __copy__(self) -> Self:
        copy = super().__copy__()
        for name in set(copy.__dict__) - set(type(self).model_fields):  # what was computed from other fields
            del copy.__dict__[name]
        return copy


Model = TypeVar("Model", bound=BaseModel)


def digest(value: Any) -> str:
    """Twelve hexadecimal digits that name a value: type names and fields, nested, whatever the order of keys.

    A place isn't in it, nor is a field at its default: a new option renames nothing. (So a default, once there, stays:
    whoever wants another one adds a field. tests/test_config.py holds them.)
    """
    return value.digest_of_fields if isinstance(value, Frozen) else _short(_plain(value))


def _short(plain: Any) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]


def _plain(value: Any) -> Any:
    if isinstance(value, Frozen):
        return {"value": value.digest_of_fields}
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"{type(value).__name__} has no digest")


@contextmanager
def named(path: object) -> Iterator[None]:
    """Within, an OSError says which file it is about: the system has no name for one that is open already."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with named(path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def validate(model: type[Model], data: dict[str, Any], where: str) -> Model:
    """A dictionary as a model. Raises InputError that names the key and the nearest known one.

    Strict about numbers and texts ("3" is no number); lists stand for tuples, as TOML has no tuples.
    """
    try:
        return model.model_validate_json(json.dumps(data, default=str), strict=True)
    except RecursionError:
        raise InputError(f"{where}: nested too deeply") from None
    except ValidationError as error:
        # a misspelt key is more telling than the missing one that it leaves
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = _known_keys(model, first["loc"][:-1])
            raise InputError(f"{where}: unknown key '{key}'{nearest(str(first['loc'][-1]), known)}") from None
        if first["type"] == "missing":
            raise InputError(f"{where}: missing key '{key}'") from None
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{where}: key '{key}': {message}" if key else f"{where}: {message}") from None


def nearest(word: str, known: list[str]) -> str:
    """ ", did you mean 'x'?" or a short list of what there is."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f", did you mean '{close[0]}'?"
    return f"; known: {', '.join(sorted(known))}" if 0 < len(known) <= 30 else ""


def _known_keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    for part in path:
        field = model.model_fields.get(str(part))
        annotation = field.annotation if field else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return [field.alias or name for name, field in model.model_fields.items()]
