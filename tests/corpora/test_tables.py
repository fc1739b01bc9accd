"""Tables as people write them: what pandas and Excel quote is unquoted, nothing vanishes, null is no text."""

import csv
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from madx.config import InputError
from madx.corpora.tables import label_of, read_rows, text_of

TEXTS = ["plain", 'she said "hi"', "a\ttab", "two\nlines", "a, comma", '"all quoted"', "", "«guillemets»", '5" disk']


def rows(path: Path, *columns: str) -> list[dict[str, Any]]:
    return [row for _, row in read_rows(path, columns)]


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".tsv.gz", ".csv.xz"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_what_pandas_writes_is_read_back(tmp_path: Path, suffix: str, quoting: int) -> None:
    frame = pd.DataFrame({"text": TEXTS, "label": ["x"] * len(TEXTS)})
    path = tmp_path / f"a{suffix}"
    frame.to_csv(path, sep="," if "csv" in suffix else "\t", index=False, quoting=quoting)
    assert rows(path, "text", "label") == frame.to_dict("records")


def test_a_quotation_mark_may_be_a_letter_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('text\tlabel\n"Hi", he said\tx\n"all of it"\tx\nand 5" more\tx\n')
    assert [row["text"] for row in rows(tmp_path / "a.tsv", "text")] == ['"Hi", he said', '"all of it"', 'and 5" more']
    (tmp_path / "b.tsv").write_text('text\tlabel\n"all of it"\tx\n')  # nothing in the field needs the marks
    assert rows(tmp_path / "b.tsv", "text")[0]["text"] == '"all of it"'


def test_excels_tabs_have_marks_around_fields_with_a_comma(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('text\tlabel\r\n"Hi, you"\tx\r\nno comma\tx\r\n')
    assert [row["text"] for row in rows(tmp_path / "a.tsv", "text")] == ["Hi, you", "no comma"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"text": "x"}\n\n{"text": "y"}\n'),
        ("a.json", '{"text": "x"}\n{"text": "y"}\n'),  # JSON lines under the wrong name
        ("a.json", '[{"text": "x"}, {"text": "y"}]'),
        ("a.json", '[\n  {\n    "text": "x"\n  },\n  {\n    "text": "y"\n  }\n]\n'),
        ("a.json", '{"version": 1, "data": [{"text": "x"}, {"text": "y"}]}'),
        ("a.ndjson", '\ufeff{"text": "x"}\r\n{"text": "y"}\r\n'),
        ("a.tsv", "\ufefftext\tlabel\rx\t1\ry\t2\r"),
        ("a.csv", "label,text\n1,x\n2,y\n"),
    ],
)
def test_rows_of_every_format(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, newline="")
    assert [row["text"] for row in rows(tmp_path / name, "text")] == ["x", "y"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "text\tlabel\nx\ty\tz\n", r"a\.tsv:2: 3 fields, but the header has 2"),
        ("a.tsv", "text\tlabel\nx\n", r"a\.tsv:2: column 'label' is missing"),
        ("a.tsv", "text\tlabel\tlabel\nx\ty\tz\n", r"a\.tsv:1: column 'label' is there twice"),
        ("a.csv", 'text,label\n5" disk,y\n', r"a\.csv:2: a quotation mark that does not open or close"),
        ("a.csv", 'text,label\n"never closed,y\n' + "x,y\n" * 9, r"a\.csv:2: a quotation mark"),
        ("a.json", '[{"text": "x", "label": "y"}, 3]', r"a\.json: entry 2: a number \(3\) where an object"),
        ("a.json", '"x"', r"a\.json: a text \(\"x\"\) where a list"),
        ("a.jsonl", "[1]\n", r"a\.jsonl:1: a list \(\[1\]\) where an object"),
        ("a.jsonl", '{"text": "\\ud83d", "label": "x"}\n', r"a\.jsonl:1: half a character"),
        ("a.jsonl", '{"text": ' + "[" * 100_000 + "\n", r"a\.jsonl:1: JSON that cannot be read|a\.jsonl:1: not JSON"),
        ("a.jsonl", '{"text": ' + "9" * 5000 + "}\n", r"a\.jsonl:1: JSON that cannot be read"),
        ("a.jsonl", '{"txt": "x"}\n', r"a\.jsonl:1: column 'text' is missing; there are: txt"),
        ("a.parquet", "PAR1 and no more", r"a\.parquet: not a readable parquet file"),
    ],
)
def test_what_cannot_be_a_table_is_named_with_its_place(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        rows(tmp_path / name, "text", "label")


def test_a_header_of_megabytes_is_not_all_in_the_message(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("\t".join(f"column{i}" for i in range(100_000)) + "\n")
    with pytest.raises(InputError, match=r"no column 'text'.*\(100000 in all\)") as error:
        rows(tmp_path / "a.tsv", "text")
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "column 'text' is null"),
        (5, r"holds a number \(5\)"),
        (0.5, r"holds a number \(0.5\)"),
        (["x"], "a list"),
    ],
)
def test_null_and_numbers_are_no_texts(tmp_path: Path, suffix: str, value: Any, message: str) -> None:
    frame = pd.DataFrame({"text": pd.Series([value], dtype=object), "label": ["x"]})
    path = tmp_path / f"a{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    else:
        path.write_text(json.dumps({"text": value, "label": "x"}))
    ((where, row),) = read_rows(path, ["text", "label"])
    with pytest.raises(InputError, match=message):
        text_of(row, "text", where)


@pytest.mark.parametrize(("value", "label"), [(1, "1"), (0.0, "0"), ("x", "x")])
def test_a_whole_number_is_a_label(value: Any, label: str) -> None:
    assert label_of({"label": value}, "label", "here") == label


@pytest.mark.parametrize("value", [None, float("nan")])
def test_no_label_is_no_label(value: Any) -> None:
    with pytest.raises(InputError, match="here: no label: column 'label' is null"):
        label_of({"label": value}, "label", "here")
