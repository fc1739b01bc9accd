"""Data sets of rows in the shapes in which they are published, each with the right value; the texts are our own."""

import json
from pathlib import Path

import pytest

from madx.catalog.task import Columns, TaskSpec, read_task
from madx.config import InputError
from madx.tasks import classification, multiple_choice, parsing, tagging

SIB = TaskSpec(
    name="topics", kind="classification", metric="accuracy", labels=("travel", "sports"),
    columns=Columns(text="text", label="category"),
)  # fmt: skip
XNLI = TaskSpec(
    name="nli", kind="classification", metric="accuracy", labels=("entailment", "neutral", "contradiction"),
    columns=Columns(text="sentence1", pair="sentence2", label="gold_label"),
)  # fmt: skip
CHUNKS = TaskSpec(name="chunks", kind="tagging", metric="span-f1", labels=("O", "B-NP", "I-NP", "B-VP", "I-VP"))
PAIR = ("En hund, sagde han.", 'En "kat".')


@pytest.mark.parametrize(
    ("name", "content", "spec", "inputs", "gold"),
    [
        ("sib.tsv", 'index_id\tcategory\ttext\n7\ttravel\tVi "rejste" nu.\n', SIB, ('Vi "rejste" nu.',), "travel"),
        ("excel.csv", "\ufefftext;category\r\nVi rejste, i går.;travel\r\n", SIB, ("Vi rejste, i går.",), "travel"),
        (
            "xnli.tsv",
            f"language\tgold_label\tsentence1\tsentence2\tpairID\nda\tneutral\t{PAIR[0]}\t{PAIR[1]}\t1\n",
            XNLI, PAIR, "neutral",
        ),
        (
            "xnli.jsonl",
            json.dumps({"gold_label": "entailment", "sentence1": PAIR[0], "sentence2": PAIR[1], "pairID": "1"}),
            XNLI, PAIR, "entailment",
        ),
    ],
)  # fmt: skip
def test_texts_and_their_label(
    tmp_path: Path, name: str, content: str, spec: TaskSpec, inputs: tuple[str, ...], gold: str
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    (example,) = classification.read(tmp_path / name, spec).examples
    assert tuple(text for text in example.inputs if text is not None) == inputs
    assert example.gold == gold


def test_xcopa_has_more_columns_than_are_read(tmp_path: Path) -> None:
    row = {"premise": "Det regnede.", "choice1": "Vejen blev våd.", "choice2": "Han gik.", "question": "effect",
           "label": 0, "idx": 3, "changed": False}  # fmt: skip
    (tmp_path / "test.da.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    spec = TaskSpec(name="copa", kind="multiple-choice", metric="accuracy")
    (example,) = multiple_choice.read(tmp_path / "test.da.jsonl", spec).examples
    assert multiple_choice.gold(example) == 0
    assert "Vejen blev våd." in str(example.inputs)


def test_conll_2000_has_three_columns_with_blanks(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("Hun NNP B-NP\nså VBD B-VP\nen DT B-NP\nhund NN I-NP\n. . O\n\n")
    reading = tagging.read(tmp_path / "train.txt", CHUNKS)
    assert reading.examples[0].inputs == ["Hun", "så", "en", "hund", "."]
    assert reading.examples[0].gold == ["B-NP", "B-VP", "B-NP", "I-NP", "O"]
    assert reading.layout == "columns 1 and 3, blanks, IOB2"


def test_other_labels_are_read_as_the_tasks_where_its_file_says_so(tmp_path: Path) -> None:
    """Of words, of entities by their type in any scheme, of texts, and of relations."""

    def task(**about: object) -> TaskSpec:
        return read_task(tmp_path / "own.toml", about)

    (tmp_path / "a.conllu").write_text("1\tHund\t_\tX\tNN\t_\t0\tROOT\t_\t_\n2\tist\t_\tX\tVAFIN\t_\t1\tSB\t_\t_\n")
    pos = task(kind="tagging", metric="accuracy", labels=["NOUN", "AUX"], label_column=4,
               read_as={"NN": "NOUN", "VAFIN": "AUX"})  # fmt: skip
    assert tagging.read(tmp_path / "a.conllu", pos).examples[0].gold == ["NOUN", "AUX"]
    arcs = task(kind="parsing", metric="las", labels=["root", "nsubj"], read_as={"ROOT": "root", "SB": "nsubj"})
    assert parsing.read(tmp_path / "a.conllu", arcs).examples[0].gold == [(0, "root"), (1, "nsubj")]
    (tmp_path / "a.tsv").write_text("Ada\tB-PERSON\nLove\tE-PERSON\nin\tO\nRom\tS-PLACE\n")
    ner = task(kind="tagging", metric="span-f1", labels=["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
               read_as={"PERSON": "PER", "PLACE": "LOC"})  # fmt: skip
    assert tagging.read(tmp_path / "a.tsv", ner).examples[0].gold == ["B-PER", "I-PER", "O", "B-LOC"]
    (tmp_path / "b.tsv").write_text("text\tlabel\nso gut\t1\nso la la\tneg\n")
    mood = task(kind="classification", metric="accuracy", labels=["neg", "pos"], read_as={"1": "pos"})
    assert [e.gold for e in classification.read(tmp_path / "b.tsv", mood).examples] == ["pos", "neg"]
    with pytest.raises(InputError, match="read_as: '1' is 'good', which is no label of the task"):
        task(kind="classification", metric="accuracy", labels=["neg", "pos"], read_as={"1": "good"})
