"""Words and their labels in files: columns (one word a line) and CoNLL-U; tables and rows are told from them.

What a file of columns does not say of itself is told by all of it: tabs or blanks, which column holds the word and
which the label, marks of documents, a language's prefix at every word (`sv:Token`, PAN-X).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from madx.catalog.task import TaskSpec
from madx.config import InputError
from madx.corpora.lines import read_lines, suffix_of
from madx.corpora.tables import JSON_LINES
from madx.tasks.sentence_rows import Sentences, check_words, of_rows
from madx.tasks.word_tables import has_header, of_table

TAB = "\t"
UPOS, WORD = 3, 1  # CoNLL-U's columns, from 0
_HINT = (
    "are the columns swapped? is the first line a header? `label_column` in the task's file, counted from 0, says which"
)
_BLANKS = re.compile(" +")
_COMMENT = re.compile(r"# ?(newdoc|newpar|[\w.:\[\]-]+( \w+)* ?=)")


class Rows(NamedTuple):
    """The lines of a sentence, their fields with tabs between them, and their numbers in the file."""

    numbers: list[int]
    lines: list[str]  # split when a field is asked for: a list for every line would keep Python's collector busy

    def column(self, number: int) -> list[str]:
        return [line.split(TAB)[number] for line in self.lines]


def read_sentences(path: Path, spec: TaskSpec, fits: Callable[[str], bool]) -> Sentences:
    """`fits`: whether a text may be one of the task's labels. Raises InputError with file:line."""
    suffix = suffix_of(path)
    if suffix in (".parquet", ".json", *JSON_LINES):
        return of_rows(path, spec.columns)
    if suffix == ".csv" or has_header(path, fits):
        return of_table(path, spec.columns, fits)
    return _of_columns(path, spec, fits)


# ------------------------------------------------------------------------------------------------------ columns


def read_conllu(path: Path) -> tuple[list[Rows], Counter[str]]:
    """CoNLL-U: sentences as the lines of their words, and what was passed over. Raises InputError with file:line."""
    skipped: Counter[str] = Counter()
    sentences = _split(read_lines(path), TAB, skipped)
    return list(_without_ranges(path, sentences, skipped)), skipped


def _of_columns(path: Path, spec: TaskSpec, fits: Callable[[str], bool]) -> Sentences:
    skipped: Counter[str] = Counter()
    lines = read_lines(path)
    before = list(islice(lines, 1000))
    separator = TAB if any(TAB in line for _, line in before) else " "
    sentences = list(_split(chain(before, lines), separator, skipped))
    if suffix_of(path) == ".conllu" or (sentences and _is_conllu(sentences)):
        sentences = list(_without_ranges(path, sentences, skipped))
        word, label, layout = WORD, UPOS if spec.label_column is None else spec.label_column, "CoNLL-U"
        for number, fields in _every(sentences):
            if len(fields) <= max(word, label):
                raise InputError(f"{path}:{number}: {len(fields)} column(s), the label should be in column {label + 1}")
    elif sentences:
        word, label = _columns(path, sentences, spec.label_column, fits)
        columns = "" if sentences[0].lines[0].count(TAB) == 1 else f"columns {word + 1} and {label + 1}, "
        layout = f"{columns}{'tabs' if separator == TAB else 'blanks'}"
    if not sentences:
        return Sentences([], [], lambda i, j: str(path), "no words", skipped)
    words = [sentence.column(word) for sentence in sentences]
    labels = [[field.strip() for field in sentence.column(label)] for sentence in sentences]
    numbers = [sentence.numbers for sentence in sentences]
    if prefix := _prefix(words):
        words = [[w[len(prefix) :] for w in sentence] for sentence in words]
        layout += f", '{prefix}' taken off every word"

    def where(i: int, j: int) -> str:
        return f"{path}:{numbers[i][j]}"

    check_words(words, where)
    return Sentences(
        words, labels, where, layout, skipped, f"Column {label + 1} was read (label_column = {label}): {_HINT}"
    )


def _every(sentences: Iterable[Rows]) -> Iterator[tuple[int, list[str]]]:
    """All lines: number and fields."""
    for numbers, rows in sentences:
        yield from ((number, row.split(TAB)) for number, row in zip(numbers, rows, strict=True))


