"""Data files that were damaged, cut, mixed up: each ends in examples or in one line that says what is wrong.

MADX_MUTATIONS=10000 tries as many; without it, some hundreds.
"""

import csv
import gzip
import io
import json
import os
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from madx.catalog.language import TextSource
from madx.catalog.task import Columns, TaskSpec
from madx.config import InputError
from madx.corpora.documents import documents
from madx.tasks.kinds import KINDS

TRIES = int(os.environ.get("MADX_MUTATIONS", "600"))
SPECS = {
    "tagging": TaskSpec(name="t", kind="tagging", metric="span-f1", labels=("O", "B-PER", "I-PER", "B-LOC", "I-LOC")),
    "classification": TaskSpec(
        name="t", kind="classification", metric="accuracy", labels=("yes", "no"), columns=Columns(pair="pair")
    ),
    "multiple-choice": TaskSpec(name="t", kind="multiple-choice", metric="accuracy"),
    "question-answering": TaskSpec(name="t", kind="question-answering", metric="em"),
    "parsing": TaskSpec(name="t", kind="parsing", metric="las", labels=("root", "nsubj", "obj")),
}
COLUMNS = "Ann\tI-PER\nLund\tI-PER\nser\tO\nTórshavn\tI-LOC\n\n我\tO\nहिन्दी\tO\n\n"
CONLLU = "# sent_id = 1\n1-2\tdu\t_\t_\t_\t_\t_\t_\t_\t_\n" + "".join(
    f"{i}\t{w}\t_\tX\t_\t_\t{h}\t{r}\t_\t{t}\n"
    for i, (w, h, r, t) in enumerate([("d'", 2, "nsubj", "O"), ("Ann", 0, "root", "B-PER"), ("sé", 2, "obj", "O")], 1)
)  # fmt: skip
CHOICE = {"premise": "Det regnede.", "choice1": "Han gik.", "choice2": "Våd vej.", "question": "effect", "label": 1}
CONTEXT = "I To\u0301rshavn."
QUESTION = {"id": "7", "question": "Hvor?", "answers": [{"text": "To\u0301rshavn", "answer_start": 2}]}
TABLE = 'text\tpair\tlabel\n"Han sagde ""ja"""\tnej\tyes\nx, y\t«z»\tno\n'
FILES = [
    ("tagging", "a.tsv", COLUMNS),
    ("tagging", "a.txt", "-DOCSTART- O\n\n" + COLUMNS.replace("\t", " ")),
    ("tagging", "a.iob2", "".join(f"{i}\t{w}\tO\t-\n" for i, w in enumerate("abc", 1))),
    ("tagging", "a.jsonl", json.dumps({"tokens": ["Ann", "sér"], "ner_tags": ["S-PER", "O"]}) + "\n"),
    ("tagging", "a.tsv.gz", COLUMNS),
    ("tagging", "a.csv", 'Sentence #,Word,Tag\nSentence: 1,Ann,B-PER\n,"L, ""und""",I-PER\nSentence: 2,ser,O\n'),
    ("tagging", "b.csv", "tokens,tags\n\"['Ann', 'ser']\",\"['B-PER', 'O']\"\nhund og,O O\n"),
    ("parsing", "a.conllu", CONLLU),
    ("classification", "a.tsv", TABLE),
    ("classification", "a.csv", TABLE.replace(",", "").replace("\t", ",")),
    ("classification", "a.json", json.dumps([{"text": "x", "pair": "y", "label": "no"}] * 3)),
    ("multiple-choice", "a.jsonl", json.dumps(CHOICE, ensure_ascii=False) + "\n"),
    ("question-answering", "a.jsonl", json.dumps({**QUESTION, "context": CONTEXT}, ensure_ascii=False) + "\n"),
    (
        "question-answering", "a.json",
        json.dumps({"data": [{"paragraphs": [{"context": CONTEXT, "qas": [QUESTION]}]}]}),
    ),
]  # fmt: skip
PIECES = [
    b"\t", b" ", b"\n", b"\r", b"\r\n", b'"', b"\x00", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xff\xfe",
    b"\xe2\x80\xa8", b"\xc2\xad", b"\xcc\x81", "²".encode(), b"null", b"[]", b"{}", b"-1", b"1e999", b"NaN", b"\\ud800",
    b"9" * 5000, b"[" * 3000, b"<s>", b"_", b"#", b"# a = b", b"-DOCSTART-", b"S-PER", b"U-LOC", b"B-", b"I", b"1-2",
    b"2.1", b",", b":", b"\x1f\x8b", b"PK\x03\x04",
]  # fmt: skip


