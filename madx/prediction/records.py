"""What is to be labelled, read from text, TSV, CoNLL-U or JSON lines. What was read beside it is kept.

The format is that of a file's extension, or the one that is said; a line's content never decides it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from madx.catalog.task import TaskSpec
from madx.config import InputError
from madx.corpora.documents import check_is_text
from madx.corpora.lines import Source, read_lines, suffix_of
from madx.corpora.tables import Row, delimited, json_object, text_of
from madx.prediction.words import Span, sentences_of, words_of
from madx.tasks.kinds import Kind, kind_of

Format = Literal["text", "tsv", "csv", "conllu", "jsonl"]
FORMATS: tuple[Format, ...] = get_args(Format)
_SUFFIXES: dict[str, Format] = {
    ".txt": "text", ".tsv": "tsv", ".csv": "csv", ".conllu": "conllu", ".jsonl": "jsonl", ".ndjson": "jsonl",
}  # fmt: skip
LANGUAGE = "language"  # the column, key or comment that names a line's language
SENTENCE = "sent_id"  # the comment that names a sentence, and its key or column
_TOKENS = ("tokens", "words", "token")
_COMMENT = re.compile(r"#\s*(\w+)\s*=\s*(.*)")


class Sentence(NamedTuple):
    words: list[str]
    places: list[Span]  # of each word, in characters of the record's text
    divided: bool = False  # by madx; else the words were given


class Record(NamedTuple):
    """A line, a row, or a sentence of a file with a word a line. Without `sentences` and `inputs`: nothing to label."""

    where: str
    text: str = ""  # what places count in
    language: str | None = None
    row: Row = {}
    sentences: tuple[Sentence, ...] = ()  # where words are labelled
    inputs: Any = None  # where rows are
    lines: tuple[str, ...] = ()  # of a file with a word a line ...
    at: tuple[int, ...] = ()  # ... and which of them are words
    conllu: bool = False  # whether those lines are CoNLL-U's

    @property
    def is_blank(self) -> bool:
        return not self.sentences and self.inputs is None

    @property
    def is_row(self) -> bool:
        """Else it only stands between the sentences of a file with a word a line."""
        return not (self.is_blank and self.lines)


def format_of(path: Path, option: str = "--format") -> Format:
    """By its extension. `option`: what else says it. Raises InputError."""
    known = _SUFFIXES.get(suffix_of(path))
    if known is None:
        to_read = "; save a word processor's file as plain text" if option == "--format" else ""
        formats = f"{', '.join(FORMATS[:-1])} or jsonl"
        raise InputError(f"{path}: its name doesn't say its format; say {option} {formats}{to_read}")
    return known


class Reader:
    """Reads for one task. `pieces`: where a text's pieces begin for the encoder's tokenizer."""

    def __init__(self, task: TaskSpec, pieces: Callable[[str], list[int]], pretokenized: bool = False) -> None:
        self.task, self.pieces, self.pretokenized = task, pieces, pretokenized
        self.kind: Kind = kind_of(task)

    def read(self, source: Source, format_: Format, said: bool = True) -> list[Record]:
        """Everything, before any of it is labelled. `said`: the format was not only the file's extension.

        Raises InputError with file:line.
        """
        readers: dict[Format, Callable[[Source], Iterator[Record]]] = {
            "text": self._text if said else self._checked_text, "tsv": self._tsv, "csv": self._csv,
            "conllu": self._conllu, "jsonl": self._jsonl,
        }  # fmt: skip
        return list(readers[format_](source))

    def record(self, item: str | Mapping[str, Any], where: str) -> Record:
        """A text, or a row as JSON lines have them. Raises InputError."""
        return self._of_line(item, where) if isinstance(item, str) else self._of_row(dict(item), where)

    # -------------------------------------------------------------------------------------------- lines and rows

    def _text(self, source: Source) -> Iterator[Record]:
        for number, line in read_lines(source):
            yield self._of_line(line, f"{source}:{number}")

    def _checked_text(self, source: Source) -> Iterator[Record]:
        for _, line in read_lines(source):
            check_is_text(source, line)
            break
        yield from self._text(source)

    def _jsonl(self, source: Source) -> Iterator[Record]:
        for number, line in read_lines(source):
            where = f"{source}:{number}"
            yield self._of_row(json_object(line, where), where) if line.strip() else Record(where)

    def _csv(self, source: Source) -> Iterator[Record]:
        yield from self._table(source, ",")

    def _tsv(self, source: Source) -> Iterator[Record]:
        if self.kind.OF_WORDS:
            yield from self._blocks(source, conllu=False)
        else:
            yield from self._table(source, "\t")

    def _table(self, source: Source, delimiter: str) -> Iterator[Record]:
        for where, row in delimited(source, delimiter, ()):
            yield self._of_row(row, where)

    def _of_line(self, line: str, where: str) -> Record:
        """A line of text; where a task has pairs, a tab is between them."""
        if not line.strip():
            return Record(where, line)
        names = self.task.columns
        if self.kind.OF_WORDS:
            return Record(where, line, sentences=self._sentences(line))
        if names.text not in self.kind.plain_columns(self.task):
            raise InputError(f"{where}: for '{self.task.name}' text alone is too little; give JSON lines with "
                             f"{', '.join(self.kind.plain_columns(self.task))}")  # fmt: skip
        fields = line.split("\t") if names.pair else [line]
        if names.pair and len(fields) != 2:
            raise InputError(f"{where}: {len(fields)} text(s); '{self.task.name}' needs two, a tab between them")
        row = dict(zip([names.text, names.pair or ""], fields, strict=False))
        return Record(where, line, row=row, inputs=self.kind.plain(row, self.task, where))

    def _of_row(self, row: Row, where: str) -> Record:
        language = row.get(LANGUAGE)
        if language is not None and not isinstance(language, str):
            raise InputError(f"{where}: '{LANGUAGE}' should be a language's code or name")
        language = (language or "").strip() or None
        if not self.kind.OF_WORDS:
            inputs = self.kind.plain(row, self.task, where)
            return Record(where, "", language, row, inputs=inputs)
        if any(name in row for name in _TOKENS):
            words = self.kind.plain(row, self.task, where)
            text = row.get("text")
            places = _places(words, text) if isinstance(text, str) else None
            if places is None:
                text, places = _joined(words)
            assert isinstance(text, str)
            return Record(where, text, language, row, (Sentence(words, places),) if words else ())
        if "text" not in row:
            raise InputError(f"{where}: neither 'text' nor 'tokens' there; there are: {', '.join(row)[:200]}")
        text = text_of(row, "text", where)
        return Record(where, text, language, row, self._sentences(text))

    def _sentences(self, text: str) -> tuple[Sentence, ...]:
        if self.pretokenized:
            places = [match.span() for match in re.finditer(r"\S+", text)]
            parts = [places] if places else []
        else:
            parts = sentences_of(text, words_of(text, self.pieces))
        return tuple(Sentence([text[a:b] for a, b in part], part, not self.pretokenized) for part in parts)

    # ------------------------------------------------------------------------------------------- a word a line

    def _conllu(self, source: Source) -> Iterator[Record]:
        yield from self._blocks(source, conllu=True)

    def _blocks(self, source: Source, conllu: bool) -> Iterator[Record]:
        """Sentences, and every blank line as a record of its own."""
        block: list[tuple[int, str]] = []
        for number, line in read_lines(source):
            if line.strip():
                block.append((number, line))
                continue
            if block:
                yield self._of_block(source, block, conllu)
                block = []
            yield Record(f"{source}:{number}", lines=(line,), conllu=conllu)
        if block:
            yield self._of_block(source, block, conllu)

    def _of_block(self, source: Source, block: Sequence[tuple[int, str]], conllu: bool) -> Record:
        """Columns as they are; the word is CoNLL-U's second, or the first."""
        comments: Row = {}
        words: list[str] = []
        at: list[int] = []
        for i, (number, line) in enumerate(block):
            where = f"{source}:{number}"
            if line.startswith("#") and (conllu or "\t" not in line) and not at:
                if match := _COMMENT.fullmatch(line):
                    comments[match[1]] = match[2].strip()
                continue
            fields = line.split("\t")
            if conllu:
                if len(fields) != 10:
                    raise InputError(f"{where}: {len(fields)} column(s); CoNLL-U has 10, with tabs between them")
                if not fields[0].isdecimal():
                    if re.fullmatch(r"\d+[-.]\d+", fields[0]) is None:
                        raise InputError(
                            f"{where}: CoNLL-U begins a line with its word's number, not '{fields[0][:40]}'"
                        )
                    continue
            word = fields[1 if conllu else 0]
            if not word.strip():
                raise InputError(f"{where}: an empty word")
            words.append(word)
            at.append(i)
        lines = tuple(line for _, line in block)
        text = comments.get("text")
        places = None
        if isinstance(text, str):
            places = _places(words, text)
            if places is None and conllu:
                places = _places_as_written(lines, len(words), text)
        if places is None:
            text, places = _joined(words)
        assert isinstance(text, str)
        row = {SENTENCE: comments[SENTENCE]} if SENTENCE in comments else {}
        record = Record(f"{source}:{block[0][0]}", text, comments.get(LANGUAGE), row, lines=lines, at=tuple(at),
                        conllu=conllu)  # fmt: skip
        if not words:
            return record
        if self.kind.OF_WORDS:
            return record._replace(sentences=(Sentence(words, places),))
        row[self.task.columns.text] = text
        return record._replace(row=row, inputs=self.kind.plain(row, self.task, record.where))


