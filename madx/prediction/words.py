"""Words and sentences of running text, by a rule that can be said in a few lines (docs/predict.md).

A word is a run of letters, marks and digits, apostrophes and hyphens between letters and points and commas between
digits inside it; any other sign is a word by itself, several of the same together. Letters of scripts that are written
without blanks (Han, kana, Thai, Lao, Khmer, Burmese, Tibetan) are divided as the encoder's tokenizer divides them.
A sentence ends at . ! ? and their like, and what closes after them, where a blank follows and no lower-case letter.
"""

import unicodedata
from collections.abc import Callable
from functools import cache

from madx.corpora.clean import UNSPACED_LETTER

Span = tuple[int, int]  # first and last + 1 character
BLANKS = "\u200b\ufeff"  # no blanks by their category, but nothing else either
BETWEEN_LETTERS, BETWEEN_DIGITS = "'’ʼ-\u2010\u2011·", ".,:"
# what ends a sentence: where a blank follows; and anywhere, in scripts that set none
ENDS, ALWAYS = ".!?…‥؟۔।॥።፧;՜՞", "。．！？｡።"
CLOSING = ")]}»”’\"'」』】）〉》"


@cache
def _class_of(character: str) -> str:
    category = unicodedata.category(character)
    if character.isspace() or category in ("Cc", "Zs", "Zl", "Zp") or character in BLANKS:
        return "blank"
    return "word" if category[0] in "LMN" or category in ("Cf", "Pc") else "sign"


def words_of(text: str, pieces: Callable[[str], list[int]]) -> list[Span]:
    """Where the words are. `pieces`: where the pieces of a text begin for the encoder's tokenizer."""
    found: list[Span] = []
    start = 0
    while start < len(text):
        kind = _class_of(text[start])
        end = start + 1
        if kind == "word":
            while end < len(text) and (_class_of(text[end]) == "word" or _is_inside(text, end)):
                end += 1
            found += _divided(text, start, end, pieces)
        elif kind == "sign":
            while end < len(text) and (text[end] == text[start] or unicodedata.category(text[end])[0] == "M"):
                end += 1
            found.append((start, end))
        start = end
    return found


def _is_inside(text: str, place: int) -> bool:
    """Whether a sign stands between two letters or two digits that it doesn't part."""
    if place + 1 >= len(text):
        return False
    before, after = text[place - 1], text[place + 1]
    if text[place] in BETWEEN_LETTERS:
        return unicodedata.category(before)[0] in "LM" and after.isalpha()
    return text[place] in BETWEEN_DIGITS and before.isdecimal() and after.isdecimal()


def _divided(text: str, start: int, end: int, pieces: Callable[[str], list[int]]) -> list[Span]:
    """A run of letters; where its script has no blanks, in the tokenizer's pieces, no mark parted from its letter."""
    found: list[Span] = []
    while start < end:
        unspaced, stop = _is_unspaced(text[start]), start + 1
        while stop < end and (_is_unspaced(text[stop]) == unspaced or unicodedata.category(text[stop])[0] == "M"):
            stop += 1
        run = text[start:stop]
        places = {0, *(at for at in pieces(run) if unicodedata.category(run[at])[0] != "M")} if unspaced else {0}
        begins = sorted(places)
        found += [(start + a, start + b) for a, b in zip(begins, [*begins[1:], len(run)], strict=True)]
        start = stop
    return found


def _is_unspaced(letter: str) -> bool:
    return UNSPACED_LETTER.match(letter) is not None


def sentences_of(text: str, words: list[Span]) -> list[list[Span]]:
    """The words of each sentence."""
    found: list[list[Span]] = [[]]
    for number, (start, end) in enumerate(words):
        found[-1].append((start, end))
        if number + 1 < len(words) and _ends(text, words, number):
            found.append([])
    return [sentence for sentence in found if sentence]


def _ends(text: str, words: list[Span], last: int) -> bool:
    """Whether a sentence ends with this word."""
    following = text[words[last + 1][0]]
    mark = last
    while mark and text[words[mark][0]] in CLOSING and words[mark - 1][1] == words[mark][0]:
        mark -= 1
    end = text[words[mark][0]]
    if following in CLOSING and words[last][1] == words[last + 1][0]:
        return False  # it closes what has ended
    if end in ALWAYS:
        return following not in ALWAYS
    if end not in ENDS or words[last][1] == words[last + 1][0] or following.islower():
        return False
    # the point of an initial, `J. Lund`
    before = words[mark - 1] if mark else (0, 0)
    return not (end == "." and before[1] - before[0] == 1 and text[before[0]].isupper())
