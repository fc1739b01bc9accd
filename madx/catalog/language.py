"""A language: what it is and where its text is."""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from madx.config import PLACE, Frozen, InputError, nearest, validate

CODE = r"^[a-z]{3}(-[A-Z][a-z]{3})?$"  # ISO 639-3, and a second script's
# scripts written without spaces between words
UNSPACED = {"Hani", "Hans", "Hant", "Jpan", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"}


class TextSource(Frozen):
    """One piece of a language's text: a file (or folder) or a Hub dataset, with its licence."""

    name: Annotated[str, PLACE] = "own"  # of the collection, for reports
    file: Annotated[str | None, PLACE] = None  # absolute, beside the recipe, under --data, or in the working directory
    lines: tuple[int, int] | None = None  # first and last line, from 1
    part: tuple[int, int] | None = None  # (k, n): every n-th document from the k-th on; a recipe's silos
    hub: str | None = None  # a data set instead of a file, OWNER/NAME
    config: str | None = None  # of the data set
    split: str = "train"  # of the data set
    column: str = "text"  # of the data set, or of a table
    triples: str | None = None  # the file holds ConceptNet's edges, of which those of this language's tag are read
    revision: str | None = None  # of the data set: a commit, branch or tag
    romanised: str | None = None  # by the rules of this language; a recipe's `romanise` says so
    licence: Annotated[str, PLACE] = "unknown"  # of the text; adapters' cards name it
    noncommercial: Annotated[bool, PLACE] = False  # what is trained on it is, too
    parallel: Annotated[bool, PLACE] = False  # line i is the same sentence in every language that has this source

    @model_validator(mode="after")
    def _lines_in_order(self) -> "TextSource":
        if self.lines is not None and not 1 <= self.lines[0] <= self.lines[1]:
            raise ValueError(f"lines = {list(self.lines)}: the first and the last line, from 1")
        return self


class Language(Frozen):
    """`languages/CODE.toml`."""

    code: str = Field(pattern=CODE)  # ISO 639-3, with -Script for a second script
    name: str  # in English
    script: str = Field(pattern=r"^[A-Z][a-z]{3}$")  # ISO 15924
    family: tuple[str, ...] = ()  # from the family down to the language's own branch
    aliases: tuple[str, ...] = ()  # other names and codes, which commands take
    seen_by: tuple[str, ...] = ()  # encoders whose pretraining had it
    text: tuple[TextSource, ...] = ()  # files, "COLLECTION:KEY", or tables of the keys below

    @property
    def has_spaces(self) -> bool:
        return self.script not in UNSPACED


@cache
def _known_sources() -> dict[str, dict[str, Any]]:
    with open(Path(__file__).parent / "sources.toml", "rb") as file:
        return tomllib.load(file)


def parse_source(entry: Any, where: str) -> TextSource:
    """`"ntrex:fao"` (a source of sources.toml and its key), `"tatoeba:fao:1-3470"`, a path, or a table."""
    if isinstance(entry, dict):
        said_by_recipes = {"romanised": "romanise = [...]", "part": "[federated] silos = N"}
        for key in said_by_recipes.keys() & entry:
            raise InputError(f"{where}: key '{key}': a recipe says that: {said_by_recipes[key]}")
        return validate(TextSource, entry, where)
    if not isinstance(entry, str):
        raise InputError(f"{where}: key 'text': {entry!r} is neither a text nor a table")
    match = re.fullmatch(r"([a-z0-9-]+):([^:]+)(?::(\d+)-(\d+))?", entry)
    if match is None:
        return TextSource(file=entry)
    name, key, first, last = match.groups()
    known = _known_sources()
    if name not in known:
        raise InputError(f"{where}: unknown text source '{name}'{nearest(name, list(known))}")
    about = {k: v.format(key) if k in ("file", "config") else v for k, v in known[name].items() if k != "url"}
    return TextSource(name=name, lines=(int(first), int(last)) if first else None, **about)


def read_language(path: Path, data: dict[str, Any]) -> Language:
    where = str(path)
    entries = data.get("text", [])
    if not isinstance(entries, list):
        raise InputError(f"{where}: key 'text' must be a list")
    sources = [parse_source(entry, where).model_dump() for entry in entries]
    return validate(Language, {**data, "code": path.stem, "text": sources}, where)
