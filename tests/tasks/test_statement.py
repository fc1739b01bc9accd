"""What was read, in a line and as data, of every kind of task; and labels that can't be, refused before work."""

import json
from pathlib import Path

import pytest
from tiny_encoders import SHARED

from madx.catalog.find import Catalogue
from madx.catalog.task import Columns, Splits, TaskSpec
from madx.config import InputError
from madx.tasks.data import LabelledData, Statement, labelled_data

NLI = {"text": "premise", "pair": "hypothesis", "label": "label"}
CHOICE = {"premise": "Det regnede.", "choice1": "Han gik.", "choice2": "Vejen blev våd.", "question": "effect"}
CONTEXT = {"question": "Hvor?", "context": "I Thorshavn.", "answers": [{"text": "Thorshavn", "answer_start": 2}]}


def data(folder: Path, kind: str, files: dict[str, str], **more: object) -> LabelledData:
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    splits = Splits(test=tuple(files))
    spec = TaskSpec.model_validate({"name": "t", "kind": kind, "data": {"swe": splits}, **more})
    found = labelled_data(spec, "swe", "test", folder)
    assert found is not None
    return found


def statement(found: LabelledData) -> Statement:
    return found.statement(found.read())


def test_tagging_says_sentences_words_labels_and_layout(tmp_path: Path) -> None:
    content = "-DOCSTART- O\n\nAnn I-PER\nsov O\n\nBo I-PER\n"
    labels = ("O", "B-PER", "I-PER")
    said = statement(data(tmp_path, "tagging", {"a.txt": content}, labels=labels, metric="span-f1"))
    assert str(said) == (
        "t swe test: 2 sentences, 3 words, 2 of 3 labels, blanks, IOB1 read as IOB2, passed over: 1 document marks"
    )
    assert (said.labels, said.unseen, said.skipped) == ({"B-PER": 2, "O": 1}, ("I-PER",), {"document marks": 1})


def test_a_file_without_blank_lines_is_asked_about(tmp_path: Path) -> None:
    said = statement(data(tmp_path, "tagging", {"a.tsv": "Ann\tX\n" * 201}, labels=("X", "Y"), metric="accuracy"))
    asked = "as one sentence: are the blank lines between sentences missing?"
    assert str(said) == f"t swe test: 1 sentences, 201 words, 1 of 2 labels, tabs, {asked}"


def test_several_files_are_said_as_one(tmp_path: Path) -> None:
    files = {"a.tsv": "Ann\tB-PER\n", "b.tsv": "Bo\tS-PER\n"}
    said = statement(data(tmp_path, "tagging", files, labels=("O", "B-PER", "I-PER"), metric="span-f1"))
    assert str(said) == "t swe test: 2 sentences, 2 words, 1 of 3 labels, tabs, IOB2; tabs, BIOES read as IOB2"


def test_parsing_says_what_is_no_word(tmp_path: Path) -> None:
    row = "1-2\tx" + "\t_" * 8 + "\n1\thund" + "\t_" * 4 + "\t0\troot\t_\t_\n"
    said = statement(data(tmp_path, "parsing", {"a.conllu": row}, labels=("root",), metric="las"))
    assert str(said) == "t swe test: 1 sentences, 1 words, 1 labels, CoNLL-U, passed over: 1 ranges of words"


def test_the_other_kinds_say_examples_and_questions(tmp_path: Path) -> None:
    table = "premise,hypothesis,label\nx,y,yes\nx,z,no\n"
    more = {"labels": ("yes", "no"), "metric": "accuracy", "columns": Columns(**NLI)}
    said = statement(data(tmp_path, "classification", {"a.csv": table}, **more))
    assert str(said) == "t swe test: 2 examples, 2 labels, table .csv"
    row = json.dumps({**CHOICE, "label": 1})
    said = statement(data(tmp_path, "multiple-choice", {"a.jsonl": row}, metric="accuracy"))
    assert (str(said), said.labels) == ("t swe test: 1 examples, 1 labels, table .jsonl", {"1": 1})
    row = json.dumps(CONTEXT)
    said = statement(data(tmp_path, "question-answering", {"a.jsonl": f"{row}\n{row}\n"}, metric="em"))
    assert str(said) == "t swe test: 2 questions, 1 contexts, table .jsonl"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": None}, r"a\.jsonl:1: no label: column 'label' is null"),
        ({"label": -1}, r"a\.jsonl:1: label -1 marks examples whose labels are not published"),
        ({"label": 2}, r"a\.jsonl:1: label '2' is not in the task's set"),
        ({"label": True}, r"a\.jsonl:1: column 'label' holds true or false"),
        ({"label": 0, "premise": None}, r"a\.jsonl:1: column 'premise' is null"),
        ({"label": 0, "question": "why"}, r"a\.jsonl:1: question 'why' is neither"),
    ],
)
def test_a_choice_without_its_label_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    found = data(tmp_path, "multiple-choice", {"a.jsonl": json.dumps({**CHOICE, **change})}, metric="accuracy")
    with pytest.raises(InputError, match=message):
        found.load()


@pytest.mark.skipif(not SHARED.is_dir(), reason="LOUD: ../shared/data is absent; its data sets are not read")
@pytest.mark.parametrize(
    ("task", "language", "split", "said"),
    [
        ("pos", "eng", "train", "12,544 sentences, 204,577 words, 17 labels, tabs"),
        ("parsing", "eng", "dev", "2,001 sentences, 25,147 words"),
        ("ner", "eng", "test", "2,077 sentences, 25,097 words"),
        ("qa", "ell", "test", "questions"),
        ("topic", "swe", "test", "204 examples, 7 labels, table .tsv"),
    ],
)
def test_real_data_sets_say_what_they_hold(task: str, language: str, split: str, said: str) -> None:
    found = labelled_data(Catalogue().task(task), language, split, SHARED / "data")
    assert found is not None
    assert said in str(statement(found))
