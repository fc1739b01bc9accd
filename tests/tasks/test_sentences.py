"""Words and labels as they are published, each layout with the right value: columns, schemes, CoNLL-U, tables.

The files are made here, in the shape of UD, MasakhaNER, UNER, CoNLL-2003, PAN-X and others; the sentences are our own.
"""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from madx.catalog.task import Columns, TaskSpec
from madx.config import InputError
from madx.tasks import tagging
from madx.tasks.examples import Reading

NER = TaskSpec(
    name="ner", kind="tagging", metric="span-f1", labels=("O", "B-PER", "I-PER", "B-LOC", "I-LOC"), outside=("DATE",)
)
POS = TaskSpec(name="pos", kind="tagging", metric="accuracy", labels=("DET", "NOUN", "PROPN", "PUNCT", "VERB", "X"))
WORDS = ["Ann", "Lund", "ser", "Oslo", "."]
IOB2 = ["B-PER", "I-PER", "O", "B-LOC", "O"]
IOB1 = ["I-PER", "I-PER", "O", "I-LOC", "O"]
BIOES = ["B-PER", "E-PER", "O", "S-LOC", "O"]
BILOU = ["B-PER", "L-PER", "O", "U-LOC", "O"]
UPOS = ["PROPN", "PROPN", "VERB", "PROPN", "PUNCT"]


def columns(*of: list[str], separator: str = "\t", end: str = "\n") -> str:
    return "".join(separator.join(fields) + end for fields in zip(*of, strict=True)) + end


def numbers(start: int = 1) -> list[str]:
    return [str(i) for i in range(start, start + len(WORDS))]


def conllu(labels: list[str] = UPOS) -> str:
    rows = [f"{i}\t{w}\t_\t{t}\t_\t_\t0\t_\t_\t_\n" for i, (w, t) in enumerate(zip(WORDS, labels, strict=True), 1)]
    return "# sent_id = 1\n# text = Ann Lund ser Oslo.\n" + "".join(rows) + "\n"


def kaggle(numbers: Sequence[str], separator: str = ",", end: str = "\n") -> str:
    """The shape of the best-known table of entities: two columns of labels, one of which is the task's."""
    rows = zip(numbers, WORDS, ["NNP"] * 5, IOB2, strict=True)
    return end.join(separator.join(row) for row in (("Sentence #", "Word", "POS", "Tag"), *rows)) + end


def a_row(words: str, tags: str) -> str:
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([["id", "tokens", "tags"], ["7", words, tags]])
    return table.getvalue()


