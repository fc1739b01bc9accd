"""Words and labels in tables with a header: a word a row, as spreadsheets have them, or a sentence a row.

A sentence's number stands in its first row or in all; without one, empty rows part sentences. A sentence in one row
has its words and its labels in a cell each: lists as JSON or Python write them, or texts with blanks between.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from madx.catalog.task import Columns
from madx.config import InputError
from madx.corpora.lines import read_lines
from madx.corpora.tables import Record, delimiter_of, load_json, some, with_header
from madx.tasks.sentence_rows import LABELS, WORDS, Sentences, check_words, of_lists

# headers, in small letters and with _ for what is no letter
_WORDS = ("word", "token", "form", *WORDS, "sentence", "text")
_LABELS = ("tag", "label", "ner_tag", "pos_tag", *LABELS)
_NUMBERS = ("sentence_#", "sentence_id", "sent_id", "sentence_number", "sentence_no", "sentence_nr", "sentence_idx",
            "sentence_index", "sentenceid", "sentid", "sentence")  # fmt: skip
_LABEL = re.compile(r"[^\s,'\"\[\]]+")  # in a list or by itself
_TWO_TEXTS = re.compile(r"""['"]\s+['"]""")


def has_header(path: Path, fits: Callable[[str], bool]) -> bool:
    """Whether a file with tabs begins with the names of columns of words and labels, which are no labels themselves."""
    first = next((line for _, line in islice(read_lines(path), 100) if line.strip()), "")
    names = [field.strip() for field in first.split("\t")]
    called = {_plain(name) for name in names if not fits(name)}
    return bool(called & set(_WORDS)) and bool(called & set(_LABELS))


def of_table(path: Path, columns: Columns, fits: Callable[[str], bool]) -> Sentences:
    """Raises InputError with file:line."""
    records = list(with_header(path, delimiter_of(path)))
    if not records:
        return Sentences([], [], lambda i, j: str(path), "no words", Counter())
    header, rows = records[0], records[1:]
    words, possible, number = _columns(header, columns, f"{path}:{header.number}")
    filled = [row for row in rows if any(row.fields)]
    label = _that_fits(possible, filled, fits)
    said = f"columns '{header.fields[words][:40]}' and '{header.fields[label][:40]}'"
    hint = f"Column '{header.fields[label][:40]}' was read; `columns.label` in the task's file names another"
    cells = (row.fields[label].strip() for row in filled)
    if any(" " in cell or (cell[:1] == "[" and len(cell) > 1) for cell in cells):
        found = _a_sentence_a_row(path, filled, words, label, header.fields)
        return found._replace(layout=f"a sentence a row, {said}", hint=hint)
    found = _a_word_a_row(path, rows, words, label, number)
    by = "empty rows" if number is None else f"'{header.fields[number][:40]}'"
    return found._replace(layout=f"a word a row, {said}, sentences by {by}", hint=hint)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip().lower())


def _columns(header: Record, columns: Columns, where: str) -> tuple[int, list[int], int | None]:
    """Which hold the words, which may hold the labels, and which the sentence's number. Raises InputError."""
    exact = [name.strip() for name in header.fields]
    plain = [_plain(name) for name in exact]
    said = columns != Columns()
    if twice := [name for name in exact if name and exact.count(name) > 1]:
        raise InputError(f"{where}: column '{twice[0][:40]}' is there twice")
    words = next((plain.index(name) for name in _WORDS if name in plain), None)
    if said and columns.text in exact:
        words = exact.index(columns.text)
    labels = [i for i, name in enumerate(plain) if name in _LABELS and i != words]
    if said and columns.label in exact:
        labels = [exact.index(columns.label)]
    if words is None or not labels:
        what = "words (word, token, tokens)" if words is None else "labels (tag, label, tags, ner_tags, upos)"
        raise InputError(
            f"{where}: no column with the {what}; there are: {some(exact)}. The first line has to name the columns"
        )
    number = next((plain.index(name) for name in _NUMBERS if name in plain and plain.index(name) != words), None)
    return words, labels, number


def _that_fits(possible: Sequence[int], rows: Sequence[Record], fits: Callable[[str], bool]) -> int:
    """The column with the most labels of the task; of equals the first."""

    def good(column: int) -> int:
        cells = Counter(row.fields[column] for row in rows)
        return sum(count * sum(map(fits, _LABEL.findall(cell))) for cell, count in cells.items())

    return possible[0] if len(possible) == 1 else max(possible, key=good)


def _a_word_a_row(path: Path, rows: Sequence[Record], words: int, label: int, number: int | None) -> Sentences:
    if number is None and all(any(row.fields) for row in rows):
        raise InputError(
            f"{path}: no column says where a sentence begins (sentence_id), nor are there empty rows between sentences"
        )
    sentences: list[list[Record]] = []
    now, known, begun = "", set[str](), False
    for row in rows:
        if not any(row.fields):
            begun = begun and number is not None  # a sentence with a number ends where the next one begins
            continue
        its = row.fields[number].strip() if number is not None else ""
        if its and its != now:
            if its in known:
                raise InputError(
                    f"{path}:{row.number}: sentence '{its[:40]}' is here again; its rows should stand together"
                )
            known.add(its)
            now, begun = its, False
        if not begun:
            sentences.append([])
            begun = True
        sentences[-1].append(row)
    texts = [[row.fields[words].strip() for row in sentence] for sentence in sentences]

    def where(i: int, j: int) -> str:
        return f"{path}:{sentences[i][j].number}"

    check_words(texts, where)
    labels = [[row.fields[label].strip() for row in sentence] for sentence in sentences]
    return Sentences(texts, labels, where, "", Counter())


def _a_sentence_a_row(path: Path, rows: Sequence[Record], words: int, label: int, names: Sequence[str]) -> Sentences:
    places = [f"{path}:{row.number}" for row in rows]
    found = [
        tuple(_values(row.fields[c], names[c], place) for c in (words, label))
        for row, place in zip(rows, places, strict=True)
    ]
    return of_lists([(those, labels) for those, labels in found], names[words], names[label], places)


def _values(cell: str, name: str, where: str) -> Any:
    """A cell's list: JSON's, Python's, or what blanks part."""
    cell = cell.strip()
    if not cell.startswith("["):
        return cell.split()
    try:
        return load_json(cell, where)
    except InputError:
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the compiler's, about backslashes
            value = ast.literal_eval(cell)
        "".join(map(str, value)).encode()
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise InputError(
            f"{where}: column '{name[:40]}' begins like a list, but is none of JSON's or Python's"
        ) from None
    if _TWO_TEXTS.search(cell):
        raise InputError(f"{where}: column '{name[:40]}' has a list without commas (NumPy's); write it as JSON")
    return value
