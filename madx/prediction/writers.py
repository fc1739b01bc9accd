"""What was labelled, written as text, TSV, CoNLL-U or JSON lines; what was read beside it is kept as it was."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence

from madx.catalog.task import TaskSpec
from madx.config import InputError
from madx.corpora.tables import Row
from madx.prediction.predictor import Labelled
from madx.prediction.records import LANGUAGE, SENTENCE, Format, Sentence
from madx.tasks.kinds import kind_of
from madx.tasks.schemes import are_entities, entities
from madx.tasks.sentences import UPOS

PREDICTION, PROBABILITY = "prediction", "probability"  # our columns and keys
HEAD, MISC = 6, 9  # CoNLL-U's columns, from 0
UNIVERSAL = {
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM",
    "VERB", "X", "_",
}  # fmt: skip


def write(labelled: Sequence[Labelled], task: TaskSpec, format_: Format) -> Iterator[str]:
    """Lines, with their ends. Raises InputError where a task's predictions can't be written so."""
    words = kind_of(task).OF_WORDS
    writers: dict[Format, Callable[[Sequence[Labelled], TaskSpec], Iterator[str]]] = {
        "text": _words_in_text if words else _rows_in_text,
        "tsv": _words_in_columns if words else lambda found, spec: _table(found, spec, "\t"),
        "csv": lambda found, spec: _table(found, spec, ","),
        "conllu": _words_in_conllu if words else _comments_in_conllu,
        "jsonl": _json_lines,
    }
    if words and format_ == "csv":
        raise InputError(f"'{task.name}' labels words; write them as tsv, conllu or jsonl")
    return writers[format_](labelled, task)


def default_format(read: Format, task: TaskSpec) -> Format:
    """The one that was read; for the words of running text, or of a table of texts, one word a line."""
    return "tsv" if kind_of(task).OF_WORDS and read in ("text", "csv") else read


# ------------------------------------------------------------------------------------------------- JSON lines


def as_row(labelled: Labelled, task: TaskSpec) -> Row:
    """A record's keys, and `prediction`: null where there was nothing to label."""
    record = labelled.record
    row = dict(record.row) or {"text": record.text}
    if kind_of(task).OF_WORDS and "text" not in row:
        row["text"] = record.text
    if record.language is not None:
        row[LANGUAGE] = record.language
    return {**row, PREDICTION: _prediction(labelled, task)}


def _prediction(labelled: Labelled, task: TaskSpec) -> Row | None:
    kind = kind_of(task)
    if not labelled.predicted:
        return None
    if not kind.OF_WORDS:
        ((value, told),) = labelled.predicted
        return {**dict(zip(kind.COLUMNS, kind.fields(value)[0], strict=True)), **told}
    sentences = labelled.record.sentences
    ends = [0]
    for sentence in sentences:
        ends.append(ends[-1] + len(sentence.words))
    found: Row = {
        "tokens": [word for sentence in sentences for word in sentence.words],
        "offsets": [list(place) for sentence in sentences for place in sentence.places],
        "sentences": [list(pair) for pair in zip(ends[:-1], ends[1:], strict=True)],
    }
    for number, column in enumerate(kind.COLUMNS):
        found[f"{column}s"] = [field[number] for value, _ in labelled.predicted for field in kind.fields(value)]
    found["probabilities"] = [round(p, 6) for _, told in labelled.predicted for p in told["probabilities"]]
    if are_entities(task.labels):
        found["spans"] = [span for i, sentence in enumerate(sentences) for span in _spans(labelled, i, sentence)]
    return found


def _spans(labelled: Labelled, number: int, sentence: Sentence) -> Iterator[Row]:
    """Entities of a sentence; the probability is that of the least certain of the words."""
    tags, told = labelled.predicted[number]
    for first, last, label in entities(tags):
        start, end = sentence.places[first][0], sentence.places[last - 1][1]
        yield {
            "start": start, "end": end, "text": labelled.record.text[start:end], "label": label,
            PROBABILITY: round(min(told["probabilities"][first:last]), 6),
        }  # fmt: skip


def _json_lines(found: Sequence[Labelled], task: TaskSpec) -> Iterator[str]:
    for labelled in found:
        if labelled.record.is_row:
            yield f"{json.dumps(as_row(labelled, task), ensure_ascii=False)}\n"


# -------------------------------------------------------------------------------------------- words in columns


def _cells(labelled: Labelled, number: int, task: TaskSpec) -> list[list[str]]:
    """What is written of each word of a sentence."""
    return [[str(value) for value in fields] for fields in kind_of(task).fields(labelled.predicted[number][0])]


def _words_in_text(found: Sequence[Labelled], task: TaskSpec) -> Iterator[str]:
    """word/LABEL, a line for a line."""
    for labelled in found:
        words = [
            "/".join([word, *cells])
            for number, sentence in enumerate(labelled.record.sentences)
            for word, cells in zip(sentence.words, _cells(labelled, number, task), strict=True)
        ]
        yield f"{' '.join(words)}\n"