A_WORD = "a word a row, columns 'Word' and 'Tag'"
A_ROW = "a sentence a row, columns 'tokens' and 'tags'"
DOCUMENT = "-DOCSTART- -X- O O\n\n"
ROWS = "rows of tokens and labels"
NER_FILES = {
    "masakhaner.txt": (columns(WORDS, IOB2, separator=" "), "blanks, IOB2"),
    "masakhaner.tsv": (columns(WORDS, IOB2), "tabs, IOB2"),
    "trailing.tsv": (columns(WORDS, [f"{tag} " for tag in IOB2]), "tabs, IOB2"),
    "crlf.tsv": (columns(WORDS, IOB2, end="\r\n"), "tabs, IOB2"),
    "cr.tsv": (columns(WORDS, IOB2, end="\r"), "tabs, IOB2"),
    "mark.tsv": ("\ufeff" + columns(WORDS, IOB2), "tabs, IOB2"),
    "iob1.tsv": (columns(WORDS, IOB1), "tabs, IOB1 read as IOB2"),
    "bioes.tsv": (columns(WORDS, BIOES), "tabs, BIOES read as IOB2"),
    "bilou.conll": (columns(WORDS, BILOU, separator=" "), "blanks, BILOU read as IOB2"),
    "conll2003.txt": (
        DOCUMENT + columns(WORDS, ["NNP"] * 5, ["I-NP"] * 5, IOB1, separator=" "),
        "columns 1 and 4, blanks, IOB1 read as IOB2",
    ),
    "conll2002.txt": (columns(WORDS, ["NC"] * 5, IOB2, separator=" "), "columns 1 and 3, blanks, IOB2"),
    "uner.iob2": (
        "# sent_id = a-1\n# text = Ann Lund ser Oslo.\n" + columns(numbers(), WORDS, IOB2, ["-"] * 5, ["me"] * 5),
        "columns 2 and 3, tabs, IOB2",
    ),
    "numbered.txt": (columns(numbers(), WORDS, IOB2, separator=" "), "columns 2 and 3, blanks, IOB2"),
    "numbered_from_0.tsv": (columns(numbers(0), WORDS, IOB2), "columns 2 and 3, tabs, IOB2"),
    "panx.tsv": (columns([f"sv:{w}" for w in WORDS], IOB2), "tabs, 'sv:' taken off every word, IOB2"),
    "wikiann.jsonl": (json.dumps({"tokens": WORDS, "ner_tags": IOB2, "langs": ["sv"] * 5}), f"{ROWS}, IOB2"),
    "words.json": (json.dumps([{"words": WORDS, "labels": IOB1}]), f"{ROWS}, IOB1 read as IOB2"),
    "kaggle.csv": (kaggle(["Sentence: 1", "", "", "", ""]), f"{A_WORD}, sentences by 'Sentence #', IOB2"),
    "every_row.csv": (kaggle(["Sentence: 1"] * 5), f"{A_WORD}, sentences by 'Sentence #', IOB2"),
    "excel.csv": ("\ufeff" + kaggle(["1"] * 5, ";", "\r\n"), f"{A_WORD}, sentences by 'Sentence #', IOB2"),
    "tabs.csv": (kaggle(["1"] * 5, "\t"), f"{A_WORD}, sentences by 'Sentence #', IOB2"),
    "numbers.tsv": (kaggle(["1"] * 5, "\t"), f"{A_WORD}, sentences by 'Sentence #', IOB2"),
    "bioes_table.csv": (
        "token,ner\n" + columns(WORDS, BIOES, separator=","),
        "a word a row, columns 'token' and 'ner', sentences by empty rows, BIOES read as IOB2",
    ),
    "header.tsv": (
        "Token\tNER_tag\n" + columns(WORDS, IOB2),
        "a word a row, columns 'Token' and 'NER_tag', sentences by empty rows, IOB2",
    ),
    "json_cells.csv": (a_row(json.dumps(WORDS), json.dumps(IOB1)), f"{A_ROW}, IOB1 read as IOB2"),
    "python_cells.csv": (a_row(str(WORDS), str(IOB2)), f"{A_ROW}, IOB2"),
    "blank_cells.csv": (a_row(" ".join(WORDS), " ".join(IOB2)), f"{A_ROW}, IOB2"),
    "blank_cells.tsv": (f"tokens\ttags\n{' '.join(WORDS)}\t{' '.join(IOB2)}\n", f"{A_ROW}, IOB2"),
    "kaggle_sentences.csv": (
        f'Sentence #,Sentence,POS,Tag\nSentence: 1,{" ".join(WORDS)},"{["NNP"] * 5}","{IOB2}"\n',
        "a sentence a row, columns 'Sentence' and 'Tag', IOB2",
    ),
    "dates.tsv": (columns(WORDS, ["B-PER", "I-PER", "B-DATE", "B-LOC", "O"]), "tabs, IOB2"),
    "single_dates.tsv": (columns(WORDS, ["B-PER", "E-PER", "S-DATE", "S-LOC", "O"]), "tabs, BIOES read as IOB2"),
}  # fmt: skip


def read(path: Path, content: str, spec: TaskSpec) -> Reading:
    path.write_text(content, encoding="utf-8", newline="")
    return tagging.read(path, spec)


@pytest.mark.parametrize("name", NER_FILES)
def test_entities_in_every_layout(tmp_path: Path, name: str) -> None:
    content, layout = NER_FILES[name]
    reading = read(tmp_path / name, content, NER)
    assert [(e.inputs, e.gold) for e in reading.examples] == [(WORDS, IOB2)]
    assert reading.layout == layout


