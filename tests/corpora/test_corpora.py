"""Text in, blocks out: nothing lost, nothing padded, memory flat, and errors with file:line."""

import gzip
import json
import lzma
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from madx.catalog.language import TextSource
from madx.config import InputError
from madx.corpora.clean import Cleaner, is_held_out
from madx.corpora.documents import documents
from madx.corpora.masking import mask_tokens
from madx.corpora.packing import Blocks, Mixture, Packer
from madx.corpora.prepare import HELD_OUT, Corpus, encoded


def source(path: Path, **more: Any) -> TextSource:
    return TextSource(file=str(path), **more)


def test_every_format_is_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = ["Første sætning", "第二句", "ثالث"]
    (tmp_path / "a.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    with gzip.open(tmp_path / "b.txt.gz", "wt", encoding="utf-8") as file:
        file.write("\r\n".join(texts))
    (tmp_path / "c.jsonl").write_text("\n".join(json.dumps({"text": t}) for t in texts))
    pq.write_table(pa.table({"text": texts}), tmp_path / "d.parquet")
    for name in ("a.txt", "b.txt.gz", "c.jsonl", "d.parquet"):
        assert list(documents(source(tmp_path / name), None)) == texts, name
    assert list(documents(source(tmp_path), None)) == texts * 4
    assert list(documents(source(tmp_path / "a.txt", lines=(2, 2)), None)) == texts[1:2]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'id,text\r\n1,Første sætning\r\n2,"第二句, ثالث"\r\n'),
        ("a.tsv", "text\tid\nFørste sætning\t1\n第二句, ثالث\t2\n"),
        ("a.json", '[{"text": "Første sætning"}, {"text": "第二句, ثالث"}]'),
        ("a.ndjson", '{"text": "Første sætning"}\n{"text": "第二句, ثالث"}\n'),
        ("a.txt", "\ufeffFørste sætning\r第二句, ثالث\r"),
        ("no suffix", "Første sætning\n第二句, ثالث\n"),
    ],
)
@pytest.mark.parametrize(("suffix", "compress"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)])
def test_text_is_read_by_its_format_and_never_as_markup(
    tmp_path: Path, name: str, content: str, suffix: str, compress: Callable[[bytes], bytes]
) -> None:
    (tmp_path / (name + suffix)).write_bytes(compress(content.encode()))
    assert list(documents(source(tmp_path / (name + suffix)), None)) == ["Første sætning", "第二句, ثالث"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "x"}\n', "this is JSON; name it .jsonl"),
        ('[{"text": "x"}]', "this is JSON; name it .json"),
        ("<?xml version='1.0'?>\n", "this is XML"),
        ("<!DOCTYPE html>\n", "this is HTML"),
        ('<doc id="1" url="x">\n', "this is WikiExtractor's markup"),
        ("# sent_id = 1\n1\tx\n", "this is CoNLL-U"),
    ],
)
def test_markup_that_is_named_as_text_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(InputError, match=rf"a\.txt: {message}"):
        list(documents(source(tmp_path / "a.txt"), None))


def test_a_document_that_is_null_is_counted_as_empty(tmp_path: Path, tiny: Any) -> None:
    rows = [{"text": f"mening nummer {i} om vädret i dag"} for i in range(500)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, [*rows, {"text": None}, {"text": ""}])))
    assert corpus(tmp_path / "a.jsonl").prepare(tmp_path, tiny.tokenizer, None)["dropped"] == {"empty": 2}
    (tmp_path / "b.jsonl").write_text('{"text": 5}\n')
    with pytest.raises(InputError, match=r"b\.jsonl:1: column 'text' holds a number \(5\)"):
        list(documents(source(tmp_path / "b.jsonl"), None))


def test_short_lines_of_scripts_without_spaces_are_kept() -> None:
    cleaner = Cleaner()
    for line in ("我今天很累。", "你食咗飯未呀", "วันนี้ฝนตก", "きょうは雨"):
        assert cleaner(line) == line
    assert [cleaner(line) for line in ("雨。", "i dag", "вчера", "1234 中 ab")] == [None] * 4