def _joined(words: Sequence[str]) -> tuple[str, list[Span]]:
    """Words with a blank between them, and where they are in that."""
    places, start = [], 0
    for word in words:
        places.append((start, start + len(word)))
        start += len(word) + 1
    return " ".join(words), places


def _places_as_written(lines: Sequence[str], words: int, text: str) -> list[Span] | None:
    """Of the words of CoNLL-U where some are written as one (`2-3  im`): each of those has the place of all."""
    written: list[tuple[str, int]] = []  # what is written, and how many words it is
    inside = 0
    for fields in (line.split("\t") for line in lines if not line.startswith("#")):
        if several := re.fullmatch(r"(\d{1,6})-(\d{1,6})", fields[0]):
            inside = int(several[2]) - int(several[1]) + 1
            written.append((fields[1], inside))
        elif fields[0].isdecimal() and inside > 0:
            inside -= 1
        elif fields[0].isdecimal():
            written.append((fields[1], 1))
    found = _places([word for word, _ in written], text)
    if found is None or sum(count for _, count in written) != words:
        return None
    return [place for place, (_, count) in zip(found, written, strict=True) for _ in range(count)]


def _places(words: Sequence[str], text: str) -> list[Span] | None:
    """Where words are in a text, one after the other; None where they aren't all there."""
    places, start = [], 0
    for word in words:
        found = text.find(word, start)
        if found < 0:
            return None
        places.append((found, found + len(word)))
        start = found + len(word)
    return places
