"""Contamination: how much of a test set stands in text that something was trained on.

Two counts, as usual since Brown et al. 2020 (GPT-3, appendix C): whole sentences that are the same but for case,
punctuation and blanks; and sentences of which a run of eight words is found.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence

from madx.config import Frozen

WORDS, CHARACTERS = 8, 16  # of a run; characters in languages written without blanks


class Contamination(Frozen):
    """Of one test set."""

    sentences: int
    matched: int  # sentences that are a training text's line
    long: int  # sentences with a run's length or more
    overlapping: int  # of these, those that share a run with training text

    @property
    def matched_share(self) -> float:
        return self.matched / max(1, self.sentences)

    @property
    def overlapping_share(self) -> float:
        return self.overlapping / max(1, self.long)


def normalised(text: str, has_spaces: bool = True) -> Sequence[str]:
    """Words, or characters, in lower case without punctuation, symbols and marks of their own."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    bare = "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in folded)
    return bare.split() if has_spaces else "".join(bare.split())


def _runs(units: Sequence[str], has_spaces: bool) -> Iterator[str]:
    length = WORDS if has_spaces else CHARACTERS
    joint = " " if has_spaces else ""
    for start in range(len(units) - length + 1):
        yield joint.join(units[start : start + length])


def contamination(
    tests: Mapping[str, Sequence[str]], training: Iterable[str], has_spaces: bool = True
) -> dict[str, Contamination]:
    """Test sets of one language, by name, against lines of training text, which is read once and not kept.

    Memory grows with the test sets alone. An empty sentence matches nothing.
    """
    wholes: dict[str, set[tuple[str, int]]] = {}
    runs: dict[str, set[tuple[str, int]]] = {}
    long = dict.fromkeys(tests, 0)
    for name, sentences in tests.items():
        for number, sentence in enumerate(sentences):
            units = normalised(sentence, has_spaces)
            if units:
                wholes.setdefault(" ".join(units), set()).add((name, number))
            own = list(_runs(units, has_spaces))
            long[name] += bool(own)
            for run in own:
                runs.setdefault(run, set()).add((name, number))
    matched: set[tuple[str, int]] = set()
    overlapping: set[tuple[str, int]] = set()
    for line in training:
        units = normalised(line, has_spaces)
        matched |= wholes.get(" ".join(units), set())
        for run in _runs(units, has_spaces):
            if run in runs:
                overlapping |= runs[run]
    return {
        name: Contamination(
            sentences=len(sentences), long=long[name],
            matched=sum(which == name for which, _ in matched),
            overlapping=sum(which == name for which, _ in overlapping),
        )
        for name, sentences in tests.items()
    }  # fmt: skip
