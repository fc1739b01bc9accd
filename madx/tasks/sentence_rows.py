"""Sentences as rows: lists of words and of labels in JSON lines, JSON, parquet and the Hub's data sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from madx.catalog.task import Columns
from madx.config import InputError
from madx.corpora.tables import Row, read_rows, some

NUL = "\x00"
WORDS = ("tokens", "words", "token")
LABELS = ("upos", "ner_tags", "pos_tags", "tags", "labels", "ner", "pos")


class Sentences(NamedTuple):
    """For errors: `where(i, j)` is the place of word j of sentence i, `hint` what to look at where no label fits."""

    words: list[list[str]]
    labels: list[list[str]]
    where: Callable[[int, int], str]
    layout: str  # what the file was recognised as
    skipped: Counter[str]  # what is in the file and no word
    hint: str = ""


def check_words(words: Sequence[Sequence[str]], where: Callable[[int, int], str]) -> None:
    """Raises InputError for words that are none: empty, with a NUL, or all of them `_`."""
    if words and all(w == "_" for sentence in words for w in sentence):
        raise InputError(f"{where(0, 0)}: every word is '_': this data set is published without its text")
    for i, sentence in enumerate(words):
        for j, word in enumerate(sentence):
            if not word or NUL in word:
                raise InputError(f"{where(i, j)}: {'a NUL character in a word' if word else 'an empty word'}")


def label_columns(names: Sequence[str] | Row, columns: Columns, where: str) -> tuple[str, str]:
    """Which columns of a table hold the words and the labels: those the task names, or the usual ones."""
    said = columns != Columns()
    found = [
        next((n for n in ((own, *usual) if said else usual) if n in names), None)
        for own, usual in ((columns.text, WORDS), (columns.label, LABELS))
    ]
    words, labels = found
    if words is None or labels is None:
        what = "words (tokens)" if words is None else "labels (tags, ner_tags, upos)"
        raise InputError(f"{where}: no column with the {what}; there are: {some(names)}")
    return words, labels


def words_of(row: Row, where: str) -> list[str]:
    """The words of a row without labels, a list of texts under one of the usual names. Raises InputError."""
    name = next((name for name in WORDS if name in row), None)
    if name is None:
        raise InputError(f"{where}: no column with the words (tokens); there are: {some(row)}")
    words = row[name]
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InputError(f"{where}: column '{name}' should hold a list of texts, one for each word")
    if any(not word or NUL in word for word in words):
        raise InputError(f"{where}: an empty word, or a NUL character in one")
    return words


def of_rows(path: Path, columns: Columns) -> Sentences:
    found, places, names = [], [], ("", "")
    for place, row in read_rows(path, ()):
        names = label_columns(row, columns, place)
        found.append((row[names[0]], row[names[1]]))
        places.append(place)
    return of_lists(found, *names, places)


def of_lists(found: Sequence[tuple[Any, Any]], words: str, labels: str, places: Sequence[str]) -> Sentences:
    """Sentences as (tokens, labels), from columns that are called `words` and `labels`. Raises InputError."""
    filled = []
    for place, (tokens, tags) in zip(places, found, strict=True):
        for value, name in ((tokens, words), (tags, labels)):
            if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
                hint = "; write the labels' names" if name == labels else ""
                raise InputError(f"{place}: column '{name}' should hold a list of texts, one for each word{hint}")
        if len(tokens) != len(tags):
            raise InputError(f"{place}: {len(tokens)} words, but {len(tags)} labels")
        if tokens:
            filled.append((place, tokens, tags))

    def where(i: int, j: int) -> str:
        return f"{filled[i][0]}, word {j + 1}"

    every_word = [tokens for _, tokens, _ in filled]
    check_words(every_word, where)
    skipped = Counter({"empty sentences": len(found) - len(filled)})
    return Sentences(every_word, [tags for _, _, tags in filled], where, "rows of tokens and labels", skipped)