def test_special_tokens_in_running_text_are_text(tmp_path: Path, tiny: Any) -> None:
    lines = [f"mening <mask> nummer {i} <s> om </s> vädret <pad> i dag" for i in range(500)]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    corpus(tmp_path / "a.txt").prepare(tmp_path, tiny.tokenizer, None)
    packed = np.concatenate(list(Blocks(tmp_path / "train.bin", 16).in_order(100)))[:, 1:-1]
    special = {tiny.tokenizer.cls_token_id, tiny.tokenizer.mask_token_id, tiny.tokenizer.pad_token_id}
    assert not special & set(packed.flatten().tolist())


def test_text_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"fine\nna\xefve\n")
    with pytest.raises(InputError, match=r"a\.txt:2: not UTF-8 \(byte 3\)"):
        list(documents(source(tmp_path / "a.txt"), None))


def test_a_column_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n{"txt": "y"}\n')
    with pytest.raises(InputError, match=r"a\.jsonl:2: column 'text' is missing; there are: txt"):
        list(documents(source(tmp_path / "a.jsonl"), None))


@pytest.mark.parametrize("unit", ["ø", "中", "𐐷", "ord "])
def test_one_endless_line_is_read_in_pieces_and_nothing_is_lost(tmp_path: Path, unit: str) -> None:
    text = "a" + unit * 1_500_000
    (tmp_path / "a.txt").write_text(text + "\n" + "næste\n", encoding="utf-8")
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": text}, ensure_ascii=False) + "\n", encoding="utf-8")
    pieces = list(documents(source(tmp_path / "a.txt"), None))
    assert max(map(len, pieces)) <= 1 << 20
    assert "".join(pieces) == text + "næste"
    assert list(documents(source(tmp_path / "a.jsonl"), None)) == pieces[:-1]


def test_cleaning_counts_what_it_drops() -> None:
    cleaner = Cleaner()
    kept = [cleaner(t) for t in ["e\u0301tude du soir", "étude du soir", "", "short", "another sentence"]]
    assert kept == ["étude du soir", None, None, None, "another sentence"]
    assert cleaner.dropped == {"repeated": 1, "empty": 1, "shorter than 10 characters": 1}


def test_cleaning_keeps_distinct_lines() -> None:
    cleaner = Cleaner()
    assert sum(cleaner(f"sentence number {i}") is not None for i in range(20_000)) == 20_000


def test_held_out_depends_on_content_alone() -> None:
    texts = [f"sentence {i}" for i in range(4000)]
    chosen = [t for t in texts if is_held_out(t, 0.05)]
    assert 130 < len(chosen) < 270
    assert chosen == [t for t in texts if is_held_out(t, 0.05)]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.integers(10, 99), max_size=30), max_size=20), st.integers(4, 16))
def test_packing_keeps_every_token_in_order(tmp_path_factory: Any, texts: list[list[int]], length: int) -> None:
    path = tmp_path_factory.mktemp("packed") / "x.bin"
    packer = Packer(path, length, cls=1, sep=2)
    for text in texts:
        packer.add(text)
    packer.close()
    blocks = Blocks(path, length)
    stream = [t for text in texts for t in (*text, 2)]
    array = np.concatenate([np.zeros((0, length)), *blocks.in_order(3)])
    packed = array[:, 1:-1].reshape(-1).tolist()
    assert packed == stream[: len(packed)]
    assert len(stream) - len(packed) < length - 2
    assert (array[:, 0] == 1).all()
    assert (array[:, -1] == 2).all()


def test_batches_are_functions_of_their_number(tmp_path: Path) -> None:
    packer = Packer(tmp_path / "x.bin", 4, cls=1, sep=2)
    packer.add(range(10, 10 + 2 * 7 - 1))
    packer.close()
    first, again = Blocks(tmp_path / "x.bin", 4), Blocks(tmp_path / "x.bin", 4)
    forward = [first.batch(i, 3, seed=5) for i in range(9)]
    backward = [again.batch(i, 3, seed=5) for i in reversed(range(9))][::-1]
    assert all((a == b).all() for a, b in zip(forward, backward, strict=True))
    rows = np.concatenate(forward)[:21]  # three epochs: every block three times
    array = np.concatenate(list(first.in_order(2)))
    assert {tuple(r) for r in rows.tolist()} == {tuple(r) for r in array.tolist()}
    assert all((rows == r).all(1).sum() == 3 for r in array)