def test_an_explicit_column_wins(tmp_path: Path) -> None:
    content = "".join(f"{i}\t{w}" + "\t_" * 7 + f"\t{t}\n" for i, (w, t) in enumerate(zip(WORDS, IOB2, strict=True), 1))
    spec = NER.model_copy(update={"label_column": 9})
    assert [e.gold for e in read(tmp_path / "a.conllu", content, spec).examples] == [IOB2]
    two = columns(WORDS, IOB2, ["O"] * 5)
    assert [e.gold for e in read(tmp_path / "a.tsv", two, NER.model_copy(update={"label_column": 2})).examples] == [
        ["O"] * 5
    ]
    with pytest.raises(InputError, match=r"a\.tsv: labels of the task stand in columns 2 and 3; .* label_column = 2"):
        read(tmp_path / "a.tsv", two, NER)


@pytest.mark.parametrize(
    ("name", "content", "layout"),
    [
        ("ud.conllu", conllu(), "CoNLL-U"),
        ("ud.txt", conllu(), "CoNLL-U"),
        ("ud.tsv", columns(WORDS, UPOS), "tabs"),
        ("both.tsv", columns(WORDS, UPOS, IOB2), "columns 1 and 2, tabs"),
        ("xpos.txt", columns(WORDS, ["x1"] * 5, UPOS, separator="  "), "columns 1 and 3, blanks"),
        ("tokens.jsonl", json.dumps({"tokens": WORDS, "upos": UPOS}), "rows of tokens and labels"),
    ],
)
def test_parts_of_speech_in_every_layout(tmp_path: Path, name: str, content: str, layout: str) -> None:
    reading = read(tmp_path / name, content, POS)
    assert [(e.inputs, e.gold) for e in reading.examples] == [(WORDS, UPOS)]
    assert reading.layout == layout


def test_parquet_has_tokens_and_labels(tmp_path: Path) -> None:
    pd.DataFrame({"tokens": [WORDS], "tags": [IOB2], "id": ["7"]}).to_parquet(tmp_path / "a.parquet")
    assert [(e.inputs, e.gold) for e in tagging.read(tmp_path / "a.parquet", NER).examples] == [(WORDS, IOB2)]
    pd.DataFrame({"tokens": [WORDS], "tags": [[0, 1, 0, 0, 0]]}).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"b\.parquet: row 1: column 'tags' should hold .*labels' names"):
        tagging.read(tmp_path / "b.parquet", NER)


def test_the_scheme_is_told_by_the_whole_file(tmp_path: Path) -> None:
    """One sentence alone would be IOB1; the file is IOB2 with a fault, which stays one."""
    faulty = columns(["Bo"], ["I-PER"]) + columns(WORDS, IOB2)
    reading = read(tmp_path / "a.tsv", faulty, NER)
    assert [e.gold for e in reading.examples] == [["I-PER"], IOB2]
    touching = columns(["Bo", "Ann", "i", "Oslo"], ["I-PER", "B-PER", "O", "I-LOC"])
    reading = read(tmp_path / "b.tsv", touching, NER)
    assert [e.gold for e in reading.examples] == [["B-PER", "B-PER", "O", "B-LOC"]]


def test_a_label_that_belongs_to_no_entity_is_told(tmp_path: Path) -> None:
    reading = read(tmp_path / "a.tsv", columns(WORDS, ["B-PER", "O", "E-LOC", "S-LOC", "O"]), NER)
    assert [e.gold for e in reading.examples] == [["O", "O", "O", "B-LOC", "O"]]
    assert reading.layout == "tabs, BIOES read as IOB2 (2 labels that belong to no entity read as O)"


@pytest.mark.parametrize("labels", [
    ["O", "B-PER", "I-PER", "E-PER", "S-PER", "B-LOC", "I-LOC", "E-LOC", "S-LOC"],
    ["O", "B-PER", "I-PER", "L-PER", "U-PER", "B-LOC", "I-LOC", "L-LOC", "U-LOC"],
    ["O", "I-PER", "I-LOC"],
    list(NER.labels),
])  # fmt: skip
def test_a_label_set_in_any_scheme_becomes_iob2(labels: list[str]) -> None:
    spec = TaskSpec(name="ner", kind="tagging", metric="span-f1", labels=tuple(labels))
    assert spec.labels == NER.labels