def _split(lines: Iterable[tuple[int, str]], separator: str, skipped: Counter[str]) -> Iterator[Rows]:
    """Sentences, without comments and marks of documents."""
    sentence = Rows([], [])
    for number, line in lines:
        mark = line.startswith("-DOCSTART-")
        if mark or not line or line.isspace():
            skipped["document marks"] += mark
            if sentence.numbers:
                yield sentence
                sentence = Rows([], [])
        elif line[0] != "#" or not _is_comment(line, separator):
            sentence.numbers.append(number)
            sentence.lines.append(line.rstrip("\t ") if separator == TAB else TAB.join(_BLANKS.split(line.strip(" "))))
    if sentence.numbers:
        yield sentence


def _is_comment(line: str, separator: str) -> bool:
    """`#` alone may be a word; a comment has no columns, or is one of CoNLL-U's."""
    return (separator == TAB and TAB not in line) or _COMMENT.match(line.partition(TAB)[0]) is not None


def _is_conllu(sentences: Sequence[Rows]) -> bool:
    """Ten columns, the first of which numbers words, ranges of words or empty nodes."""
    return all(len(f) == 10 and re.fullmatch(r"\d+([-.]\d+)?", f[0]) is not None for _, f in _every(sentences))


def _without_ranges(path: Path, sentences: Iterable[Rows], skipped: Counter[str]) -> Iterator[Rows]:
    """CoNLL-U's words: neither the ranges of multiword tokens nor empty nodes."""
    for sentence in sentences:
        words = Rows([], [])
        for number, line in zip(*sentence, strict=True):
            first = line.partition(TAB)[0]
            if first.isdecimal():
                words.numbers.append(number)
                words.lines.append(line)
            elif re.fullmatch(r"\d+[-.]\d+", first):
                skipped["ranges of words" if "-" in first else "empty nodes"] += 1
            else:
                raise InputError(f"{path}:{number}: CoNLL-U begins a line with its word's number, not '{first[:40]}'")
        if words.numbers:
            yield words


def _columns(path: Path, sentences: Sequence[Rows], said: int | None, fits: Callable[[str], bool]) -> tuple[int, int]:
    """Which columns hold the word and the label. Raises InputError where that isn't certain."""
    widths = Counter(line.count(TAB) + 1 for sentence in sentences for line in sentence.lines)
    width = widths.most_common(1)[0][0]
    for number, fields in _every(sentences) if len(widths) > 1 or width < 2 else ():
        if len(fields) < 2:
            raise InputError(f"{path}:{number}: 1 column(s); a word and its label should be there, a tab between them")
        if len(fields) != width:
            raise InputError(f"{path}:{number}: {len(fields)} columns, most lines have {width}")
    first = f"{path}:{sentences[0].numbers[0]}"
    word = 1 if width > 2 and _are_numbered(sentences) else 0
    if said is not None:
        if said >= width:
            raise InputError(f"{first}: {width} columns, the label should be in column {said + 1}")
        return (0 if word == said else word), said
    others = range(word + 1, width)
    if len(others) == 1:
        return word, others[0]
    total = sum(widths.values())
    good = {c: sum(fits(field.strip()) for s in sentences for field in s.column(c)) for c in others}
    whole = [c for c in others if good[c] == total]
    if len(whole) > 1:
        raise InputError(
            f"{path}: labels of the task stand in columns {' and '.join(str(c + 1) for c in whole)}; say in the task's "
            f"file which are meant, e.g. label_column = {whole[-1]} for column {whole[-1] + 1}"
        )
    # a column with a few faults is the labels' too: the first of them will be named
    best = whole[0] if whole else max(others, key=lambda c: good[c])
    if good[best] * 2 < total:
        raise InputError(f"{first}: none of the {width} columns holds the task's labels: {_HINT}")
    return word, best


def _are_numbered(sentences: Sequence[Rows]) -> bool:
    """Whether the first column counts the words of each sentence, from 0 or from 1."""
    first = sentences[0].lines[0].partition(TAB)[0]
    if first not in ("0", "1"):
        return False
    return all(
        sentence.column(0) == [str(i + int(first)) for i in range(len(sentence.lines))] for sentence in sentences
    )


def _prefix(words: Sequence[Sequence[str]]) -> str:
    """A language's code and a colon before every word."""
    match = re.match(r"[a-z]{2,3}(-[a-z]+)*:", words[0][0]) if words else None
    if match is None or sum(map(len, words)) < 2:
        return ""
    return match[0] if all(w.startswith(match[0]) for sentence in words for w in sentence) else ""