def test_masking_is_bert_s() -> None:
    ids = torch.randint(5, 1000, (200, 64))
    ids[:, 0] = 1
    masked = mask_tokens(ids, special=torch.tensor([0, 1, 2, 3, 4]), mask_id=4, vocabulary=1000, seed=1)
    share = masked.chosen_BT.float().mean().item()
    assert 0.14 < share < 0.16
    assert not masked.chosen_BT[:, 0].any()
    changed = masked.ids_BT[masked.chosen_BT]
    assert 0.78 < (changed == 4).float().mean() < 0.82
    assert 0.08 < (changed == masked.targets_M).float().mean() < 0.12
    assert torch.equal(masked.ids_BT[~masked.chosen_BT], ids[~masked.chosen_BT])
    same = mask_tokens(ids, special=torch.tensor([0, 1, 2, 3, 4]), mask_id=4, vocabulary=1000, seed=1)
    assert torch.equal(masked.ids_BT, same.ids_BT)


def corpus(path: Path, **more: Any) -> Corpus:
    values = {"language": "swe", "has_spaces": True, "sources": (source(path),), "digests": ("x",), "tokenizer": "t",
              "block_size": 16, "max_tokens": 1 << 30}  # fmt: skip
    return Corpus(**{**values, **more})


def test_fewer_lines_are_part_of_more_and_are_measured_on_the_same(tmp_path: Path, tiny: Any) -> None:
    lines = [f"mening nummer {i} av {i * i} om det som {i % 7} hundar ser" for i in range(600)]
    (tmp_path / "a.txt").write_text("\n".join(lines) + "\n")

    def prepared(count: int | None) -> tuple[list[str], bytes, dict[str, Any]]:
        own, folder = corpus(tmp_path / "a.txt", lines=count), tmp_path / str(count)
        folder.mkdir()
        report = own.prepare(folder, tiny.tokenizer, None)
        return list(own.to_train_on(None)), (folder / HELD_OUT).read_bytes(), report

    whole, held_out, about = prepared(None)
    few, _, _ = prepared(150)
    some, same, fewer = prepared(300)
    assert len(few) == 150
    assert len(some) == 300
    assert set(few) < set(some) < set(whole)
    assert same == held_out
    assert fewer["dropped"] == {"beyond 300 lines": len(whole) - 300}
    assert about["documents"] - fewer["documents"] == len(whole) - 300
    assert fewer["tokens"] < about["tokens"]


def test_an_empty_and_a_small_corpus_are_refused_before_training(tmp_path: Path, tiny: Any) -> None:
    for content, message in (("", "empty after cleaning"), ("one single sentence\n", "too small to train on")):
        (tmp_path / "a.txt").write_text(content)
        with pytest.raises(InputError, match=message):
            corpus(tmp_path / "a.txt").prepare(tmp_path, tiny.tokenizer, None)
    (tmp_path / "a.txt").write_text("\n".join(f"this is the sentence with number {i}" for i in range(400)))
    long = corpus(tmp_path / "a.txt").model_copy(update={"block_size": 2048})
    with pytest.raises(
        InputError, match=r"\d{4} tokens in \d+ documents, which are \d blocks of 2048 .* 4 and 1 are needed"
    ):
        long.prepare(tmp_path, tiny.tokenizer, None)


def test_a_script_that_the_tokenizer_cannot_write_is_refused(tmp_path: Path) -> None:
    class Blind:
        cls_token_id, sep_token_id, bos_token_id, eos_token_id, unk_token_id = 1, 2, 1, 2, 3
        all_special_tokens = ()
        is_fast = False

        def __call__(self, texts: list[str], **options: bool) -> dict[str, list[list[int]]]:
            return {"input_ids": [[3] * 10 for _ in texts]}

    (tmp_path / "a.txt").write_text("\n".join(f"sentence number {i}" for i in range(400)))
    with pytest.raises(InputError, match="100% of its tokens are unknown"):
        corpus(tmp_path / "a.txt").prepare(tmp_path, Blind(), None)