def mutated(rng: random.Random, content: bytes) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at, to = sorted(rng.randrange(len(content) + 1) for _ in range(2))
        match rng.randrange(6):
            case 0:
                content = content[:at] + rng.choice(PIECES) + content[at:]
            case 1:
                content = content[:at] + content[to:]  # a part is missing
            case 2:
                content = content[:to] + content[at:to] + content[to:]  # or there twice
            case 3:
                content = content[:at]
            case 4:
                content = content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
            case 5:
                lines = content.split(b"\n")
                rng.shuffle(lines)
                content = b"\n".join(lines)
    return content


def ended(read: Callable[[], Any], path: Path) -> Any:
    """What came of it; None where it was refused in one line that names the file."""
    began, refused, found = time.perf_counter(), "", None
    try:
        found = read()
    except InputError as error:
        refused = str(error)
    assert time.perf_counter() - began < 2
    assert found is not None or (str(path) in refused and "\n" not in refused and len(refused) < 1500), refused
    return found


@pytest.mark.parametrize("seed", range(4))
def test_a_mutated_file_is_read_or_refused_in_a_line(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    read = 0
    for _ in range(TRIES // 4):
        kind, name, text = rng.choice(FILES)
        content = text.encode()
        content = mutated(rng, gzip.compress(content)) if name.endswith(".gz") else mutated(rng, content)
        path = tmp_path / name
        path.write_bytes(content)
        try:
            reading = ended(partial(KINDS[kind].read, path, SPECS[kind]), path)
            texts = ended(partial(_texts, path), path)
        except Exception as error:
            raise AssertionError(f"{name}: {content!r}") from error
        for text in texts or ():
            text.encode()  # no half characters
        if reading is not None:
            read += 1
            if kind == "tagging" and name.endswith((".tsv", ".txt", ".iob2")):
                assert words_of(content) == sum(len(e.inputs) for e in reading.examples), (name, content)
            elif kind == "tagging" and name.endswith(".csv"):
                words = sum(len(e.inputs) for e in reading.examples)
                found = words if b"Sentence #" in content else len(reading.examples)
                assert rows_of(content) == found + reading.skipped.total(), (name, content)
    assert read > TRIES // 40


def _texts(path: Path) -> list[str]:
    return list(documents(TextSource(file=str(path)), None))


def rows_of(content: bytes) -> int:
    """Rows below the header in which something stands: a word each, or a sentence."""
    rows = csv.reader(io.StringIO(content.decode("utf-8-sig", errors="ignore"), newline=""))
    return max(0, sum(any(cell.strip() for cell in row) for row in rows) - 1)


def words_of(content: bytes) -> int:
    """Lines that hold a word, counted without a reader: not blank, no comment, no mark of a document."""
    text = content.decode("utf-8-sig", errors="ignore")
    lines = text.split("\r" if "\r" in text and "\n" not in text else "\n")
    lines = [line.strip("\r") for line in lines if line.strip()]
    tabs = any("\t" in line for line in lines)
    comments = [line for line in lines if line[0] == "#" and (" = " in line or (tabs and "\t" not in line))]
    marks = [line for line in lines if line.startswith("-DOCSTART-")]
    return len(lines) - len(comments) - len(marks)