def test_other_label_sets_stay_as_they_are() -> None:
    for labels in (("U-turn", "S-curve"), ("O", "X"), ("NOUN", "VERB"), ("O", "B-PER"), ("O", "PER", "B-LOC")):
        assert TaskSpec(name="x", kind="tagging", metric="accuracy", labels=labels).labels == labels


def test_marks_of_documents_ranges_and_empty_nodes_are_counted_and_no_words(tmp_path: Path) -> None:
    reading = read(tmp_path / "a.txt", (DOCUMENT + columns(WORDS, IOB2, separator=" ")) * 2, NER)
    assert len(reading.examples) == 2
    assert reading.skipped == {"document marks": 2}
    more = (
        conllu()
        .replace("1\tAnn", "1-2\tAnnLund" + "\t_" * 8 + "\n1\tAnn")
        .replace("3\tser", "2.1" + "\t_" * 9 + "\n3\tser")
    )
    reading = read(tmp_path / "a.conllu", more, POS)
    assert (reading.examples[0].inputs, reading.skipped["ranges of words"], reading.skipped["empty nodes"]) == (
        WORDS,
        1,
        1,
    )


def test_a_hash_is_a_word_and_a_comment_is_none(tmp_path: Path) -> None:
    content = "# newdoc id = x\n#\tX\nhund\tNOUN\n\n# text = kat\nkat\tNOUN\n"
    assert [e.inputs for e in read(tmp_path / "a.tsv", content, POS).examples] == [["#", "hund"], ["kat"]]
    assert [e.inputs for e in read(tmp_path / "a.txt", "# X\nhund NOUN\n", POS).examples] == [["#", "hund"]]


