"""Tag schemes of entities: IOB1, IOB2, BIOES and BILOU are told apart by a whole file, and read as IOB2.

Ramshaw and Marcus 1995 (IOB1); Ratinov and Roth 2009 (BILOU); what an entity is in each, seqeval says (mode strict).
"""

from collections.abc import Iterable, Sequence

from madx.catalog.task import SCHEME_LETTERS

Tags = Sequence[str]


def are_entities(labels: Iterable[str]) -> bool:
    """Whether a task's labels mark entities: O, and others with a scheme's letter before a hyphen."""
    rest = set(labels) - {"O"}
    return bool(rest) and all(label[:1] in SCHEME_LETTERS and label[1:2] == "-" for label in rest)


def scheme_of(sentences: Iterable[Tags]) -> str:
    """The scheme that all of a file's tags are in. Raises ValueError where letters of two schemes are mixed.

    IOB1 has B- only between two entities of one type that touch, and begins the others with I-. A file that begins
    some with I- and others with B- is IOB2 with a few faults.
    """
    letters: set[str] = set()
    lone = opening = 0
    for tags in sentences:
        before = "O"
        for tag in tags:
            if tag != "O":
                letters.add(tag[0])
                if before[2:] != tag[2:]:  # an entity begins here, whatever the letter
                    lone += tag[0] == "I"
                    opening += tag[0] == "B"
            before = tag
    if letters & set("ES") and letters & set("LU"):
        raise ValueError("labels of BIOES (E-, S-) and of BILOU (L-, U-) are mixed")
    if letters & set("ES"):
        return "BIOES"
    if letters & set("LU"):
        return "BILOU"
    return "IOB1" if lone and not opening else "IOB2"


def to_iob2(sentences: Sequence[Tags], scheme: str) -> list[list[str]]:
    """The same entities in IOB2. A tag that belongs to no entity of its scheme becomes O."""
    if scheme == "IOB2":
        return [list(tags) for tags in sentences]
    from seqeval import scheme as schemes  # with scikit-learn: 0.7 s

    theirs = {"IOB1": schemes.IOB1, "BIOES": schemes.IOBES, "BILOU": schemes.BILOU}[scheme]
    found = [["O"] * len(tags) for tags in sentences]
    marked = [i for i, tags in enumerate(sentences) if any(tag != "O" for tag in tags)]
    for i, entities in zip(
        marked, schemes.Entities([list(sentences[i]) for i in marked], theirs, False).entities, strict=True
    ):
        for entity in entities:
            inside = [f"I-{entity.tag}"] * (entity.end - entity.start)
            found[i][entity.start : entity.end] = inside
            found[i][entity.start] = f"B-{entity.tag}"
    return found


def entities(tags: Tags) -> list[tuple[int, int, str]]:
    """(first word, last word + 1, type) of entities in IOB2; one that begins with I- is one too, as in conlleval."""
    found: list[tuple[int, int, str]] = []
    before = "O"
    for i, tag in enumerate(tags):
        if tag != "O":
            goes_on = tag[0] == "I" and before[2:] == tag[2:]
            first = found.pop()[0] if goes_on else i
            found.append((first, i + 1, tag[2:]))
        before = tag
    return found