def _words_in_columns(found: Sequence[Labelled], task: TaskSpec) -> Iterator[str]:
    """Columns as they were read and the prediction's behind them; else word and prediction, a blank line after each
    sentence.
    """
    for labelled in found:
        record = labelled.record
        if record.lines and not record.conllu:
            cells = iter(_cells(labelled, 0, task) if record.at else [])
            for i, line in enumerate(record.lines):
                yield "\t".join([line, *next(cells)]) + "\n" if i in set(record.at) else f"{line}\n"
            continue
        for number, sentence in enumerate(record.sentences):
            for word, cells_ in zip(sentence.words, _cells(labelled, number, task), strict=True):
                yield "\t".join([word, *cells_]) + "\n"
            if not record.lines:
                yield "\n"
        if record.is_blank:
            yield "\n"


def _words_in_conllu(found: Sequence[Labelled], task: TaskSpec) -> Iterator[str]:
    for labelled in found:
        record = labelled.record
        if record.conllu:
            cells = dict(zip(record.at, _cells(labelled, 0, task), strict=True)) if record.at else {}
            for i, line in enumerate(record.lines):
                yield f"{_with(line, cells[i], task) if i in cells else line}\n"
        elif record.is_blank:
            yield "\n"
        else:
            for number, sentence in enumerate(record.sentences):
                yield from _new_conllu(labelled, number, sentence, task)
                if not record.lines:
                    yield "\n"


def _new_conllu(labelled: Labelled, number: int, sentence: Sentence, task: TaskSpec) -> Iterator[str]:
    record = labelled.record
    if record.language is not None:
        yield f"# {LANGUAGE} = {record.language}\n"
    named = record.row.get("id", record.row.get(SENTENCE))
    if named is not None:
        yield f"# {SENTENCE} = {named}{f'-{number + 1}' if len(record.sentences) > 1 else ''}\n"
    yield f"# text = {' '.join(record.text[sentence.places[0][0] : sentence.places[-1][1]].split())}\n"
    for i, (word, cells) in enumerate(zip(sentence.words, _cells(labelled, number, task), strict=True)):
        close = i + 1 < len(sentence.places) and sentence.places[i][1] == sentence.places[i + 1][0]
        line = "\t".join([str(i + 1), word, *"________"[:7], "SpaceAfter=No" if close else "_"])
        yield f"{_with(line, cells, task)}\n"


def _with(line: str, cells: list[str], task: TaskSpec) -> str:
    """A word's line of CoNLL-U with the prediction: UPOS, HEAD and DEPREL, or a key of MISC."""
    fields = line.split("\t")
    if len(cells) == 2:
        fields[HEAD : HEAD + 2] = cells
    elif set(task.labels) <= UNIVERSAL:
        fields[UPOS] = cells[0]
    else:
        others = [part for part in fields[MISC].split("|") if part != "_" and part.partition("=")[0] != task.name]
        fields[MISC] = "|".join([*others, f"{task.name}={cells[0]}"])
    return "\t".join(fields)


# ------------------------------------------------------------------------------------------------------- rows


def _value(labelled: Labelled, task: TaskSpec) -> tuple[str, str]:
    """A row's prediction and its probability."""
    if not labelled.predicted:
        return "", ""
    ((value, told),) = labelled.predicted
    return " ".join(str(kind_of(task).fields(value)[0][0]).split()), f"{told[PROBABILITY]:.6f}"


def _rows_in_text(found: Sequence[Labelled], task: TaskSpec) -> Iterator[str]:
    """A text, a tab and its prediction; blank lines as they were."""
    for labelled in found:
        record = labelled.record
        if record.is_blank:
            yield f"{record.text}\n"
        else:
            texts = [str(record.row.get(name, "")) for name in kind_of(task).plain_columns(task)]
            yield "\t".join([*(" ".join(text.split()) for text in texts), _value(labelled, task)[0]]) + "\n"


def _table(found: Sequence[Labelled], task: TaskSpec, delimiter: str) -> Iterator[str]:
    """The columns that were read, `prediction` and `probability`, quoted where they must be."""
    found = [labelled for labelled in found if labelled.record.is_row]
    names = list(dict.fromkeys(name for labelled in found for name in labelled.record.row))
    names = [name for name in names if name not in (PREDICTION, PROBABILITY)]
    yield _line([*names, PREDICTION, PROBABILITY], delimiter)
    for labelled in found:
        row = labelled.record.row
        yield _line([*(_cell(row.get(name)) for name in names), *_value(labelled, task)], delimiter)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _line(cells: Sequence[str], delimiter: str) -> str:
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _comments_in_conllu(found: Sequence[Labelled], task: TaskSpec) -> Iterator[str]:
    """A sentence's label as a comment: `# topic = sports`."""
    for labelled in found:
        record = labelled.record
        if not record.lines and not record.is_blank:
            raise InputError(f"'{task.name}' labels whole texts; write them as text, tsv or jsonl")
        if record.at:
            yield f"# {task.name} = {_value(labelled, task)[0]}\n"
        yield from (f"{line}\n" for line in record.lines)
        if record.is_blank and not record.lines:
            yield "\n"
