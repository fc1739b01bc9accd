"""Text out of a knowledge graph: ConceptNet's edges as sentences, for adapters that learn what the graph knows.

After Lauscher et al. 2020 (arXiv 2005.11787), who train adapters with masked language modelling on such sentences. A
line is `/a/[...]`, relation, start, end, about it, with tabs between; terms are `/c/<language>/<words>[/...]`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from madx.config import InputError
from madx.corpora.lines import read_lines

# in words; the others are their own names, taken apart: /r/RelatedTo is "related to"
ENGLISH = {
    "IsA": "is a", "PartOf": "is a part of", "HasA": "has a", "UsedFor": "is used for", "CapableOf": "can",
    "AtLocation": "is found at", "Causes": "causes", "HasProperty": "is", "MadeOf": "is made of", "Antonym": "is not",
    "Synonym": "means the same as", "SimilarTo": "is like", "Desires": "wants", "CreatedBy": "is made by",
    "HasPrerequisite": "needs", "MotivatedByGoal": "is done for", "DefinedAs": "is defined as",
}  # fmt: skip


def sentences(path: Path, tag: str) -> Iterator[str]:
    """Edges between two terms of a language, `tag` as in the file (en, sw, ...). Relations are said in English only: in
    another language the two terms stand side by side. Raises InputError with file:line.
    """
    for number, line in read_lines(path):
        fields = line.split("\t")
        if len(fields) < 4 or not fields[1].startswith("/r/"):
            raise InputError(f"{path}:{number}: not an edge as ConceptNet has them: /a/..., /r/..., /c/..., /c/...")
        start, end = (_words(term, tag) for term in fields[2:4])
        if start and end:
            yield f"{start} {_relation(fields[1])} {end}." if tag == "en" else f"{start}, {end}."


def _words(term: str, tag: str) -> str | None:
    parts = term.split("/")
    return parts[3].replace("_", " ") if parts[:3] == ["", "c", tag] and len(parts) > 3 else None


def _relation(uri: str) -> str:
    name = uri.removeprefix("/r/").split("/")[-1]
    return ENGLISH.get(name) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
