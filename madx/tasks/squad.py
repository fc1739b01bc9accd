"""Questions as SQuAD has them: question, context, and answers {text, answer_start}; articles, or rows of the Hub.

A question without an answer (SQuAD 2) has none in its list, or one without text, or says `is_impossible`.
"""

import json
from collections.abc import Iterator
from typing import TypedDict

from madx.config import InputError
from madx.corpora.tables import Row, require, text_of
from madx.tasks.examples import Example

COLUMNS_READ = ("question", "context", "answers")


class Answer(TypedDict):
    """`answer_start` counts characters of the context."""

    text: str
    answer_start: int


def _answers(value: object, context: str, where: str) -> list[Answer]:
    """Answers as SQuAD has them, a list of objects, or as the Hub does, an object of lists. Raises InputError."""
    if isinstance(value, dict):
        texts, starts = value.get("text"), value.get("answer_start")
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            raise InputError(f"{where}: 'answers' should have lists 'text' and 'answer_start' of one length")
        value = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
    if not isinstance(value, list) or any(not isinstance(answer, dict) for answer in value):
        raise InputError(f"{where}: 'answers' should be a list of objects {{text, answer_start}}")
    if all(answer.get("text") == "" for answer in value):
        return []
    found: list[Answer] = []
    for answer in value:
        require(answer, ("text", "answer_start"), where)
        text, start = text_of(answer, "text", where), answer["answer_start"]
        if not isinstance(start, int) or isinstance(start, bool) or start < 0:
            raise InputError(f"{where}: 'answer_start' should be a number of characters, not {json.dumps(start)[:40]}")
        if not text.strip():
            raise InputError(f"{where}: an answer without text")
        if context[start : start + len(text)] != text:
            raise InputError(f"{where}: the answer '{text[:40]}' is not at position {start} of the context")
        found.append({"text": text, "answer_start": start})
    return found


def example_of(row: Row, where: str) -> Example:
    require(row, COLUMNS_READ, where)
    question, context = (text_of(row, column, where) for column in COLUMNS_READ[:2])
    impossible = row.get("is_impossible")
    answers = [] if impossible is True else _answers(row["answers"], context, where)
    if impossible is False and not answers:
        raise InputError(f"{where}: 'is_impossible' is false, but there is no answer")
    return Example(str(row.get("id", where)), (question, context), answers)


def answered(examples: list[Example], where: object) -> list[Example]:
    """The same. Raises InputError where there isn't one answer in them all."""
    if examples and not any(example.gold for example in examples):
        raise InputError(f"{where}: no question has an answer: are they unpublished? Take another split or file")
    return examples


def questions(row: Row, where: str) -> Iterator[tuple[str, Row]]:
    """The questions of an article of SQuAD's own files, `paragraphs` of `qas`; any other row is a question itself."""
    if "paragraphs" not in row:
        yield where, row
        return
    for paragraph in _objects(row["paragraphs"], "paragraphs", where):
        require(paragraph, ("context", "qas"), where)
        for question in _objects(paragraph["qas"], "qas", where):
            yield f"{where}, question {question.get('id', '')}", {**question, "context": paragraph["context"]}


def _objects(value: object, name: str, where: str) -> list[Row]:
    if not isinstance(value, list) or any(not isinstance(one, dict) for one in value):
        raise InputError(f"{where}: '{name}' should be a list of objects")
    return value