def test_texts_are_encoded_as_the_tokenizer_does_it_in_their_order(tiny: Any) -> None:
    texts = [f"mening nummer {i} om vädret {'i dag ' * (i % 9)}" for i in range(2345)]
    tiny.tokenizer(texts[:2], truncation=True, max_length=4, padding=True)  # which must leave no trace
    batches = [(texts[i : i + 1000], Counter({"empty": i})) for i in range(0, len(texts), 1000)]
    got = list(encoded(batches, tiny.tokenizer))
    assert [text for batch, _ in got for text, _ in batch] == texts
    assert [ids for batch, _ in got for _, ids in batch] == tiny.tokenizer(texts, add_special_tokens=False)["input_ids"]
    assert [about["empty"] for _, about in got] == [0, 1000, 2000]
    assert not list(encoded([], tiny.tokenizer))


def test_the_report_counts_what_was_packed_and_no_text_behind_it(tmp_path: Path, tiny: Any) -> None:
    lines = [f"mening nummer {i} om vädret i dag" for i in range(5000)]
    (tmp_path / "a.txt").write_text("\n".join(line for each in lines for line in (each, "kort")))
    report = corpus(tmp_path / "a.txt", max_tokens=2500).prepare(tmp_path, tiny.tokenizer, None)
    assert (report["documents"], sum(report["dropped"].values())) == (1000, 999)
    report = corpus(tmp_path / "a.txt").prepare(tmp_path, tiny.tokenizer, None)
    assert (report["documents"], sum(report["dropped"].values())) == (5000, 5000)


def test_the_tokens_of_the_training_text_are_listed(tmp_path: Path, tiny: Any) -> None:
    (tmp_path / "a.txt").write_text("\n".join(f"mening nummer {i} om vädret i dag" for i in range(500)))
    corpus(tmp_path / "a.txt").prepare(tmp_path, tiny.tokenizer, None)
    packed = np.concatenate(list(Blocks(tmp_path / "train.bin", 16).in_order(100)))
    assert set(packed.flatten().tolist()) <= set(np.load(tmp_path / "tokens.npy").tolist())
    assert len(np.load(tmp_path / "tokens.npy")) < 200


def test_memory_does_not_grow_with_the_corpus(tmp_path: Path, tiny: Any) -> None:
    """Python's own allocations while preparing a text and one ten times as long."""
    import tracemalloc

    peaks = []
    for lines in (3_000, 30_000):
        (tmp_path / "a.txt").write_text("\n".join(f"mening nummer {i} om vädret i dag" for i in range(lines)))
        tracemalloc.start()
        corpus(tmp_path / "a.txt").prepare(tmp_path, tiny.tokenizer, None)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] + 2_000_000, peaks


def test_a_hub_dataset_is_streamed(tmp_path: Path) -> None:
    """`datasets` opens a directory as it opens a Hub id: the same code, without the network."""
    texts = [f"sætning nummer {i}" for i in range(30)]
    (tmp_path / "train.jsonl").write_text("\n".join(json.dumps({"content": t}) for t in texts))
    assert list(documents(TextSource(hub=str(tmp_path), column="content"), None)) == texts
    with pytest.raises(InputError, match="Hub dataset .* column 'text' is missing; there are: content"):
        list(documents(TextSource(hub=str(tmp_path)), None))
    with pytest.raises(InputError, match="Hub dataset nobody/nothing"):
        list(documents(TextSource(hub="nobody/nothing"), None))


def test_a_mixture_keeps_its_shares_and_takes_every_block_in_turn(tmp_path: Path) -> None:
    texts = []
    for number, blocks in enumerate((20, 7)):
        path = tmp_path / f"{number}.bin"
        np.repeat(np.arange(blocks, dtype=np.int32) + 100 * number, 4).tofile(path)
        texts.append(Blocks(path, 4))
    mixture = Mixture([(texts[0], 1.0), (texts[1], 2.0)], seed=3)
    rows = np.concatenate([mixture.batch(step, 5, seed=3) for step in range(24)])[:, 0]
    assert rows.tolist() == mixture.batch(0, 120, seed=3)[:, 0].tolist()  # whatever the batch's size
    first, second = rows[rows < 100], rows[rows >= 100] - 100
    assert (len(first), len(second)) == (40, 80)
    assert sorted(first[:20]) == sorted(first[20:]) == list(range(20))  # two epochs
    assert all(sorted(second[i : i + 7]) == list(range(7)) for i in range(0, 77, 7))
