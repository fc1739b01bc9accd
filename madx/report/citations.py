"""Which works a paper that uses a run should cite, as BibTeX."""

import re
import tomllib
from functools import cache
from pathlib import Path

from madx.config import Frozen
from madx.report.run_file import RunFile


class Citation(Frozen):
    """`wanted`: what it is cited for; see citations.toml."""

    key: str
    wanted: tuple[str, ...]
    bibtex: str


@cache
def _known() -> list[Citation]:
    with open(Path(__file__).parent / "citations.toml", "rb") as file:
        table = tomllib.load(file)
    return [Citation(key=key, wanted=tuple(about["for"]), bibtex=about["bibtex"]) for key, about in table.items()]


def citations(run: RunFile) -> list[Citation]:
    """Of a run's methods, encoder, texts and labelled data; and of the statistics."""
    used = {"always", *(f"method:{method}" for method in run.methods)}
    used |= {f"text:{source.name}" for text in run.texts.values() for source in text.sources}
    data = " ".join(f"{source.name} {source.licence}" for source in run.licences.values())
    model = run.model.name.lower()

    def cited(name: str) -> bool:
        kind, _, part = name.partition(":")
        if kind == "encoder":
            return model == part if part == "mini" else part in model
        return part in data if kind == "data" else name in used

    return [citation for citation in _known() if any(map(cited, citation.wanted))]


def bibtex(found: list[Citation]) -> str:
    """A .bib file: a field a line."""
    entries = (citation.bibtex.replace("%s", citation.key) for citation in found)
    return "\n".join(re.sub(r", (?=[a-z]+=\{)", ",\n  ", entry) + "\n" for entry in entries)