def test_a_form_of_megabytes_in_any_script_is_one_word(tmp_path: Path) -> None:
    (example,) = read(tmp_path / "a.tsv", "第" * 1_500_000 + "\tNOUN\n", POS).examples
    assert [len(w) for w in example.inputs] == [1_500_000]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "_\tNOUN\n_\tVERB\n", r"a\.tsv:1: every word is '_': this data set is published without its text"),
        ("a.conllu", conllu().replace("Ann\t", "\t"), r"a\.conllu:3: an empty word"),
        ("a.tsv", "hund\tNOUN\n\tVERB\n", r"a\.tsv:2: an empty word"),
        ("a.tsv", "hu\x00nd\tNOUN\n", r"a\.tsv:1: a NUL character"),
        ("a.tsv", "hund\tNOUN\nkat\tNOUN\tx\n", r"a\.tsv:2: 3 columns, most lines have 2"),
        ("a.txt", "hund NOUN\nNew York NOUN\n", r"a\.txt:2: 3 columns, most lines have 2"),
        ("a.txt", "hund\nkat\n", r"a\.txt:1: 1 column\(s\); a word and its label should be there"),
        ("a.tsv", "1\thund\tx\t-\n2\tkat\ty\t-\n", r"a\.tsv:1: none of the 4 columns holds the task's labels: are the"),
        ("a.tsv", "NOUN\thund\n", r"a\.tsv:1: label 'hund' .* Column 2 was read \(label_column = 1\): are the columns"),
        ("a.tsv", "1\thund\tNOUN\n2\tkat\tNOUM\n", r"a\.tsv:2: label 'NOUM' .* did you mean 'NOUN'"),
        ("a.conllu", conllu(["_"] * 5), r"a\.conllu:3: label '_' is not in the task's set"),
        ("a.conllu", "hund\tNOUN\n", r"a\.conllu:1: CoNLL-U begins a line with its word's number, not 'hund'"),
        ("a.csv", "word,label\nhund,NOUN\n", r"a\.csv: no column says where a sentence begins \(sentence_id\)"),
        ("a.csv", "id,label\n1,NOUN\n", r"a\.csv:1: no column with the words \(word, token, tokens\); .*: id, label"),
        ("a.csv", "id,word\n1,hund\n", r"a\.csv:1: no column with the labels \(tag, .*; there are: id, word"),
        ("a.csv", "word,word,tag\na,a,X\n", r"a\.csv:1: column 'word' is there twice"),
        ("a.csv", "sent_id,word,tag\n1,a,X\n2,b,X\n1,c,X\n", r"a\.csv:4: sentence '1' is here again; its rows"),
        ("a.csv", "sent_id,word,tag\n1,a,X\n1,b,Y\n", r"a\.csv:3: label 'Y' is not in the task's set"),
        ("a.csv", "sent_id,word,tag\n1,a,Y\n", r"label 'Y' .*Column 'tag' was read; `columns.label` in the task's"),
        ("a.csv", "sent_id,word,tag\n1,,X\n", r"a\.csv:2: an empty word"),
        ("a.csv", "sent_id,word,tag\n1,a\n", r"a\.csv:2: column 'tag' is missing"),
        ("a.csv", "tokens,tags\na b,X X\nc d,X\n", r"a\.csv:3: 2 words, but 1 labels"),
        ("a.csv", "tokens,tags\n['a' 'b'],['X' 'X']\n", r"a\.csv:2: column 'tokens' has a list without commas"),
        ("a.csv", "tokens,tags\n\"['a', b]\",['X']\n", r"a\.csv:2: column 'tokens' begins like a list"),
        ("a.csv", 'tokens,tags\n"[""a""]","[3]"\n', r"a\.csv:2: column 'tags' should hold a list .*labels' names"),
        ("a.xlsx", "PK\x03\x04", r"a\.xlsx: this is a zip archive \(Word, Excel .*, a table as CSV"),
        ("a.jsonl", '{"tokens": ["a", "b"], "tags": ["X"]}', r"a\.jsonl:1: 2 words, but 1 labels"),
        ("a.jsonl", '{"text": "a b"}', r"a\.jsonl:1: no column with the words .*; there are: text"),
        ("a.jsonl", '{"tokens": ["a", null], "tags": ["X", "X"]}', r"a\.jsonl:1: column 'tokens' should hold a list"),
    ],
)  # fmt: skip
def test_what_cannot_be_words_and_labels_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path / name, content, POS)


def test_words_of_a_table_are_what_its_cells_hold(tmp_path: Path) -> None:
    """Quoted commas, quotation marks and line ends, null and NA, a word with a blank; sentences where they begin."""
    content = (
        ',sentence_id,word,pos\n0,1,",",PUNCT\n1,,"""",PUNCT\n2,,New York,PROPN\n3,2,null,NOUN\n4,,NA,NOUN\n,,,\n'
        '5,2,"a\nb",X\n'
    )
    reading = read(tmp_path / "a.csv", content, POS)
    assert [e.inputs for e in reading.examples] == [[",", '"', "New York"], ["null", "NA", "a\nb"]]
    assert reading.examples[1].gold == ["NOUN", "NOUN", "X"]
    parted = read(tmp_path / "b.csv", "word,pos\na,X\nb,X\n,\n\nc,X\n", POS)
    assert [e.inputs for e in parted.examples] == [["a", "b"], ["c"]]


def test_a_task_names_the_columns_of_a_table(tmp_path: Path) -> None:
    spec = POS.model_copy(update={"columns": Columns(text="ord", label="klasse")})
    reading = read(tmp_path / "a.csv", "sent_id,ord,klasse,tag\n1,hund,NOUN,X\n", spec)
    assert [(e.inputs, e.gold) for e in reading.examples] == [(["hund"], ["NOUN"])]


def test_schemes_that_are_mixed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.tsv: labels of BIOES \(E-, S-\) and of BILOU \(L-, U-\) are mixed"):
        read(tmp_path / "a.tsv", columns(WORDS, ["B-PER", "E-PER", "O", "U-LOC", "O"]), NER)
