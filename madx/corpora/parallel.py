"""Parallel text: line i of one file is the translation of line i of the other."""

from itertools import zip_longest
from pathlib import Path
from typing import Annotated

from madx.config import PLACE, Frozen, InputError
from madx.corpora.lines import read_lines
from madx.corpora.romanise import romaniser

MOST_PAIRS = 20_000  # more teach a language adapter nothing new
FEWEST_PAIRS = 100


class ParallelFiles(Frozen):
    source: str
    target: str
    name: str = "own"
    licence: str = "unknown"


class ParallelText(Frozen):
    """Sentences of a source language with their translations. `digests`: of the files' content, in their order."""

    source: str
    target: str
    files: Annotated[tuple[ParallelFiles, ...], PLACE]
    digests: tuple[str, ...]
    romanised: tuple[str, ...] = ()  # languages, of the two

    def pairs(self) -> list[tuple[str, str]]:
        """(source sentence, target sentence); a blank line means that it is missing. Raises InputError."""
        pairs = self._as_written()
        for side, code in enumerate((self.source, self.target)):
            if code in self.romanised:
                change = romaniser(code)
                pairs = [(change(left), right) if side == 0 else (left, change(right)) for left, right in pairs]
        return pairs

    def _as_written(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        for files in self.files:
            lines = zip_longest(read_lines(Path(files.source)), read_lines(Path(files.target)))
            for left, right in lines:
                if left is None or right is None:
                    short, number = (files.source, right) if left is None else (files.target, left)
                    raise InputError(
                        f"{short}: ends before line {number[0]}, which the other file of the parallel text has; line i "
                        "of one file must be the translation of line i of the other"
                    )
                if left[1].strip() and right[1].strip():
                    found.append((left[1], right[1]))
                if len(found) == MOST_PAIRS:
                    return found
        if len(found) < FEWEST_PAIRS:
            raise InputError(
                f"parallel text of {self.source} and {self.target}: {len(found)} sentence pairs; {FEWEST_PAIRS} are "
                "the least from which word links can be learnt"
            )
        return found
